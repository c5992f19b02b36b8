"""A stage's folder: one Parquet file and one commit record a partition. Only what has a record counts."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ..dialogue import Rejection
from ..errors import UserError
from .atomic import atomic_path, file_sha256, write_json

COMPRESSION = "zstd"
MAKE_AGAIN = "Remove {} and run the same command again: it makes this partition again, and no other."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a partition's dialogues: planned = emitted + rejected.

    `notes` counts what was changed without rejecting anything, such as a reply cut to the limit.
    """

    planned: int
    emitted: int
    rejections: tuple[Rejection, ...] = ()
    notes: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CommitRecord:
    rows: int
    bytes: int
    sha256: str
    outcome: Outcome


class Readable(Protocol):
    """Where a stage reads its partitions."""

    def read(self, partition: int) -> pa.Table: ...


@dataclass(frozen=True, slots=True)
class PartitionFolder:
    """The folder of one stage, named by what shaped its contents."""

    path: Path

    def file(self, partition: int) -> Path:
        return self.path / f"part-{partition:06d}.parquet"

    def record_file(self, partition: int) -> Path:
        return self.path / f"part-{partition:06d}.json"

    def record(self, partition: int) -> CommitRecord | None:
        """The commit record, or None if the partition is not committed; raises UserError if it is damaged."""
        file = self.record_file(partition)
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            outcome = stored.pop("outcome")
            rejections = tuple(Rejection(**rejection) for rejection in outcome.pop("rejections"))
            return CommitRecord(**stored, outcome=Outcome(**outcome, rejections=rejections))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} is damaged ({error}). {MAKE_AGAIN.format(file)}") from error

    def is_committed(self, partition: int) -> bool:
        return self.record_file(partition).exists()

    def committed(self) -> set[int]:
        """Numbers of the partitions that have a record."""
        if not self.path.is_dir():
            return set()
        return {int(path.stem.removeprefix("part-")) for path in self.path.glob("part-*.json")}

    def write(self, partition: int, table: pa.Table, outcome: Outcome) -> CommitRecord:
        with atomic_path(self.file(partition)) as path:
            pq.write_table(table, path, compression=COMPRESSION)
        file = self.file(partition)
        record = CommitRecord(table.num_rows, file.stat().st_size, file_sha256(file), outcome)
        write_json(self.record_file(partition), asdict(record))
        return record

    def read(self, partition: int) -> pa.Table:
        """A committed partition; raises UserError if it is not, byte for byte, what was committed."""
        file = self.file(partition)
        record = next(self.records([partition]))
        if not file.is_file() or file.stat().st_size != record.bytes or file_sha256(file) != record.sha256:
            raise UserError(
                f"{file} is not what was committed: it is damaged or missing. "
                f"{MAKE_AGAIN.format(self.record_file(partition))}"
            )
        with pq.ParquetFile(file) as opened:  # read_table would bring a thread pool and a data set for one small file
            return opened.read(use_threads=False)

    def records(self, partitions: Sequence[int]) -> Iterator[CommitRecord]:
        """Commit records in order; raises UserError if one is missing."""
        for partition in partitions:
            record = self.record(partition)
            if record is None:
                raise UserError(f"{self.record_file(partition)} is missing. Run the same command again: it is made.")
            yield record


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
