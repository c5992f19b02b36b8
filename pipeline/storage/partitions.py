"""A stage's folder: one Parquet file and one commit record per partition. Only partitions with a record count."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ..dialogue import Rejection
from ..errors import UserError
from .atomic import atomic_path, file_sha256
from .records import RecordDamaged, read_record, write_record

COMPRESSION = "zstd"
RECORD_NAME = re.compile(r"part-([0-9]{6}|[1-9][0-9]{6,})\.json")  # not "part-000000 (copy).json"
MAKE_AGAIN = "Remove {} and run the same command again: it makes what is missing."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to a partition's dialogues: planned = emitted + rejected.

    `notes` counts changes that reject no dialogue, such as a reply that was cut to the limit.
    """

    planned: int
    emitted: int
    rejections: tuple[Rejection, ...] = ()
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What a partition file holds, by which it is checked when it is read, and what happened to its dialogues."""

    rows: int
    bytes: int
    sha256: str
    outcome: Outcome


class Readable(Protocol):
    """Where a stage reads its partitions."""

    def read(self, partition: int) -> pa.Table: ...


@dataclass(frozen=True, slots=True)
class PartitionFolder:
    """The folder of one stage, named by everything that changes its contents."""

    path: Path

    def file(self, partition: int) -> Path:
        return self.path / f"part-{partition:06d}.parquet"

    def record_file(self, partition: int) -> Path:
        return self.path / f"part-{partition:06d}.json"

    def record(self, partition: int) -> CommitRecord | None:
        """The commit record, or None if the partition is not committed; raises UserError if it is damaged."""
        file = self.record_file(partition)
        try:
            return _commit_record(read_record(file))
        except FileNotFoundError:
            return None
        except (RecordDamaged, KeyError, TypeError) as error:
            raise UserError(f"{file} is damaged ({error}). {MAKE_AGAIN.format(file)}") from error

    def is_committed(self, partition: int) -> bool:
        return self.record_file(partition).is_file()

    def committed(self) -> set[int]:
        """Numbers of the partitions that have a record."""
        if not self.path.is_dir():
            return set()
        with os.scandir(self.path) as entries:
            files = (RECORD_NAME.fullmatch(entry.name) for entry in entries if entry.is_file())
            return {int(name[1]) for name in files if name}

    def write(self, partition: int, table: pa.Table, outcome: Outcome) -> CommitRecord:
        """Commit a partition: write its file, then its record."""
        with atomic_path(self.file(partition)) as path:
            pq.write_table(table, path, compression=COMPRESSION)
        file = self.file(partition)
        record = CommitRecord(table.num_rows, file.stat().st_size, file_sha256(file), outcome)
        write_record(self.record_file(partition), asdict(record))
        return record

    def read(self, partition: int) -> pa.Table:
        """A committed partition; raises UserError if it is not, byte for byte, what was committed."""
        file = self.file(partition)
        record = self.committed_record(partition)
        if not file.is_file() or file.stat().st_size != record.bytes or file_sha256(file) != record.sha256:
            raise UserError(
                f"{file} is not what was committed: it is damaged or missing. "
                f"{MAKE_AGAIN.format(self.record_file(partition))}"
            )
        with pq.ParquetFile(file) as parquet:  # read_table would start a thread pool for one small file
            table = parquet.read(use_threads=False)
        if table.num_rows != record.rows:
            raise UserError(
                f"{file} has {table.num_rows} rows, and its record says {record.rows}. "
                f"{MAKE_AGAIN.format(self.record_file(partition))}"
            )
        return table

    def records(self, partitions: Sequence[int]) -> Iterator[CommitRecord]:
        """Commit records in order; raises UserError if one is missing."""
        return (self.committed_record(partition) for partition in partitions)

    def committed_record(self, partition: int) -> CommitRecord:
        """The commit record; raises UserError if it is missing or damaged."""
        record = self.record(partition)
        if record is None:
            raise UserError(
                f"{self.record_file(partition)} is missing. Run the same command again: it makes the partition."
            )
        return record


def _commit_record(content: dict[str, Any]) -> CommitRecord:
    rejections = tuple(Rejection(**rejection) for rejection in content["outcome"]["rejections"])
    outcome = Outcome(**content["outcome"] | {"rejections": rejections})
    if outcome.planned != outcome.emitted + len(rejections):
        raise RecordDamaged(
            f"{outcome.planned} planned are not {outcome.emitted} emitted and {len(rejections)} rejected"
        )
    return CommitRecord(**content | {"outcome": outcome})


@dataclass(slots=True)
class Ledger:
    """Sum of the outcomes of a stage."""

    planned: int = 0
    emitted: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        self.planned += outcome.planned
        self.emitted += outcome.emitted
        self.rejected += len(outcome.rejections)
        self.reasons.update(rejection.reason for rejection in outcome.rejections)
        self.notes.update(outcome.notes)
