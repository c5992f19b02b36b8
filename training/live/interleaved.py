"""Models of BayLing-Duplex: Algorithm 1 (section 2.3) with a cache of keys and values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from ...pipeline.layouts.bayling import Bayling
from ...pipeline.layouts.shared import SharedVocabulary
from ..models.model import DuplexModel
from .stream import USUAL, Said, Sampling, Span, Stream, Uniforms, check_finite, choose


@dataclass(frozen=True)
class Interleaved:
    """One sequence of blocks: the user's codes, text, the assistant's codes."""

    layout: Bayling

    @property
    def text_slots(self) -> int:
        return self.layout.text_tokens

    @property
    def heard_after(self) -> int:
        """Section 2.1: the causal shift."""
        return 1

    @property
    def codebooks(self) -> int:
        return 1

    @property
    def states(self) -> Mapping[str, int]:
        return self.layout.vocabulary.state

    def positions(self, blocks: int) -> int:
        return blocks * self.layout.ids_per_block

    def replies(self, text_ids: Sequence[int]) -> list[Span]:
        """A reply starts at [ASSISTANT], or at text outside any reply. It ends at [EPAD], at [SILENCE] or at
        [ASSISTANT].
        """
        vocabulary = self.layout.vocabulary
        spans: list[Span] = []
        start: int | None = None
        ids: list[int] = []
        for slot, id_ in enumerate([*text_ids, vocabulary.silence]):
            if start is not None and id_ in (vocabulary.silence, vocabulary.epad, vocabulary.assistant):
                spans.append(Span(start, slot, ids))
                start = None
            if id_ == vocabulary.assistant:
                start, ids = slot + 1, []
            elif vocabulary.is_text(id_):
                if start is None:
                    start, ids = slot, []
                ids.append(id_)
        return spans

    def stream(self, model: DuplexModel, dialogue_ids: Sequence[str], sampling: Sampling = USUAL) -> Stream:
        return InterleavedStream(model, self.layout, dialogue_ids, sampling)


class InterleavedStream:
    """See `Stream`. Text slots hold only text and states, audio slots only audio."""

    def __init__(self, model: DuplexModel, layout: Bayling, dialogue_ids: Sequence[str], sampling: Sampling) -> None:
        self._sampling = sampling
        self._layout, self._network = layout, model.network
        device = model.network.device
        text, audio = sampled_ids(layout.vocabulary)
        self._allowed = [text.to(device)] * layout.text_tokens + [audio.to(device)] * layout.user_tokens
        self._uniforms = Uniforms(sampling.seed, dialogue_ids, len(self._allowed), device)
        self._cache = DynamicCache(config=model.network.config)
        self._pending = torch.empty((len(dialogue_ids), 0), dtype=torch.int64, device=device)  # not in the cache yet

    @torch.inference_mode()
    def step(self, user_codes: NDArray[np.int16]) -> Said:
        """Codebook 0 is heard and spoken.

        A code without an id, which no training data has, becomes the last code with an id: a live user cannot be
        rejected.
        """
        vocabulary = self._layout.vocabulary
        heard = np.minimum(user_codes[:, 0], vocabulary.audio_size - 1)
        user = torch.from_numpy(vocabulary.audio_ids(heard).astype(np.int64))
        pending = torch.cat([self._pending, user.to(self._pending.device)], dim=1)
        uniforms = self._uniforms.draw()
        block = []
        for place, allowed in enumerate(self._allowed):
            logits = self._logits(pending)[:, allowed]
            pending = allowed[choose(logits, self._sampling, uniforms[:, place])].unsqueeze(1)
            block.append(pending)
        check_finite(logits)
        self._pending = pending
        ids: NDArray[np.int32] = torch.cat(block, dim=1).cpu().numpy().astype(np.int32)
        text, audio = ids[:, : self._layout.text_tokens], ids[:, self._layout.text_tokens :]
        return Said(text, vocabulary.audio_codes(audio)[:, np.newaxis])

    def _logits(self, ids: Tensor) -> Tensor:
        """Logits of the id that follows ids [dialogues, new ids], float [dialogues, vocabulary]."""
        out = self._network(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        logits: Tensor = out.logits[:, -1]
        return logits


def sampled_ids(vocabulary: SharedVocabulary) -> tuple[Tensor, Tensor]:
    """Ids that a text slot may hold, ascending, and those that an audio slot may, code c at place c; int64 [ids]."""
    text = np.flatnonzero(vocabulary.is_text(np.arange(vocabulary.text_size)))
    audio = vocabulary.audio_ids(np.arange(vocabulary.audio_size))
    return torch.tensor(sorted([*text.tolist(), *vocabulary.state.values()])), torch.from_numpy(audio.astype(np.int64))
