"""Partitions to shards."""

import random
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from duplexgen.pipeline.dataset import finish
from duplexgen.pipeline.dataset.finish import group_shards, keep_finished, record_name, write_shard
from duplexgen.pipeline.storage.partitions import Outcome, PartitionFolder
from tests.corpus import tree
from tests.damaging import spoil

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


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """Shards of one partition each, their folder, and a staging folder in which all are finished."""
    place = tmp_path_factory.mktemp("staged")
    folder = PartitionFolder(place / "work")
    fill(folder, [1, 2, 1])
    shards = group_shards(folder, range(3), 1)
    entries = {shard.file: write_shard(shard, folder, place / "staging", SCHEMA) for shard in shards}
    return shards, folder, place / "staging", entries


@pytest.mark.parametrize("seed", range(40))
def test_what_a_killed_build_left_counts_only_if_it_is_what_was_finished(staged, tmp_path, seed):
    shards, folder, whole, entries = staged
    staging = shutil.copytree(whole, tmp_path / "staging")
    rng = random.Random(seed)
    for _ in range(rng.randint(0, 3)):
        spoil(staging, rng)
    expected = {shard.file for shard in shards if unharmed(staging, whole, (shard.file, record_name(shard.file)))}
    finished = keep_finished(shards, staging)
    assert finished.items() <= entries.items()
    assert finished.keys() >= expected
    assert set(tree(staging)) == {name for file in finished for name in (file, record_name(file))}
    assert not [path for path in staging.rglob("*") if path.is_symlink()]
    for shard in shards:
        if shard.file not in finished:
            write_shard(shard, folder, staging, SCHEMA)
    assert tree(staging / "data") == tree(whole / "data")


def unharmed(folder, whole, files):
    """Whether files of a folder are there, by no link, with the bytes that they had."""
    paths = [folder / file for file in files]
    if any(path.is_symlink() or path.parent.is_symlink() or not path.is_file() for path in paths):
        return False
    return all((folder / file).read_bytes() == (whole / file).read_bytes() for file in files)


def test_a_shard_of_partitions_that_were_made_anew_is_made_anew(staged, tmp_path):
    shards, folder, whole, _ = staged
    staging = shutil.copytree(whole, tmp_path / "staging")
    again = PartitionFolder(shutil.copytree(folder.path, tmp_path / "again" / folder.path.name))
    again.write(1, pa.table({"row": [7, 8], "bytes": [b"", b""]}, schema=SCHEMA), Outcome(2, 2))
    regrouped = group_shards(again, range(3), 1)
    assert [shard.file for shard in regrouped] == [shard.file for shard in shards]
    assert list(keep_finished(regrouped, staging)) == [shards[0].file, shards[2].file]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_staging_that_is_no_folder(staged, tmp_path, kind):
    shards, _, whole, _ = staged
    staging = tmp_path / "staging"
    elsewhere = shutil.copytree(whole, tmp_path / "elsewhere")
    staging.symlink_to(elsewhere) if kind == "link" else staging.write_text("mine")
    assert keep_finished(shards, staging) == {}
    assert not staging.is_symlink() and not staging.exists()
    assert tree(elsewhere) == tree(whole)
