"""Partitions and their commit records: only what has a record counts, and a record is believed only if it is true."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from duplexgen.pipeline.dialogue import Rejection
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.storage.partitions import Ledger, Outcome, PartitionFolder
from tests.damaging import flip

TABLE = pa.table({"dialogue_id": ["a/b", "图"]})
OUTCOME = Outcome(
    4,
    2,
    (Rejection("c", "script", "code", "line 1"), Rejection("\u2028 d", "script", "empty", "")),
    {"reply_cut": 1},
)


@pytest.fixture
def folder(tmp_path: Path) -> PartitionFolder:
    made = PartitionFolder(tmp_path / "script-0123")
    made.write(3, TABLE, OUTCOME)
    return made


def test_what_is_written_is_read(folder: PartitionFolder) -> None:
    assert folder.read(3).equals(TABLE)
    record = folder.record(3)
    assert record is not None
    assert record.outcome == OUTCOME
    assert (record.rows, record.bytes) == (2, folder.file(3).stat().st_size)
    assert folder.committed() == {3}
    assert list(folder.records([3])) == [record]


def test_same_partition_is_the_same_bytes(folder: PartitionFolder, tmp_path: Path) -> None:
    again = PartitionFolder(tmp_path / "again" / folder.path.name)
    again.write(3, TABLE, OUTCOME)
    assert again.file(3).read_bytes() == folder.file(3).read_bytes()
    assert again.record_file(3).read_bytes() == folder.record_file(3).read_bytes()


def test_file_without_a_record_does_not_count(folder: PartitionFolder) -> None:
    folder.record_file(3).unlink()
    assert not folder.is_committed(3)
    assert folder.committed() == set()
    assert folder.record(3) is None
    with pytest.raises(UserError, match=r"part-000003\.json is missing"):
        folder.read(3)
    with pytest.raises(UserError, match=r"part-000003\.json is missing"):
        list(folder.records([3]))


def test_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert PartitionFolder(tmp_path / "nowhere").committed() == set()


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "other"])
def test_partition_that_is_not_what_was_committed(folder: PartitionFolder, damage: str) -> None:
    content = bytearray(folder.file(3).read_bytes())
    if damage == "gone":
        folder.file(3).unlink()
    elif damage == "cut":
        folder.file(3).write_bytes(content[:-20])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        folder.file(3).write_bytes(content)
    else:
        folder.file(3).write_bytes(b"")
    with pytest.raises(UserError) as error:
        folder.read(3)
    assert str(error.value) == (
        f"{folder.file(3)} is not what was committed: it is damaged or missing. Remove {folder.record_file(3)} "
        "and run the same command again: it makes what is missing."
    )


@pytest.mark.parametrize("content", [b"", b"{", b'"text"', b"[]", b"{}", b'{"outcome": {}}', b"\xff\xfe"])
def test_damaged_record(folder: PartitionFolder, content: bytes) -> None:
    folder.record_file(3).write_bytes(content)
    with pytest.raises(UserError, match=r"part-000003\.json is damaged .*Remove .*part-000003\.json and run"):
        folder.record(3)


def test_every_flipped_bit_of_a_record(folder: PartitionFolder) -> None:
    whole, expected = folder.record_file(3).read_bytes(), folder.record(3)
    unharmed = 0
    for place in range(len(whole)):
        for bit in range(8):
            flip(folder.record_file(3), place, 1 << bit)
            try:
                assert folder.record(3) == expected  # white space for other white space
                unharmed += 1
            except UserError as error:
                assert str(error).startswith(f"{folder.record_file(3)} is damaged")
            folder.record_file(3).write_bytes(whole)
    assert unharmed < len(whole) / 8


@pytest.mark.parametrize("change", [{"rows": None}, {"surprise": 1}])
def test_record_with_other_keys_is_damaged(folder: PartitionFolder, change: dict[str, object]) -> None:
    stored = json.loads(folder.record_file(3).read_text()) | change
    folder.record_file(3).write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))
    with pytest.raises(UserError, match="is damaged"):
        folder.record(3)


def test_ledger_is_the_sum_of_outcomes() -> None:
    ledger = Ledger()
    ledger.add(OUTCOME)
    ledger.add(Outcome(1, 0, (Rejection("e", "script", "code", ""),)))
    assert (ledger.planned, ledger.emitted, ledger.rejected) == (5, 2, 3)
    assert ledger.reasons == {"code": 2, "empty": 1}
    assert ledger.notes == {"reply_cut": 1}
