"""Rows of a data set by their numbers. Only the row group of a row is read, and only the columns that are asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock
from typing import Any

import pyarrow as pa

from ..errors import UserError
from ..storage.objects import Place
from .manifest import DATA
from .reader import BATCH_ROWS, Dataset, malformed, opened
from .row_sizes import rows_of

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """A row group of a shard."""

    shard: Place
    number: int  # in its shard
    first: int  # the number of its first row in the data set
    rows: int


class RowGroups:
    """The row groups of a data set. The footer of a shard is read when one of its rows is asked for, and kept."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._files = dataset.manifest.listed(DATA)
        self._edges = [0, *accumulate(file.rows or 0 for file in self._files)]
        self._of_shard: dict[int, list[Group]] = {}
        self._lock = Lock()

    @property
    def rows(self) -> int:
        return self._edges[-1]

    @property
    def shards(self) -> int:
        return len(self._files)

    def path(self, shard: int) -> Place:
        """Raises UserError if it is missing."""
        return self.dataset.own(self._files[shard].path)

    def of_shard(self, number: int) -> list[Group]:
        """Raises UserError if the shard is damaged, or has other rows than the manifest says."""
        with self._lock:
            if number not in self._of_shard:
                self._of_shard[number] = self._read_footer(number)
            return self._of_shard[number]

    def shard_rows(self, number: int) -> range:
        """Numbers of the rows that a shard has by the manifest."""
        return range(self._edges[number], self._edges[number + 1])

    def shard_of(self, row: int) -> int:
        """Which shard has a row. Raises UserError if there is no such row."""
        if not 0 <= row < self.rows:
            raise UserError(f"{self.dataset.place} has no row {row}: expected a number from 0 to {self.rows - 1}.")
        return next(number for number, past in enumerate(self._edges[1:]) if row < past)

    def group_of(self, row: int) -> Group:
        """The row group of a row. Raises UserError if there is none, or its shard is damaged."""
        groups = self.of_shard(self.shard_of(row))
        return next(group for group in groups if row < group.first + group.rows)

    def read(self, numbers: Sequence[int], columns: Sequence[str] | None) -> Iterator[tuple[int, Row]]:
        """Rows by their numbers, which are in order; a row group is opened once. columns: None: all.

        Raises UserError at a row that cannot be read.
        """
        waiting = list(numbers)
        while waiting:
            group = self.group_of(waiting[0])
            ours = [number for number in waiting if number < group.first + group.rows]
            yield from self._read_group(group, ours, columns)
            waiting = waiting[len(ours) :]

    def row(self, number: int, columns: Sequence[str] | None = None) -> Row:
        ((_, row),) = self.read([number], columns)
        return row

    def _read_group(self, group: Group, numbers: list[int], columns: Sequence[str] | None) -> Iterator[tuple[int, Row]]:
        wanted, first = set(numbers), group.first
        with opened(group.shard, self.dataset.columns) as file:
            for batch in file.iter_batches(
                BATCH_ROWS, row_groups=[group.number], columns=columns and list(columns), use_threads=False
            ):
                for number in sorted(wanted & {*range(first, first + batch.num_rows)}):
                    yield number, self._checked(number, batch.slice(number - first, 1))
                first += batch.num_rows
                if first > numbers[-1]:
                    return
        raise malformed(group.shard, [f"row group {group.number} has fewer rows than the {group.rows} of its footer"])

    def _checked(self, number: int, batch: pa.RecordBatch) -> Row:
        ((_, row, problem),) = rows_of(batch)
        if row is None:
            raise UserError(
                f"{self.dataset.place}: row {number} {problem}. `duplexgen verify` says what else is wrong."
            )
        return row

    def _read_footer(self, number: int) -> list[Group]:
        shard, expected = self.path(number), self.shard_rows(number)
        with opened(shard, self.dataset.columns) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        if sum(sizes) != len(expected):
            raise malformed(shard, [f"has {sum(sizes)} rows, and the manifest says {len(expected)}"])
        firsts = accumulate(sizes, initial=expected.start)
        return [Group(shard, at, first, size) for at, (first, size) in enumerate(zip(firsts, sizes, strict=False))]
