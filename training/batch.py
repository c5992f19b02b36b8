"""Sequences of a micro-batch as tensors: ids, and the kind of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .sequences import SequenceFormat

USER_KIND = 0  # of the kinds of ids: what the model hears, and never predicts
EMPTY = "empty"  # the kind of what stands where parallel streams have nothing: never predicted either
SHORTEST = 2  # positions: models cannot process an empty sequence, which a device without rows would have

Ids = NDArray[np.int32]  # of a sequence: [length], or [length, streams]
Parts = Sequence[int]  # lengths of the sequences that are packed in one, in order; empty: it is no pack


@dataclass(frozen=True)
class Batch:
    """Sequences that are padded on the right, of S streams: 1, or more of a layout of parallel streams."""

    ids: Tensor  # int64 [rows, length, S]; 0 in the padding
    kinds: Tensor  # int64 [rows, length, S], index into the format's kinds; the user's in the padding
    position_ids: Tensor | None  # [rows, length], 0 where a packed sequence starts; None: there is no pack

    @property
    def has_streams(self) -> bool:
        return self.ids.shape[2] > 1

    @property
    def predicted(self) -> int:
        """How many ids of a position are the model's own: the first ones, those of text and of the codes it speaks."""
        return 1 + self.ids.shape[2] // 2


def kinds_of(ids: Ids, parts: Parts, sequence_format: SequenceFormat) -> NDArray[np.uint8]:
    """The kind of each id, of the shape of the ids: an index into the format's kinds."""
    spans = _spans(ids, parts)
    return np.concatenate([sequence_format.kinds_of(torch.tensor(ids[start:end])).numpy() for start, end in spans])


def learned_kinds(sequence_format: SequenceFormat) -> Tensor:
    """Whether a model learns to predict each of the format's kinds, bool [kinds]."""
    return torch.tensor([index != USER_KIND and kind != EMPTY for index, kind in enumerate(sequence_format.kinds)])


def make_batch(
    sequences: Sequence[Ids | None], parts: Sequence[Parts], sequence_format: SequenceFormat, device: torch.device
) -> Batch:
    """One row per sequence; None has nothing but padding. parts: of each sequence."""
    length = max(SHORTEST, *(0 if ids is None else len(ids) for ids in sequences))
    shape = (len(sequences), length, sequence_format.streams)
    ids, kinds = torch.zeros(shape, dtype=torch.long), torch.full(shape, USER_KIND)
    positions = torch.arange(length).repeat(len(sequences), 1)
    for row, (own, own_parts) in enumerate(zip(sequences, parts, strict=True)):
        if own is None:
            continue
        ids[row, : len(own)] = torch.tensor(own).view(len(own), -1)
        kinds[row, : len(own)] = torch.from_numpy(kinds_of(own, own_parts, sequence_format)).view(len(own), -1)
        for start, _ in _spans(own, own_parts):
            positions[row, start:] = torch.arange(length - start)
    packed = positions.to(device) if any(len(own) > 1 for own in parts) else None
    return Batch(ids.to(device), kinds.to(device), packed)


def _spans(ids: Ids, parts: Parts) -> Iterator[tuple[int, int]]:
    """Where each sequence starts and ends in a pack."""
    return pairwise(accumulate(parts or [len(ids)], initial=0))
