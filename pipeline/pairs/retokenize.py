"""The late reply's audio, moved and tokenized anew, in place of its codes moved."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..dataset.invariants import read_audio
from ..dialogue import CHANNELS
from ..layouts.bayling import BaylingLayout
from ..tokens.tokenizers import SpeechTokenizer
from ..tokens.track import tokenize
from .maker import Pair


def retokenized(
    pair: Pair, row: dict[str, Any], layout: BaylingLayout, sample_rate: int, tokenizer: SpeechTokenizer
) -> Pair:
    """The same turn-taking pair, the rejected side's assistant tokenized in its new place, silence elsewhere.

    row: with turns and audio, as FLAC of two channels at `sample_rate`.
    """
    samples = read_audio(row["audio"]["bytes"], sample_rate)
    heard = samples[:, CHANNELS.index("assistant")]
    start, end = (row["turns"][pair.turn][key] for key in ("start_sample", "end_sample"))
    blocks = len(pair.rejected_ids) // layout.ids_per_block
    track = np.zeros((blocks + 1) * layout.block_samples, np.int16)  # the assistant's channel runs one block ahead
    track[:start] = heard[:start]
    track[start + pair.difference_samples : end + pair.difference_samples] = heard[start:end]
    codes = tokenize(track[np.newaxis], sample_rate, tokenizer, layout.block_samples)[0, 0]
    ids = pair.rejected_ids.reshape(blocks, -1).copy()
    shifted = codes[layout.user_tokens : (blocks + 1) * layout.user_tokens]
    ids[:, -layout.user_tokens :] = layout.vocabulary.audio_ids(shifted).reshape(blocks, -1)
    return replace(pair, rejected_ids=ids.reshape(-1))
