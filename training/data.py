"""Shards to batches: the lengths of rows decide which rows go together, before any sequence is read.

The batches of an epoch depend on the seed and the data, not on the number of devices, so a run can continue from any
step and on other machines. Shards are read by row group; memory holds one window of `shuffle_rows` rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..pipeline.dataset.manifest import Manifest
from ..pipeline.dataset.reader import MANIFEST, Dataset, opened
from ..pipeline.dataset.vocabulary import read_vocabulary
from ..pipeline.errors import UserError
from ..pipeline.kinds import check_whole
from ..pipeline.randomness import generator
from ..pipeline.storage.atomic import file_sha256
from ..pipeline.storage.objects import Place
from .sequences import SequenceFormat

WHAT_ELSE = "`duplexgen verify` says what else is wrong."


@dataclass(frozen=True, slots=True)
class Row:
    """A row to train on."""

    number: int  # counted through all data sets
    dialogue_id: str
    sequences: tuple[NDArray[np.int32], ...]  # one per side, ids [length], or [length, streams] if there are several
    parts: tuple[int, ...] = ()  # lengths of the rows that are packed in it, in order; empty: it is no pack

    @property
    def num_positions(self) -> int:
        return sum(map(len, self.sequences))


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows of one shard that are read together."""

    shard: Place
    columns: pa.Schema  # of the shard
    number: int  # in the shard
    first_row: int  # counted through all data sets
    lengths: NDArray[np.int32]  # of the first side of each row: its positions

    @property
    def rows(self) -> range:
        return range(self.first_row, self.first_row + len(self.lengths))


