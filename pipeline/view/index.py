"""What dialogues can be found by: a light index of a data set, made while somebody looks at it.

It reads the columns that are small, one row group at a time, and keeps a few bytes per dialogue. A page without filters
needs only the row groups that it shows.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock, Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..dataset.reader import Dataset, opened
from ..dataset.row_groups import Group, RowGroups
from ..dialogue import FIGURES
from ..errors import UserError
from ..escapes import visible
from ..pairs.kind import PREFERENCES

OF_DIALOGUES = (
    *("dialogue_id", "source", "scenario", "language"),
    *(f"events.list.element.{name}" for name in ("kind", "voice", "end_sample")),
    *(f"events.list.element.quality.{name}" for name in FIGURES),
)
OF_PAIRS = ("dialogue_id", "scenario", "mistake", "capped", "chosen_delay_s", "rejected_delay_s")
TAGS = {
    "dialogues": ("source", "scenario", "language", "kind", "voice"),
    PREFERENCES: ("scenario", "mistake", "capped"),
}
"""What a filter may name, by the kind of data set."""
BETTER_HIGH = frozenset({"dnsmos", "similarity"})  # the worst of a dialogue is the lowest
MOST_VALUES = 1000  # of one filter
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Tags:
    """The values of one filter in the rows of a group; a row may have several."""

    values: list[str]
    codes: NDArray[np.int64]  # which value
    rows: NDArray[np.int64]  # of which row, ascending

    def has(self, value: str, num_rows: int) -> Flags:
        flags = np.zeros(num_rows, np.bool_)
        if value in self.values:
            flags[self.rows[self.codes == self.values.index(value)]] = True
        return flags

    def of(self, row: int) -> Counter[str]:
        first, past = np.searchsorted(self.rows, [row, row + 1])
        return Counter(self.values[code] for code in self.codes[first:past])

    def counts(self) -> Counter[str]:
        """How many rows have each value."""
        distinct = np.unique(self.rows * len(self.values) + self.codes) if self.values else self.codes
        codes, counts = np.unique(distinct % max(1, len(self.values)), return_counts=True)
        return Counter({self.values[code]: int(count) for code, count in zip(codes, counts, strict=True)})


@dataclass(frozen=True)
class Indexed:
    """What is known of the rows of a group; if it cannot be read, why."""

    first: int
    rows: int
    ids: pa.Array | None = None
    tags: Mapping[str, Tags] = field(default_factory=dict)
    numbers: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    problem: str = ""

    def found(self, query: "Query") -> NDArray[np.int64]:
        """Numbers of the rows that a query finds, in order. Rows that cannot be read are found if nothing is asked."""
        if self.problem:
            return np.arange(0 if query.asks else self.rows) + self.first
        flags = np.ones(self.rows, np.bool_)
        for name, value in query.tags.items():
            flags &= self.tags[name].has(value, self.rows) if name in self.tags else False
        if query.text:
            flags &= pc.match_substring(self.ids, query.text, ignore_case=True).to_numpy(zero_copy_only=False)
        if query.figure:
            values = self.numbers.get(query.figure, np.full(self.rows, np.nan))
            flags &= (values >= query.least) & (values <= query.most)  # not a number: it was not measured
        return np.flatnonzero(flags) + self.first

    def shown(self, number: int) -> dict[str, Any]:
        """One row as the table shows it."""
        at = number - self.first
        if self.problem or self.ids is None:
            return {"number": number, "problem": self.problem}
        numbers = {name: float(values[at]) for name, values in self.numbers.items() if np.isfinite(values[at])}
        tags = {name: dict(tags.of(at)) for name, tags in self.tags.items()}
        return {"number": number, "id": self.ids[at].as_py(), "tags": tags, "numbers": numbers}


@dataclass(frozen=True)
class Query:
    """What a person looks for; all of it must hold."""

    tags: Mapping[str, str] = field(default_factory=dict)
    text: str = ""  # part of an id
    figure: str = ""  # of the worst utterance, within [least, most]
    least: float = -np.inf
    most: float = np.inf

    @property
    def asks(self) -> bool:
        return bool(self.tags or self.text or self.figure)


@dataclass(frozen=True)
class Page:
    """A part of what a query finds; if the index is not whole yet, in the rows that were searched."""

    rows: list[dict[str, Any]]
    found: int
    searched: int


class Index:
    """The index of a data set. `page` and `facets` may be called by several threads."""

    def __init__(self, dataset: Dataset, groups: RowGroups) -> None:
        self.dataset, self.groups = dataset, groups
        self.columns = OF_PAIRS if dataset.kind == PREFERENCES else OF_DIALOGUES
        self._done: dict[int, list[Indexed]] = {}  # by shard
        self._lock, self._thread = Lock(), Thread(target=self._fill, daemon=True)

    def start(self) -> None:
        """Index all rows, in a thread of its own; the second call does nothing."""
        with self._lock:
            if not self._thread.ident:
                self._thread.start()

    def wait(self) -> None:
        """Until all rows are indexed."""
        self.start()
        self._thread.join()

    def page(self, query: Query, offset: int, limit: int) -> Page:
        if not query.asks:
            last = min(offset + limit, self.groups.rows)
            return Page([*self._rows(range(offset, last))], self.groups.rows, self.groups.rows)
        self.start()
        indexed = self.indexed
        found = np.concatenate([np.zeros(0, np.int64), *(one.found(query) for one in indexed)])
        by_first = {one.first: one for one in indexed}
        firsts = np.array(sorted(by_first), np.int64)
        numbers = found[offset : offset + limit]
        places = firsts[np.searchsorted(firsts, numbers, "right") - 1]
        of = zip(numbers.tolist(), places.tolist(), strict=True)
        rows = [by_first[first].shown(number) for number, first in of]
        return Page(rows, len(found), sum(one.rows for one in indexed))

    def facets(self) -> dict[str, Any]:
        """The values of each filter with the number of their rows, and the ranges of figures."""
        self.start()
        tags: dict[str, Counter[str]] = {name: Counter() for name in TAGS.get(self.dataset.kind, ())}
        ranges: dict[str, tuple[float, float]] = {}
        indexed = self.indexed
        for one in indexed:
            for name, of_group in one.tags.items():
                tags[name] += of_group.counts()
            for name, values in one.numbers.items():
                if (known := values[np.isfinite(values)]).size:
                    least, most = ranges.get(name, (np.inf, -np.inf))
                    ranges[name] = min(least, float(known.min())), max(most, float(known.max()))
        return {
            "tags": {name: counts.most_common(MOST_VALUES) for name, counts in tags.items()},
            "ranges": {name: ranges[name] for name in ranges if name in FIGURES},
            "searched": sum(one.rows for one in indexed),
            "rows": self.groups.rows,
        }

    @property
    def indexed(self) -> list[Indexed]:
        """What is indexed so far, in order."""
        return [one for shard in range(self.groups.shards) for one in self._done.get(shard, ())]

    def _fill(self) -> None:
        for shard in range(self.groups.shards):
            self._done[shard] = []
            for one in self._of_shard(shard):
                self._done[shard].append(one)

    def _of_shard(self, shard: int) -> Iterator[Indexed]:
        """The groups of a shard, which is opened once: its footer is checked each time."""
        rows = self.groups.shard_rows(shard)
        done = rows.start
        try:
            groups = self.groups.of_shard(shard)
            with opened(self.groups.path(shard), self.dataset.columns) as file:
                for group in groups:
                    yield self._of_group(file, group)
                    done = group.first + group.rows
        except UserError as error:
            yield Indexed(done, rows.stop - done, problem=str(error))

    def _rows(self, numbers: range) -> Iterator[dict[str, Any]]:
        """Rows of the table, without the index of the others."""
        number = numbers.start
        while number < numbers.stop:
            try:
                group = self.groups.group_of(number)
                with opened(group.shard, self.dataset.columns) as file:
                    one = self._of_group(file, group)
            except UserError as error:
                rows = self.groups.shard_rows(self.groups.shard_of(number))
                one = Indexed(rows.start, len(rows), problem=str(error))
            past = min(one.first + one.rows, numbers.stop)
            yield from (one.shown(at) for at in range(number, past))
            number = past

    def _of_group(self, file: pq.ParquetFile, group: Group) -> Indexed:
        try:
            table = file.read_row_group(group.number, columns=list(self.columns), use_threads=False)
            table.validate(full=True)
            return self._indexed(group, table.combine_chunks())
        except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
            says = f"{group.shard} is damaged ({visible(str(error), 300)}). `duplexgen verify` says what else is."
            return Indexed(group.first, group.rows, problem=says)

    def _indexed(self, group: Group, table: pa.Table) -> Indexed:
        of_row = {name: _tags(_only(table[name])) for name in table.column_names if name in TAGS[self.dataset.kind]}
        ids = _only(table["dialogue_id"])
        if "events" not in table.column_names:
            delays = {name: table[name].to_numpy() for name in ("chosen_delay_s", "rejected_delay_s")}
            return Indexed(group.first, group.rows, ids, of_row, delays)
        events = _Events(_only(table["events"]), group.rows)
        tags = of_row | {name: _tags(events.field(name), events.rows) for name in ("kind", "voice")}
        ends = events.worst(events.field("end_sample"), lowest=False) / self.dataset.sample_rate
        quality = {name: events.worst(events.figure(name), lowest=name in BETTER_HIGH) for name in FIGURES}
        return Indexed(group.first, group.rows, ids, tags, {"ends_s": ends} | quality)


@dataclass(frozen=True)
class _Events:
    """The events of the rows of a group."""

    column: pa.ListArray
    num_rows: int

    @cached_property
    def values(self) -> pa.StructArray:
        return self.column.flatten()

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        parents: NDArray[np.int64] = pc.list_parent_indices(self.column).to_numpy(zero_copy_only=False)
        return parents

    def field(self, name: str) -> pa.Array:
        return pc.struct_field(self.values, name)

    def figure(self, name: str) -> pa.Array:
        return pc.struct_field(self.field("quality"), name)

    def worst(self, values: pa.Array, lowest: bool) -> NDArray[np.float64]:
        """For each row, the lowest or the highest value of its events; not a number if it has none."""
        worst = np.full(self.num_rows, np.nan)
        known = pc.cast(values, pa.float64()).to_numpy(zero_copy_only=False)
        (np.fmin if lowest else np.fmax).at(worst, self.rows, known)
        return worst


def _only(column: pa.ChunkedArray) -> pa.Array:
    """The one chunk of a column of a table whose chunks were combined; without rows there is none."""
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _tags(values: pa.Array, rows: NDArray[np.int64] | None = None) -> Tags:
    """rows: of each value; None: each row has one."""
    coded = pc.cast(values, pa.string()).dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return Tags(coded.dictionary.to_pylist(), codes, np.arange(len(codes)) if rows is None else rows)
