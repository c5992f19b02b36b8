"""Partitions to shards."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from duplexgen.pipeline.shards import finish
from duplexgen.pipeline.shards.finish import group_shards, write_shard
from duplexgen.pipeline.shards.partitions import Outcome, PartitionFolder

SCHEMA = pa.schema([pa.field("row", pa.int64()), pa.field("bytes", pa.binary())])


def fill(folder: PartitionFolder, sizes: list[int]) -> None:
    """One partition for each size, of rows of about a tenth of JOINED_BYTES that do not compress."""
    rng = np.random.default_rng(0)
    row = 0
    for number, rows in enumerate(sizes):
        numbers = range(row, row + rows)
        payload = [rng.bytes(finish.JOINED_BYTES // 10) for _ in numbers]
        table = pa.table({"row": list(numbers), "bytes": payload}, schema=SCHEMA)
        folder.write(number, table, Outcome(rows, rows))
        row += rows


def row_groups(path, rows):
    """Rows of each row group of a shard, which must hold `rows` in order."""
    with pq.ParquetFile(path) as file:
        assert file.read(columns=["row"])["row"].to_pylist() == list(range(rows))
        return [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]


def test_small_partitions_share_a_row_group(tmp_path, monkeypatch):
    monkeypatch.setattr(finish, "JOINED_BYTES", 100_000)
    monkeypatch.setattr(finish, "ROW_GROUP_BYTES", 200_000)
    folder = PartitionFolder(tmp_path / "work")
    fill(folder, [1, 2, 3, 0, 4, 5, 30, 1])
    [shard] = group_shards(folder, range(8), 10_000_000)
    write_shard(shard, folder, tmp_path, SCHEMA)
    # 1 + 2 + 3 fit, 4 more do not; 30 alone are over ROW_GROUP_BYTES and divided.
    assert row_groups(tmp_path / shard.file, 46) == [6, 9, 15, 15, 1]
    metadata = pq.read_metadata(tmp_path / shard.file)
    columns = [metadata.row_group(group).column(0) for group in range(metadata.num_row_groups)]
    assert all(column.has_offset_index and column.has_column_index for column in columns), "pages can be found alone"


def test_a_shard_is_the_same_bytes_again(tmp_path):
    folder = PartitionFolder(tmp_path / "work")
    fill(folder, [1, 2])
    shards = group_shards(folder, range(2), 10_000_000)
    for place in ("once", "again"):
        write_shard(shards[0], folder, tmp_path / place, SCHEMA)
    assert (tmp_path / "once" / shards[0].file).read_bytes() == (tmp_path / "again" / shards[0].file).read_bytes()
