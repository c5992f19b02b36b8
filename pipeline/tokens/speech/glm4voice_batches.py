"""GLM-4-Voice's tokenizer for signals that are known as a whole: many segments, and all their prefixes, in one pass.

A code depends on the prefix of its segment that was heard when it was given. Offline, that is the whole segment. In
streaming, each block of `block_frames` ends a prefix. A position's attention sees all of its own block of 4 s and the
blocks before, so positions of whole blocks are the same in all prefixes, and those of the open block are others in
each. With prefixes that end every 0.8 s, a segment is this list of copies of positions:

    of whole blocks            0 … 199, 200 … 399, 400 … 599, …
    of open blocks             0 … 39          0 … 79          0 … 119         0 … 159
                               200 … 239       200 … 279       …

That is three times what a segment has offline. The linear layers get the copies of many segments as one list, without
padding. Attention is computed for all blocks of equal shape together, without a mask.

There is one exception, as in a stream. Features are clamped to 80 dB below the loudest moment of the prefix. Prefixes
that are clamped at another level have all of their positions computed anew: they are a `Row` of their own.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from . import neural
from .glm4voice_stream import HOP, MARGIN, NAME, RANGE, Encoder, mirrored
from .whisper_vq import STRIDE, Attention, WhisperVQ

SEGMENTS_AT_ONCE = 128  # whose features are held
# Copies of positions in one pass; the published model's widest layer has 20 KB of each. On a GPU a pass starts
# about as many kernels however many copies it has; on a processor, not even a second segment gains anything.
MOST_COPIES = {"cpu": 5_000, "cuda": 131_072}


class Task(NamedTuple):
    """A signal and where its codes go."""

    samples: NDArray[np.int16]  # [frames * frame_samples]
    codes: NDArray[np.int16]  # [frames]


@dataclass(frozen=True)
class Segment:
    """A segment of a signal, the ends of its prefixes, in frames, and where its codes go."""

    samples: NDArray[np.int16]  # [frames * frame_samples]
    codes: NDArray[np.int16]  # [frames]
    ends: tuple[int, ...]  # ascending; the last is the segment's


@dataclass(frozen=True)
class Row:
    """Prefixes of a segment whose features are the same as far as both go."""

    log_mel: Tensor  # [mels, n], of the segment
    floor: float  # what is quieter is clamped; -inf: nothing is
    first: int  # frame of its first code
    ends: tuple[int, ...]
    codes: NDArray[np.int16]  # where those from `first` to its last end go


def segments_of(tasks: Sequence[Task], encoder: Encoder, block_frames: int | None) -> Iterator[Segment]:
    """The segments of signals. block_frames: whose codes are given at once; None: those of a segment."""
    size = encoder.frame_samples
    for task in tasks:
        for start in range(0, len(task.codes), encoder.segment_frames):
            end = min(start + encoder.segment_frames, len(task.codes))
            block = block_frames or end
            ends = range((start // block + 1) * block, end, block)
            samples = task.samples[start * size : end * size]
            yield Segment(samples, task.codes[start:end], (*(each - start for each in ends), end - start))


class Batches:
    """Encodes segments of many signals together."""

    def __init__(self, encoder: Encoder, most_copies: int | None = None) -> None:
        """most_copies: of positions in one pass; None: as the device allows. A row alone may have more: see `_cut`."""
        self._encoder = encoder
        most = MOST_COPIES[encoder.filters.device.type] if most_copies is None else most_copies
        self._room = neural.Room(most, f"positions of {NAME}")

    def encode(self, tasks: Sequence[Task], block_frames: int | None) -> None:
        """Write the codes of signals. block_frames: whose codes are given at once; None: those of a segment."""
        segments = list(segments_of(tasks, self._encoder, block_frames))
        with torch.inference_mode(), neural.enough_memory(NAME):
            for at in range(0, len(segments), SEGMENTS_AT_ONCE):
                rows = self._rows(segments[at : at + SEGMENTS_AT_ONCE])
                rows.sort(key=lambda row: row.ends[-1])  # their features are padded to the longest
                for row, codes in zip(rows, self._room.run(rows, self._cost, self._codes), strict=True):
                    row.codes[:] = codes.cpu().numpy()

    def _rows(self, segments: Sequence[Segment]) -> list[Row]:
        heard = [self._heard(segment) for segment in segments]
        levels = iter(torch.cat([levels for _, levels in heard]).tolist())  # the device is waited for once
        rows: list[Row] = []
        for segment, (log_mel, _) in zip(segments, heard, strict=True):
            floors = [
                loudest - RANGE if quietest < loudest - RANGE else -np.inf
                for loudest, quietest in islice(levels, len(segment.ends))
            ]
            rows += self._cut(segment, log_mel, floors)
        return rows

    def _heard(self, segment: Segment) -> tuple[Tensor, Tensor]:
        """Log powers [mels, n] of a segment, and the loudest and the quietest of each prefix, [prefixes, 2].

        The last mel frame of a prefix mirrors what was before it. It reaches no position, but it may be the loudest.
        """
        signal, size = self._encoder.signal(segment.samples), self._encoder.frame_samples
        log_mel = self._encoder.log_mel(mirrored(signal, at_start=True))
        before = torch.tensor(segment.ends, device=signal.device) * (size // HOP) - 2
        loudest = log_mel.amax(dim=0).cummax(dim=0).values[before]
        quietest = log_mel.amin(dim=0).cummin(dim=0).values[before]
        last = log_mel[:, -1].amax()[None]
        if inner := segment.ends[:-1]:
            tails = torch.stack([signal[end * size - HOP - MARGIN : end * size] for end in inner])
            last = torch.cat([self._encoder.log_mel(mirrored(tails, at_start=False)).amax(dim=(1, 2)), last])
        return log_mel, torch.stack([torch.maximum(loudest, last), quietest], dim=1)

    def _cut(self, segment: Segment, log_mel: Tensor, floors: Sequence[float]) -> Iterator[Row]:
        """The rows of a segment.

        If one has more copies than a pass may have, it is cut. Each part has the whole blocks once more, and so at
        most the positions of a segment beyond what a pass may have.
        """
        ends, first = segment.ends, 0
        for past in range(1, len(ends) + 1):
            together = past < len(ends) and floors[past] == floors[first]
            if together and self._copies(ends[first : past + 1]) <= self._room.most:
                continue
            start = ends[first - 1] if first else 0
            yield Row(log_mel, floors[first], start, ends[first:past], segment.codes[start : ends[past - 1]])
            first = past

    def _copies(self, ends: Sequence[int]) -> int:
        network = self._encoder.network
        open_blocks = sum(end * network.pooled % network.block for end in ends)
        return int(ends[-1] * network.pooled // network.block * network.block + open_blocks)

    def _cost(self, rows: Sequence[Row]) -> int:
        """Positions that a pass of rows holds at a time: those of the convolutions are padded."""
        return max(len(rows) * self._padded(rows), sum(self._copies(row.ends) for row in rows))

    def _padded(self, rows: Sequence[Row]) -> int:
        """Positions of whole blocks, as kernels of convolutions are chosen anew for each new length."""
        network = self._encoder.network
        longest = max(row.ends[-1] for row in rows) * network.pooled
        return int(-(-longest // network.block) * network.block)

    def _codes(self, rows: Sequence[Row]) -> list[Tensor]:
        """Codes [frames] of each row, from its first frame to its last end.

        They stay on the device, which works on them while the next pass is prepared.
        """
        network, padded = self._encoder.network, self._padded(rows)
        device = self._encoder.filters.device
        plan = Plan.of(rows, network)
        features = torch.stack([self._features(row, padded) for row in rows])
        places = torch.from_numpy(plan.places).to(device)
        hidden = network.convolved(features).flatten(0, 1)[torch.from_numpy(plan.rows).to(device) * padded + places]
        hidden += network.embed_positions(places)
        attention = [
            Attention(torch.from_numpy(queries).to(device), torch.from_numpy(keys).to(device))
            for queries, keys in plan.attention
        ]
        codes = network.together(hidden, attention, torch.from_numpy(plan.frames).to(device))
        return list(torch.split(codes, [len(row.codes) for row in rows]))

    def _features(self, row: Row, padded: int) -> Tensor:
        """Of whole Whisper features [mels, padded * STRIDE] those of the row, then zeros."""
        heard = row.log_mel[:, : row.ends[-1] * self._encoder.frame_samples // HOP]
        return functional.pad((heard.clamp(min=row.floor) + 4) / 4, (0, padded * STRIDE - heard.shape[1]))


@dataclass(frozen=True)
class Plan:
    """The copies of positions of some rows, as one list, and what each attends to."""

    rows: NDArray[np.int64]  # [copies], of each copy
    places: NDArray[np.int64]  # [copies], in its segment
    attention: list[tuple[NDArray[np.int64], NDArray[np.int64]]]  # copies: queries [n, q] and their keys [n, k]
    frames: NDArray[np.int64]  # [codes, pooled], the copies of each code, row by row

    @classmethod
    def of(cls, rows: Sequence[Row], network: WhisperVQ) -> "Plan":
        block, pooled = network.block, network.pooled
        numbers, places, frames = [], [], []
        shapes: defaultdict[tuple[int, int], list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = defaultdict(list)
        count = 0

        def copies(number: int, start: int, end: int) -> NDArray[np.int64]:
            nonlocal count
            numbers.append(np.full(end - start, number))
            places.append(np.arange(start, end))
            count += end - start
            return np.arange(count - (end - start), count)

        def attend(queries: NDArray[np.int64], keys: NDArray[np.int64]) -> None:
            if len(queries):
                shapes[len(queries), len(keys)].append((queries, keys))

        for number, row in enumerate(rows):
            whole = copies(number, 0, row.ends[-1] * pooled // block * block)
            for end in range(block, len(whole) + 1, block):
                attend(whole[end - block : end], whole[:end])
            first = row.first
            for end in row.ends:
                start = end * pooled // block * block
                opened = copies(number, start, end * pooled)
                heard = np.concatenate([whole[:start], opened])
                attend(opened, heard)
                frames.append(heard[first * pooled :])
                first = end
        attention = [
            (np.stack([queries for queries, _ in same]), np.stack([keys for _, keys in same]))
            for same in shapes.values()
        ]
        of_codes = np.concatenate(frames).reshape(-1, pooled)
        return cls(np.concatenate(numbers), np.concatenate(places), attention, of_codes)
