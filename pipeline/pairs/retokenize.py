"""Moves the audio of a late reply and tokenizes it again, in place of moving its codes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..dataset.audio import read_audio
from ..dialogue import CHANNELS, CodedTrack
from ..tokens.protocols import SpeechTokenizer
from ..tokens.track import tokenize_all
from .pair import Pair


def moved_audio(pair: Pair, track: CodedTrack, flac: bytes, sample_rate: int) -> NDArray[np.int16]:
    """The audio of the rejected side's assistant with the margin, [1, samples]: the late reply is moved.

    track, flac: of the dialogue that the pair was made of, two channels at `sample_rate`. The new channel is silent
    outside its replies.
    """
    assistant = read_audio(flac, sample_rate)[:, CHANNELS.index("assistant")]
    event, later = track.events[pair.event], pair.difference_samples
    rejected = pair.rejected
    channel = np.zeros((rejected.frames + rejected.margin_frames) * rejected.samples_per_frame, np.int16)
    channel[: event.start_sample] = assistant[: event.start_sample]
    channel[event.start_sample + later : event.end_sample + later] = assistant[event.start_sample : event.end_sample]
    return channel[np.newaxis]


def retokenized(
    pairs: Sequence[Pair], audio: Sequence[NDArray[np.int16]], sample_rate: int, tokenizer: SpeechTokenizer
) -> list[Pair]:
    """The same pairs, but the codes of the rejected side's assistant are those of its `moved_audio`."""
    of_audio = tokenize_all(audio, sample_rate, tokenizer)
    return [
        replace(pair, rejected=replace(pair.rejected, assistant_codes=codes[0]))
        for pair, codes in zip(pairs, of_audio, strict=True)
    ]
