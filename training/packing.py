"""Rows of parallel streams, joined to sequences of nearly the same length (FLM-Audio section 3.1: 8,192 columns).

Rows of one row group are packed, once and for all epochs, so that a shard is still read by row group.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..pipeline.errors import UserError
from ..pipeline.randomness import generator
from .data import Row, RowGroup, TrainingData


@dataclass(frozen=True)
class PackedData:
    """Training data whose rows are packs of the rows of `data`: what `Batches` takes in its place."""

    data: TrainingData
    limit: int  # columns of a pack, at most
    seed: int

    def check(self) -> None:
        """Raise UserError if these data cannot be packed so."""
        if self.data.format.streams == 1:
            raise UserError(
                f"optimization.pack_columns is for layouts of parallel streams, and {self.data.folders[0]} has the "
                f"layout {self.data.format.layout.name}. Remove it from the recipe."
            )
        if self.data.longest > self.limit:
            raise UserError(
                f"the longest row has {self.data.longest} columns, and optimization.pack_columns is {self.limit}. "
                "Raise it, or build shorter dialogues."
            )

    @cached_property
    def packs(self) -> list[list[list[list[int]]]]:
        """Of each row group of each data set, its packs: places of rows in the group."""
        return [[self._packs_of(group) for group in groups] for groups in self.data.groups]

    def _packs_of(self, group: RowGroup) -> list[list[int]]:
        order = generator(self.seed, str(group.first_row), "packs").permutation(len(group.lengths))
        return first_fit(group.lengths, order, self.limit)

    @cached_property
    def groups(self) -> list[list[RowGroup]]:
        """Row groups, with packs in place of rows; packs are counted through all data sets."""
        sets: list[list[RowGroup]] = []
        first = 0
        for groups, packs_of_groups in zip(self.data.groups, self.packs, strict=True):
            sets.append([])
            for group, packs in zip(groups, packs_of_groups, strict=True):
                lengths = np.array([group.lengths[pack].sum() for pack in packs], np.int32)
                sets[-1].append(replace(group, first_row=first, lengths=lengths))
                first += len(packs)
        return sets

    @property
    def columns(self) -> list[str]:
        return self.data.columns

    @property
    def longest(self) -> int:
        """Columns of a pack, at most."""
        return self.limit

    @property
    def num_rows(self) -> int:
        return self.groups[-1][-1].rows.stop

    @cached_property
    def _own(self) -> dict[int, tuple[RowGroup, list[list[int]]]]:
        """Of each row group of packs, by its first pack: the row group, and what is packed of it."""
        return {
            group.first_row: (own, packs)
            for groups, own_groups, of_groups in zip(self.groups, self.data.groups, self.packs, strict=True)
            for group, own, packs in zip(groups, own_groups, of_groups, strict=True)
            if packs
        }

    def read(self, group: RowGroup) -> list[Row]:
        """The packs of a group; raises UserError if their ids are damaged."""
        own, packs = self._own[group.first_row]
        rows = self.data.read(own)
        numbered = zip(group.rows, packs, strict=True)
        return [_joined(number, [rows[place] for place in pack]) for number, pack in numbered]


def first_fit(lengths: NDArray[np.int32], order: NDArray[np.int64], limit: int) -> list[list[int]]:
    """Places of `lengths` in packs whose lengths sum up to at most `limit`: each goes to the first that has room."""
    packs: list[list[int]] = []
    room = np.full(len(lengths), limit)  # of packs that there are, and may be
    for place in order.tolist():
        pack = int(np.argmax(room[: len(packs) + 1] >= lengths[place]))
        if pack == len(packs):
            packs.append([])
        packs[pack].append(place)
        room[pack] -= lengths[place]
    return packs


def _joined(number: int, rows: Sequence[Row]) -> Row:
    ids = np.concatenate([row.sequences[0] for row in rows])
    names = " + ".join(row.dialogue_id for row in rows)
    return Row(number, names, (ids,), tuple(len(row.sequences[0]) for row in rows))
