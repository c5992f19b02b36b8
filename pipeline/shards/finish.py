"""Partitions to the files of the finished data set: shards, rejected table, manifest."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..dialogue import Rejection
from .atomic import atomic_path, file_sha256, write_json
from .partitions import COMPRESSION, PartitionFolder
from .schema import REJECTED

ROW_GROUP_BYTES = 100_000_000
JOINED_BYTES = 8_000_000  # many tiny row groups make readers slow, and a footer that outgrows the driver
REJECTED_ROWS_A_FILE = 100_000
COMMITS = ".commits"


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of `data/`: the partitions that go into it, in order."""

    number: int
    of: int
    partitions: tuple[int, ...]

    @property
    def file(self) -> str:
        return f"data/train-{self.number:05d}-of-{self.of:05d}.parquet"


def group_shards(folder: PartitionFolder, partitions: Sequence[int], shard_bytes: int) -> list[Shard]:
    """Neighbouring partitions up to a size; a partition without rows goes nowhere."""
    groups: list[list[int]] = []
    filled = 0
    for partition, record in zip(partitions, folder.records(partitions), strict=True):
        if record.rows == 0:
            continue
        if not groups or filled + record.bytes > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(partition)
        filled += record.bytes
    return [Shard(number, len(groups), tuple(group)) for number, group in enumerate(groups)]


def write_shard(shard: Shard, folder: PartitionFolder, staging: Path, schema: pa.Schema) -> None:
    """Join partitions into row groups: small ones together, one over ROW_GROUP_BYTES divided."""
    if _record_file(staging, shard.file).exists():
        return
    rows = 0
    with (
        atomic_path(staging / shard.file) as path,
        pq.ParquetWriter(path, schema, compression=COMPRESSION, write_page_index=True) as writer,
    ):
        for table in _joined(folder.read(partition) for partition in shard.partitions):
            groups = -(-table.nbytes // ROW_GROUP_BYTES)
            writer.write_table(table, row_group_size=-(-table.num_rows // groups))
            rows += table.num_rows
    commit(staging, shard.file, rows)


def _joined(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Neighbouring tables together up to JOINED_BYTES."""
    waiting: list[pa.Table] = []
    filled = 0
    for table in tables:
        if waiting and filled + table.nbytes > JOINED_BYTES:
            yield pa.concat_tables(waiting)
            waiting, filled = [], 0
        waiting.append(table)
        filled += table.nbytes
    if waiting:
        yield pa.concat_tables(waiting)


def write_rejected(rejections: Iterator[Rejection], staging: Path) -> list[str]:
    """Write the rejected table; returns its files. There is always one, even without rows."""
    files: list[str] = []
    while (rows := list(islice(rejections, REJECTED_ROWS_A_FILE))) or not files:
        file = f"rejected/part-{len(files):05d}.parquet"
        columns = {name: [getattr(row, name) for row in rows] for name in REJECTED.names}
        with atomic_path(staging / file) as path:
            pq.write_table(pa.table(columns, schema=REJECTED), path, compression=COMPRESSION)
        commit(staging, file, len(rows))
        files.append(file)
    return files


def commit(staging: Path, file: str, rows: int | None = None) -> None:
    """Record what a finished file holds."""
    path = staging / file
    record = {"path": file, "bytes": path.stat().st_size, "sha256": file_sha256(path)}
    write_json(_record_file(staging, file), record | ({} if rows is None else {"rows": rows}))


def committed(staging: Path, files: Sequence[str]) -> list[dict[str, Any]]:
    """Records of finished files, as the manifest lists them."""
    return [json.loads(_record_file(staging, file).read_text(encoding="utf-8")) for file in files]


def _record_file(staging: Path, file: str) -> Path:
    return staging / COMMITS / f"{file.replace('/', '--')}.json"
