"""The data set that pairs are made from, in partitions of whole row groups, with only the columns that pairs need."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from ..dataset.manifest import DATA
from ..dataset.reader import Dataset, opened
from ..storage.partitions import Outcome, PartitionFolder

PARTITION_ROWS = 1000
"""At most, unless one row group has more. A pair takes a fraction of a millisecond: a smaller partition would take less
time to make than to hand out."""
EVENT_FIELDS = ("channel", "kind", "text", "start_sample", "end_sample", "whole_end_sample", "answers", "cut_by")
WORDS = tuple(f"events.list.element.words.list.element.{name}" for name in ("text", "start_sample", "end_sample"))
READS = (
    *("dialogue_id", "scenario", "user_codes", "assistant_codes", "assistant_uncut_codes"),
    *(f"events.list.element.{name}" for name in EVENT_FIELDS),
    *(f"events.list.element.pauses.list.element.{name}" for name in ("start_sample", "end_sample")),
)
GROUPS = pa.schema(
    [
        pa.field("shard", pa.string(), nullable=False),  # relative to the data set
        pa.field("row_group", pa.int32(), nullable=False),
        pa.field("rows", pa.int64(), nullable=False),
    ]
)


def write_partitions(dataset: Dataset, folder: PartitionFolder) -> int:
    """Commit the row groups of each partition that is not committed yet; returns the number of partitions."""
    number = 0
    for groups in _grouped(dataset):
        if not folder.is_committed(number):
            rows = sum(rows for _, _, rows in groups)
            table = pa.table([list(column) for column in zip(*groups, strict=True)], schema=GROUPS)
            folder.write(number, table, Outcome(rows, rows))
        number += 1
    return number


def _grouped(dataset: Dataset) -> Iterator[list[tuple[str, int, int]]]:
    groups: list[tuple[str, int, int]] = []
    num_rows = 0
    for shard in dataset.manifest.listed(DATA):
        with opened(dataset.own(shard.path), dataset.columns) as file:
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        for group, rows in enumerate(sizes):
            if groups and num_rows + rows > PARTITION_ROWS:
                yield groups
                groups, num_rows = [], 0
            groups.append((shard.path, group, rows))
            num_rows += rows
    if groups:
        yield groups


@dataclass(frozen=True, slots=True)
class SourceRows:
    """Reads the partitions of a data set, without the columns that pairs do not need."""

    plan: PartitionFolder
    dataset: Dataset
    with_audio: bool
    with_words: bool

    def read(self, partition: int) -> pa.Table:
        """Rows with dialogue_id, scenario, events and the codes of all codebooks.

        with_audio, with_words: and the audio, and the words of the events.
        """
        groups: dict[str, list[int]] = {}
        for item in self.plan.read(partition).to_pylist():
            groups.setdefault(item["shard"], []).append(item["row_group"])
        return pa.concat_tables(self._read(shard, numbers) for shard, numbers in groups.items())

    def _read(self, shard: str, groups: list[int]) -> pa.Table:
        columns = [*READS, *(["audio.bytes"] if self.with_audio else []), *(WORDS if self.with_words else [])]
        with opened(self.dataset.path / shard, self.dataset.columns) as file:
            return file.read_row_groups(groups, columns=columns)