@dataclass(frozen=True)
class TrainingData:
    """Finished data sets of one kind and one vocabulary."""

    folders: Sequence[Place]
    kind: str  # of data sets: DIALOGUES or PREFERENCES
    sides: Sequence[str] = ("",)  # prefixes of the column of ids, one per sequence; those of a row have equal length

    @cached_property
    def format(self) -> SequenceFormat:
        """How the sequences are read, as the first data set says it; raises UserError unless the others agree."""
        first = SequenceFormat.read(self.folders[0])
        for folder in self.folders[1:]:
            if unlike := SequenceFormat.read(folder).described.unlike(first.described):
                raise UserError(
                    f"{folder} and {self.folders[0]} do not go together: {', '.join(unlike)} of their vocabulary.json "
                    "differ. Build both with the same tokens, layout and output.sample_rate."
                )
        return first

    @property
    def columns(self) -> list[str]:
        """Names of the columns of ids, one per side."""
        return [f"{side}{self.format.layout.IDS}" for side in self.sides]

    @cached_property
    def manifests(self) -> list[Manifest]:
        return [Dataset(folder).manifest for folder in self.folders]

    @property
    def tokens(self) -> dict[str, Any]:
        """The section of the recipe that says where the tokenizers are."""
        return Dataset(self.folders[0]).tokens.model_dump(mode="json")

    def provenance(self) -> list[dict[str, str]]:
        """The name of each data set and the checksum of its manifest."""
        return [
            {"name": manifest.name, "manifest_sha256": file_sha256(folder / MANIFEST)}
            for folder, manifest in zip(self.folders, self.manifests, strict=True)
        ]

    def check(self) -> None:
        """Raise UserError unless every data set is finished, of this kind, and holds the bytes that were built.

        It also reads the vocabularies, which the trained model takes over: a run must not fail after its last step.
        """
        for folder in self.folders:
            dataset = Dataset(folder)
            if failures := check_whole(dataset):
                listed = "".join(f"\n  {failure}" for failure in failures)
                raise UserError(
                    f"{folder} is not what was built, and nothing was trained:{listed}\nBuild or copy it again."
                )
            if dataset.kind != self.kind:
                raise UserError(f"{folder} is a data set of {dataset.kind}: expected one of {self.kind}.")
            read_vocabulary(folder)

    @cached_property
    def groups(self) -> list[list[RowGroup]]:
        """Row groups of each data set."""
        sets: list[list[RowGroup]] = []
        row = 0
        for folder in self.folders:
            sets.append([])
            dataset = Dataset(folder)
            for shard in dataset.shards:
                with opened(shard, dataset.columns) as file:
                    for number in range(file.num_row_groups):
                        ids = file.read_row_group(number, columns=self.columns[:1])[self.columns[0]]
                        lengths = _lengths(ids.combine_chunks())
                        sets[-1].append(RowGroup(shard, dataset.columns, number, row, lengths))
                        row += len(lengths)
            if not any(len(group.lengths) for group in sets[-1]):
                raise UserError(f"{folder} has no rows: there is nothing to train on.")
        return sets

    @property
    def num_rows(self) -> int:
        return self.groups[-1][-1].rows.stop

    @cached_property
    def longest(self) -> int:
        """Positions of the longest sequence."""
        return max(int(group.lengths.max(initial=0)) for groups in self.groups for group in groups)

    def read(self, group: RowGroup) -> list[Row]:
        """Rows of a group; raises UserError if their ids are damaged."""
        with opened(group.shard, group.columns) as file:
            table = file.read_row_group(group.number, columns=["dialogue_id", *self.columns])
            table.validate(full=True)
        ids = table["dialogue_id"].to_pylist()
        sides = [self._sequences(group, name, table[name].combine_chunks()) for name in self.columns]
        for name, sequences in zip(self.columns, sides, strict=True):
            self._check_sequences(group, name, sequences)
        return [Row(*fields) for fields in zip(group.rows, ids, zip(*sides, strict=True), strict=True)]

    def _check_sequences(self, group: RowGroup, name: str, sequences: list[NDArray[np.int32]]) -> None:
        """Raise UserError unless each sequence holds ids of the vocabulary, as many as the row's other sides."""
        vocabulary = self.format.vocabulary
        for sequence, length in zip(sequences, group.lengths, strict=True):
            if len(sequence) != length:
                raise UserError(
                    f"{group.shard}: a row has {len(sequence)} positions in {name}, and {length} in {self.columns[0]}: "
                    f"expected equal numbers. {WHAT_ELSE}"
                )
            if len(sequence) == 0 or not vocabulary.holds(sequence.reshape(length, -1)).all():
                raise UserError(
                    f"{group.shard}: a row has no ids in {name}, or one outside {vocabulary.held}. {WHAT_ELSE}"
                )

    def _sequences(self, group: RowGroup, name: str, lists: pa.ListArray) -> list[NDArray[np.int32]]:
        """Each row's ids, as `Row` has them; raises UserError if a row has other streams than the layout."""
        if self.format.streams == 1:
            return _arrays(lists)
        streams = _arrays(lists.values)
        sequences = []
        for start, stop in pairwise(lists.offsets.to_pylist()):
            of_row = streams[start:stop]
            if len(of_row) != self.format.streams or len({len(stream) for stream in of_row}) != 1:
                raise UserError(
                    f"{group.shard}: a row has {len(of_row)} streams in {name}, expected {self.format.streams} of "
                    f"equal length. {WHAT_ELSE}"
                )
            sequences.append(np.stack(of_row, axis=1))
        return sequences


class Rows(Protocol):
    """What batches are made of."""

    @property
    def columns(self) -> list[str]:
        """Names of the columns of ids, one per side."""
        ...

    @property
    def groups(self) -> list[list[RowGroup]]:
        """Row groups of each data set."""
        ...

    @property
    def num_rows(self) -> int: ...

    def read(self, group: RowGroup) -> list[Row]: ...


