"""Models of parallel streams, FLM-Audio's and Moshi's: one column per step of 80 ms, with a cache of keys and values.

When frame f has been heard (counted from 1), column f is complete. The model reads it and says column f + 1: its text,
codebook 0 of frame f + 1, and the other codebooks of frame f + 1 - `acoustic_delay`, which is whole then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from ...pipeline.layouts.streams import Streams
from ..models.model import DuplexModel
from ..models.streams import StreamsForCausalLM
from .stream import USUAL, Said, Sampling, Span, Stream, Uniforms, check_finite, choose

TRANSCRIPT = "asr"  # the special token before what a model writes down of the user


@dataclass(frozen=True)
class Parallel:
    """Text, the assistant's codebooks and the user's, side by side."""

    layout: Streams

    @property
    def text_slots(self) -> int:
        return 1

    @property
    def heard_after(self) -> int:
        """Codes of a frame are whole `acoustic_delay` columns later, and text may lead its speech."""
        return self.layout.section.acoustic_delay + (self.layout.section.text_lead_frames or 0)

    @property
    def codebooks(self) -> int:
        return self.layout.codebooks

    @property
    def states(self) -> Mapping[str, int]:
        return {name: special.id for name, special in self.layout.vocabulary.special.items()}

    def positions(self, blocks: int) -> int:
        return blocks + 1

    def replies(self, text_ids: Sequence[int]) -> list[Span]:
        """A reply ends where no text follows for as long as the layout has no text within a reply.

        What a model has written down of the user, after `<asr>`, is no reply.
        """
        vocabulary, spans, transcribes = self.layout.vocabulary, list[Span](), False
        transcript = vocabulary.special.get(TRANSCRIPT)
        for slot, id_ in enumerate(text_ids):
            if not vocabulary.is_text(id_):
                transcribes = transcript is not None and id_ == transcript.id
                continue
            if transcribes:
                continue
            if spans and slot - spans[-1].end <= self.layout.LONGEST_PAUSE:
                spans[-1] = Span(spans[-1].start, slot + 1, [*spans[-1].ids, id_])
            else:
                spans.append(Span(slot, slot + 1, [id_]))
        return spans

    def stream(self, model: DuplexModel, dialogue_ids: Sequence[str], sampling: Sampling = USUAL) -> Stream:
        return ParallelStream(model, self.layout, dialogue_ids, sampling)


class ParallelStream:
    """See `Stream`. A block is one frame. Its text is that of the column which the frame completes."""

    def __init__(self, model: DuplexModel, layout: Streams, dialogue_ids: Sequence[str], sampling: Sampling) -> None:
        assert isinstance(model.network, StreamsForCausalLM), "models of streams are made as such"
        self._sampling = sampling
        self._network, self._layout = model.network, layout
        self._text = sampled_text(layout).to(model.network.device)
        self._uniforms = Uniforms(sampling.seed, dialogue_ids, 1 + layout.codebooks, model.network.device)
        self._cache = DynamicCache(config=model.network.config.get_text_config())
        delay = 1 + layout.section.acoustic_delay
        pad = layout.vocabulary.audio.pad
        shape = (len(dialogue_ids), layout.codebooks, delay)
        self._heard = torch.full(shape, pad, device=model.network.device)  # the last frames of the users
        self._spoken = self._heard.clone()  # the last columns of the assistants' codes
        self._steps = 0
        text = torch.full((len(dialogue_ids),), layout.initial_text, device=model.network.device)
        self._advance(text)

    @torch.inference_mode()
    def step(self, user_codes: NDArray[np.int16]) -> Said:
        heard = torch.from_numpy(user_codes.astype(np.int64)).to(self._heard.device)
        self._heard = torch.cat([self._heard[:, :, 1:], heard], dim=2)
        self._steps += 1
        text = self._next_text
        self._advance(text)
        return Said(text[:, None].cpu().numpy().astype(np.int32), self._whole_frame())

    @torch.inference_mode()
    def _advance(self, text: Tensor) -> None:
        """Read the column of this text and of what was spoken and heard last, and sample the next one."""
        column = torch.cat([text[:, None], self._spoken[:, :, -1], self._delayed(self._heard)], dim=1)
        output = self._network(column[:, None], past_key_values=self._cache, use_cache=True)
        logits, hidden = output.text_logits[:, -1], output.hidden[:, -1]
        check_finite(logits)
        uniforms = self._uniforms.draw()
        self._next_text = self._text[choose(logits[:, self._text], self._sampling, uniforms[:, 0])]
        codes = self._network.depth.generate(
            hidden,
            self._next_text,
            lambda of_book, book: choose(of_book[:, : self._codes], self._sampling, uniforms[:, 1 + book]),
        )
        if self._steps < self._layout.section.acoustic_delay:  # as in column 1 of a row: no frame has ended yet
            codes[:, 1:] = self._layout.vocabulary.audio.pad
        self._spoken = torch.cat([self._spoken[:, :, 1:], codes[:, :, None]], dim=2)

    @property
    def _codes(self) -> int:
        return self._layout.vocabulary.audio.codes

    @staticmethod
    def _delayed(frames: Tensor) -> Tensor:
        """Of the last frames [dialogues, Q, 1 + delay], what one column has of them, [dialogues, Q]."""
        return torch.cat([frames[:, :1, -1], frames[:, 1:, 0]], dim=1)

    def _whole_frame(self) -> NDArray[np.int16]:
        """The frame whose last codes were sampled, [dialogues, Q, 1]; none while the first is not whole."""
        if self._steps < self._layout.section.acoustic_delay:
            return np.zeros((*self._spoken.shape[:2], 0), np.int16)
        frame = torch.cat([self._spoken[:, :1, :1], self._spoken[:, 1:, -1:]], dim=1)
        return frame.cpu().numpy().astype(np.int16)


def sampled_text(layout: Streams) -> Tensor:
    """Ids that the text stream may hold after its first column, ascending, int64 [ids]."""
    vocabulary = layout.vocabulary
    text = np.flatnonzero(vocabulary.is_text(np.arange(vocabulary.text_size))).tolist()
    special = [special.id for name, special in vocabulary.special.items() if name != "initial"]
    return torch.tensor(sorted([*text, *special]))
