"""Turns partitions into the tables of a finished data set: shards and rejected rows."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..dialogue import Rejection
from ..errors import UserError
from ..layouts.layout import Layout
from ..storage.atomic import atomic_path, explained, file_sha256, remove_others
from ..storage.partitions import COMPRESSION, PartitionFolder
from ..storage.records import RecordDamaged, read_record, write_record
from ..storage.tables import rows_of_table
from .kind import Kind
from .ledger import MOST_REJECTED_ROWS
from .manifest import rejected_name, shard_name
from .reader import opened
from .schema import REJECTED
from .statistics import Statistics

ROW_GROUP_BYTES = 100_000_000
JOINED_BYTES = 8_000_000  # many tiny row groups make readers slow, and a footer too large for the driver's memory
COMMITS = ".commits"

Entry = dict[str, Any]
"""What the manifest says of one file: path, bytes, sha256 and, if it is a table, rows."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of `data/`: the partitions that go into it, in order."""

    number: int
    of: int
    partitions: tuple[int, ...]
    made_of: str  # a checksum over the checksums of the partitions

    @property
    def file(self) -> str:
        return shard_name(self.number, self.of)


def group_shards(folder: PartitionFolder, partitions: Sequence[int], shard_bytes: int) -> list[Shard]:
    """Shards of neighbouring partitions, up to a size each. Partitions without rows are left out."""
    groups: list[dict[int, str]] = []
    num_bytes = 0
    for partition, record in zip(partitions, folder.records(partitions), strict=True):
        if record.rows == 0:
            continue
        if not groups or num_bytes + record.bytes > shard_bytes:
            groups.append({})
            num_bytes = 0
        groups[-1][partition] = record.sha256
        num_bytes += record.bytes
    return [Shard(number, len(groups), tuple(group), _together(group)) for number, group in enumerate(groups)]


def _together(group: dict[int, str]) -> str:
    return hashlib.sha256("".join(group.values()).encode()).hexdigest()


def keep_finished(shards: Sequence[Shard], staging: Path) -> dict[str, Entry]:
    """The entries of the shards that a killed build has finished; every other file in `staging` is removed.

    A shard is finished if its record is whole, names the same partitions, and the file has the bytes that it says.
    """
    files = {name for shard in shards for name in (shard.file, record_name(shard.file))}
    remove_others(staging, files)
    entries = {shard.file: _finished_entry(shard, staging) for shard in shards}
    finished = {file: entry for file, entry in entries.items() if entry}
    remove_others(staging, {name for file in finished for name in (file, record_name(file))})
    return finished


def _finished_entry(shard: Shard, staging: Path) -> Entry | None:
    try:
        stored = read_record(staging / record_name(shard.file))
    except (FileNotFoundError, RecordDamaged):
        return None
    if stored.pop("made_of", None) != shard.made_of or not (staging / shard.file).is_file():
        return None
    return stored if entry(staging, shard.file, stored.get("rows")) == stored else None


def write_shard(shard: Shard, folder: PartitionFolder, staging: Path, schema: pa.Schema) -> Entry:
    """Write the partitions of a shard as row groups: small ones joined, large ones divided at ROW_GROUP_BYTES."""
    rows = 0
    with (
        atomic_path(staging / shard.file) as path,
        pq.ParquetWriter(path, schema, compression=COMPRESSION, write_page_index=True) as writer,
    ):
        for table in _joined(folder.read(partition) for partition in shard.partitions):
            groups = -(-table.nbytes // ROW_GROUP_BYTES)
            writer.write_table(table, row_group_size=-(-table.num_rows // groups))
            rows += table.num_rows
    of_shard = entry(staging, shard.file, rows)
    write_record(staging / record_name(shard.file), of_shard | {"made_of": shard.made_of})
    return of_shard


def _joined(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Neighbouring tables, joined up to JOINED_BYTES."""
    waiting: list[pa.Table] = []
    num_bytes = 0
    for table in tables:
        if waiting and num_bytes + table.nbytes > JOINED_BYTES:
            yield pa.concat_tables(waiting)
            waiting, num_bytes = [], 0
        waiting.append(table)
        num_bytes += table.nbytes
    if waiting:
        yield pa.concat_tables(waiting)


def measured(
    shards: Sequence[Path], kind: Kind, layout: Layout, sample_rate: int, report: Callable[[int], None]
) -> Statistics:
    """The statistics of finished shards. It reads one row group at a time, and only the columns that are measured.

    report: called with the number of shards done.
    """
    statistics, columns = Statistics(), kind.measured(layout)
    for done, shard in enumerate(shards, start=1):
        with opened(shard) as file:
            for number in range(file.num_row_groups):
                for row in rows_of_table(file.read_row_group(number, columns=columns, use_threads=False)):
                    kind.measure(statistics, row, layout, sample_rate)
        report(done)
    return statistics


def write_rejected(rejections: Iterator[Rejection], staging: Path) -> list[Entry]:
    """Write the rejected table; returns the entries of its files. There is always a file, even without rows."""
    entries: list[Entry] = []
    while (rows := list(islice(rejections, MOST_REJECTED_ROWS))) or not entries:
        file = rejected_name(len(entries))
        columns = {name: [getattr(row, name) for row in rows] for name in REJECTED.names}
        with atomic_path(staging / file) as path:
            pq.write_table(pa.table(columns, schema=REJECTED), path, compression=COMPRESSION)
        entries.append(entry(staging, file, len(rows)))
    return entries


def entry(folder: Path, file: str, rows: int | None = None) -> Entry:
    """What the manifest says of a finished file. rows: of a table."""
    path = folder / file
    with explained(path):
        fields = {"path": file, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
    return fields | ({} if rows is None else {"rows": rows})


def check_there(folder: Path, entries: Sequence[Entry]) -> None:
    """Raise UserError if a file that was just written is missing or has another size."""
    for written in entries:
        path = folder / written["path"]
        if not path.is_file() or path.is_symlink() or path.stat().st_size != written["bytes"]:
            raise UserError(
                f"{path} was changed by something else while the data set was made. Run the same command again: "
                "it writes the file again."
            )


def record_name(file: str) -> str:
    return f"{COMMITS}/{file.replace('/', '--')}.json"