@dataclass(frozen=True)
class Batches:
    """The batches of each epoch: rows of similar length, in an order that the seed decides."""

    data: Rows
    seed: int
    batch_size: int
    shuffle_rows: int
    mix: Literal["all", "equal"] = "all"

    @cached_property
    def rows_per_epoch(self) -> list[int]:
        """How many rows of each data set an epoch takes."""
        sizes = [sum(len(group.lengths) for group in groups) for groups in self.data.groups]
        return [min(sizes)] * len(sizes) if self.mix == "equal" else sizes

    @property
    def steps_per_epoch(self) -> int:
        return -(-sum(self.rows_per_epoch) // self.batch_size)

    def from_step(self, step: int) -> Iterator[list[Row]]:
        """Batches without end, starting with that of this step; earlier windows of the epoch are not read."""
        epoch, skip = divmod(step, self.steps_per_epoch)
        while True:
            yield from self._epoch(epoch, skip)
            epoch, skip = epoch + 1, 0

    def _epoch(self, epoch: int, skip: int) -> Iterator[list[Row]]:
        rng = generator(self.seed, str(epoch), "batches")
        for batches in self._plan(rng):
            rest, skip = batches[skip:], max(skip - len(batches), 0)
            if rest:
                rows = self._read(np.concatenate(rest))
                for batch in rest:
                    yield [rows[row] for row in batch]

    def _read(self, numbers: NDArray[np.int64]) -> dict[int, Row]:
        groups = [group for groups in self.data.groups for group in groups]
        starts = [group.first_row for group in groups]
        of_window = set(numbers.tolist())
        rows: dict[int, Row] = {}
        for index in np.unique(np.searchsorted(starts, numbers, side="right") - 1):
            rows |= {row.number: row for row in self.data.read(groups[index]) if row.number in of_window}
        return rows

    def _plan(self, rng: np.random.Generator) -> Iterator[list[NDArray[np.int64]]]:
        """Row numbers of each batch, one window at a time; rows that fill no batch wait for the next window."""
        rows, lengths = np.empty(0, np.int64), np.empty(0, np.int32)
        groups = self._draw_groups(rng)
        while groups or len(rows):
            drawn_rows, drawn_lengths = [rows], [lengths]
            while groups and sum(map(len, drawn_rows)) < max(self.shuffle_rows, self.batch_size):
                group, count = groups.pop()
                places = rng.permutation(len(group.lengths))[:count]
                drawn_rows.append(group.first_row + places)
                drawn_lengths.append(group.lengths[places])
            rows, lengths = np.concatenate(drawn_rows), np.concatenate(drawn_lengths)
            order = rng.permutation(len(rows))
            whole = len(rows) - len(rows) % self.batch_size if groups else len(rows)
            now, later = order[:whole], order[whole:]
            by_length = rows[now][np.argsort(lengths[now], kind="stable")]
            batches = [by_length[start : start + self.batch_size] for start in range(0, whole, self.batch_size)]
            rows, lengths = rows[later], lengths[later]
            yield [batches[index] for index in rng.permutation(len(batches))]

    def _draw_groups(self, rng: np.random.Generator) -> list[tuple[RowGroup, int]]:
        """Row groups, each with the number of rows to take of it, the data sets evenly mixed.

        The group to read first is the last of the list: `_plan` takes from the end.
        """
        places: list[tuple[float, RowGroup, int]] = []
        for groups, total in zip(self.data.groups, self.rows_per_epoch, strict=True):
            left = total
            for index in rng.permutation(len(groups)):
                if count := min(left, len(groups[index].lengths)):
                    places.append(((total - left) / total, groups[index], count))
                    left -= count
        places.sort(key=lambda place: place[0], reverse=True)
        return [(group, count) for _, group, count in places]


def _lengths(lists: pa.ListArray) -> NDArray[np.int32]:
    """How many positions each row has: its ids, or those of its first stream; 0 if there are none."""
    lengths: NDArray[np.int32] = pc.list_value_length(lists).fill_null(0).to_numpy()
    if not pa.types.is_list(lists.type.value_type):
        return lengths
    of_streams = np.append(pc.list_value_length(lists.values).fill_null(0).to_numpy(), 0)
    firsts: NDArray[np.int32] = np.where(lengths > 0, of_streams[lists.offsets.to_numpy()[:-1]], 0)
    return firsts


def _arrays(lists: pa.ListArray) -> list[NDArray[np.int32]]:
    offsets = lists.offsets.to_numpy()
    values = lists.values.fill_null(-1).to_numpy()  # -1 is not an id
    return [values[start:stop] for start, stop in pairwise(offsets)]
