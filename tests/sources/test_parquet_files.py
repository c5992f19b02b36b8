"""Parquet: a value costs a row only if its shape needs it, a damaged part costs its rows, and what is lost is told."""

import datetime
import os
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from duplexgen.pipeline.sources import arrow_rows
from tests.sources.reading import read_all, row


def ids(*numbers: int) -> list[str]:
    return [f"row-{number}" for number in numbers]


def text(*values: bytes) -> pa.Array:
    """A column of text that may be none."""
    starts = pa.array([sum(map(len, values[:number])) for number in range(len(values) + 1)], pa.int32())
    return pa.Array.from_buffers(pa.string(), len(values), [None, starts.buffers()[1], pa.py_buffer(b"".join(values))])


def alpaca(path: Path, **columns: Any) -> Path:
    """Three rows, of which columns are replaced."""
    there = {"id": ids(0, 1, 2), "instruction": ["a", "b", "c"], "output": ["d", "e", "f"]}
    pq.write_table(pa.table(there | columns), path)
    return path


BEYOND = [1, 10**14, 10**18]  # days, seconds, … since 1970
UNTOLD = {
    "text": text(b"ok", b"\xff\xfe", b"ok"),
    "date": pa.array([1, 2**31 - 1, 3], pa.int32()).cast(pa.date32()),
    "timestamp": pa.array([1, 9 * 10**18, 3], pa.int64()).cast(pa.timestamp("us")),
    "zone": pa.array([1, 2, 3], pa.timestamp("us", tz="Nowhere/City")),
    "duration": pa.array([1, 2**62, 3], pa.int64()).cast(pa.duration("us")),
    "in a list": pa.array([[1], [2**31 - 1], []], pa.list_(pa.int32())).cast(pa.list_(pa.date32())),
    "in a structure": pa.StructArray.from_arrays([text(b"", b"\xff", b"")], names=["x"]),
}


@pytest.mark.parametrize("kind", UNTOLD)
def test_a_value_that_nobody_uses_costs_no_row(tmp_path: Path, kind: str) -> None:
    path = alpaca(tmp_path / "a.parquet", unused=UNTOLD[kind])
    assert read_all(path, shape="alpaca") == (ids(0, 1, 2), [], [])


@pytest.mark.parametrize("kind", [kind for kind in UNTOLD if not kind.startswith("in a ")])
@pytest.mark.parametrize("key", ["instruction", "id"])
def test_a_value_that_is_used_costs_its_row_alone(tmp_path: Path, kind: str, key: str) -> None:
    path = alpaca(tmp_path / "a.parquet", **{key: UNTOLD[kind]})
    found, rejected, lost = read_all(path, shape="alpaca")
    if kind == "text":
        assert len(found) == 2
        assert [one.dialogue_id for one in rejected] == ["a.parquet#2"]
    else:  # a date is no text either
        assert [one.dialogue_id for one in rejected] == [f"a.parquet#{number}" for number in (1, 2, 3)]
    assert lost == []


def test_text_within_messages_costs_its_row_alone(tmp_path: Path) -> None:
    content = text(b"Hi.", b"Yes.", b"Hi.", b"\xff", b"Hi.", b"Yes.")
    when = pa.array([1, 9 * 10**18] * 3, pa.int64()).cast(pa.timestamp("us"))  # nobody uses it
    roles = pa.array(["user", "assistant"] * 3).dictionary_encode()
    messages = pa.StructArray.from_arrays([roles, content, when], names=["role", "content", "when"])
    table = pa.table(
        {"id": ids(0, 1, 2), "messages": pa.ListArray.from_arrays(pa.array([0, 2, 4, 6], pa.int32()), messages)}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    found, rejected, lost = read_all(tmp_path / "a.parquet", shape="messages")
    assert (found, lost) == (ids(0, 2), [])
    assert [(one.dialogue_id, one.reason) for one in rejected] == [("a.parquet#2", "invalid_text")]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", "c"], pa.large_string()),
        pa.array(["a", "b", "c"]).dictionary_encode(),
        pa.array(["a", "b", "c"], pa.string_view()),
    ],
    ids=str,
)
def test_text_is_text_however_it_is_kept(tmp_path: Path, column: pa.Array) -> None:
    assert read_all(alpaca(tmp_path / "a.parquet", output=column), shape="alpaca") == (ids(0, 1, 2), [], [])


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([Decimal("1.5")] * 3, "a number"),
        ([b"bytes"] * 3, "a bytes"),
        ([datetime.date(2024, 1, 1)] * 3, "a date"),
        ([{"x": 1}] * 3, "an object"),
        ([None] * 3, "nothing; the row has 'id, instruction, output, more'"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, column: list[Any], kind: str) -> None:
    path = alpaca(tmp_path / "a.parquet", output=column, more=[1, 2, 3])
    found, rejected, lost = read_all(path, shape="alpaca")
    assert (found, len(rejected), lost) == ([], 3, [])
    assert f"expected text in `output`, got {kind}" in rejected[0].detail


def test_a_column_twice(tmp_path: Path) -> None:
    columns = [pa.array(ids(0)), pa.array(["a"]), pa.array(["b"]), pa.array([1]), pa.array([2])]
    table = pa.Table.from_arrays(columns, names=["id", "instruction", "output", "x", "x"])
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_all(tmp_path / "a.parquet", shape="alpaca") == (ids(0), [], [])
    pq.write_table(table.rename_columns(["id", "instruction", "output", "x", "output"]), tmp_path / "a.parquet")
    found, (rejection,), lost = read_all(tmp_path / "a.parquet", shape="alpaca")
    assert (found, rejection.reason, lost) == ([], "wrong_shape", [])
    assert "a field that appears twice" in rejection.detail


def test_rows_without_columns_are_counted(tmp_path: Path) -> None:
    pq.write_table(alpaca_table := pa.table({"x": [1, 2, 3]}), tmp_path / "a.parquet")
    found, rejected, lost = read_all(tmp_path / "a.parquet", shape="alpaca")
    assert (found, [one.reason for one in rejected], lost) == ([], ["wrong_shape"] * 3, [])
    assert "the row has 'x'" in rejected[0].detail
    pq.write_table(alpaca_table.select([]), tmp_path / "a.parquet")
    assert read_all(tmp_path / "a.parquet", shape="alpaca") == ([], [], [])


def groups_of_ten(path: Path, **options: Any) -> bytearray:
    rows = [row(number, noise=random.Random(number).randbytes(200).hex()) for number in range(50)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10, compression="none", **options)
    return bytearray(path.read_bytes())


def test_a_damaged_part_costs_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    content = groups_of_ten(path, write_page_checksum=True, use_dictionary=False)
    at = content.index(b"What is 23?")
    content[at] ^= 1
    path.write_bytes(content)
    found, rejected, lost = read_all(path)
    assert found == ids(*range(20), *range(30, 50))
    assert [one.dialogue_id for one in rejected] == [f"a.parquet#{number}" for number in range(21, 31)]
    assert {one.reason for one in rejected} == {"broken_file"}
    assert lost == []


def test_a_damaged_part_that_nobody_uses_costs_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    content = groups_of_ten(path, write_page_checksum=True, use_dictionary=False)
    content[content.index(random.Random(23).randbytes(200).hex().encode())] ^= 1
    path.write_bytes(content)
    assert read_all(path) == (ids(*range(50)), [], [])


def test_a_file_all_of_whose_parts_are_damaged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    content = groups_of_ten(path, write_page_checksum=True, use_dictionary=False)
    for number in range(50):
        content[content.index(f"What is {number}?".encode())] ^= 1
    path.write_bytes(content)
    found, rejected, (message,) = read_all(path)
    assert (found, len(rejected)) == ([], 50)
    assert "no row could be read" in message


def encrypted(path: Path) -> None:
    from pyarrow.parquet import encryption

    class Keys(encryption.KmsClient):  # type: ignore[misc]
        def wrap_key(self, key: bytes, _: str) -> bytes:
            return key.hex().encode()

        def unwrap_key(self, wrapped: bytes, _: str) -> bytes:
            return bytes.fromhex(wrapped.decode())

    settings = encryption.EncryptionConfiguration(footer_key="f", column_keys={"c": ["instruction"]})
    made = encryption.CryptoFactory(lambda _: Keys()).file_encryption_properties(
        encryption.KmsConnectionConfig(), settings
    )
    table = pa.table({"instruction": ["a"], "output": ["b"]})
    with pq.ParquetWriter(path, table.schema, encryption_properties=made) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "encrypted"])
def test_what_is_no_parquet_file_is_lost(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.parquet"
    whole = bytes(groups_of_ten(path))
    if damage == "encrypted":
        encrypted(path)
    else:
        path.write_bytes({"empty": b"", "cut": whole[:-100], "text": b"PAR1 is no Parquet"}[damage])
    found, (rejection,), (message,) = read_all(path)
    assert (found, rejection.dialogue_id, rejection.reason) == ([], "a.parquet", "broken_file")
    assert message.startswith(f"{path}: no row could be read: cannot be read as Parquet: ")


def test_any_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    whole = groups_of_ten(path, write_page_checksum=True)
    draw = random.Random(5)
    end = int.from_bytes(whole[-8:-4], "little") + 8  # what the file says of itself
    for number in range(600):
        content = bytearray(whole)
        for _ in range(draw.choice([1, 1, 20])):
            content[-1 - draw.randrange(end if number % 2 else len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        found, rejected, lost = read_all(path)
        assert len(found) + len(rejected) >= 50 or lost
        assert len(found) <= 50


def test_rows_that_a_file_no_longer_knows_of_are_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    whole = groups_of_ten(path)
    end = int.from_bytes(whole[-8:-4], "little") + 8
    tens = [at for at in range(len(whole) - end, len(whole)) if whole[at] == 2 * 10]  # as Thrift writes a 10
    contradictions = 0
    for at in tens:
        path.write_bytes(whole[:at] + bytes([2 * 8]) + whole[at + 1 :])
        found, rejected, lost = read_all(path)
        assert len(found) + len(rejected) >= 50 or lost
        contradictions += any("it says that it has 50 rows, and has 48" in message for message in lost)
    assert contradictions == 5


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_row_that_is_too_long_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dictionary: bool
) -> None:
    monkeypatch.setattr(arrow_rows, "LONGEST_ROW", 10_000)
    long = alpaca(tmp_path / "a.parquet", output=["d", "x" * 20_000, "f"])
    if dictionary:
        pq.write_table(pq.read_table(long), long, use_dictionary=True)
    found, rejected, lost = read_all(long, shape="alpaca")
    assert (found, [(one.dialogue_id, one.reason) for one in rejected]) == (
        ids(0, 2),
        [("a.parquet#2", "row_too_long")],
    )
    assert lost == []
    found, rejected, lost = read_all(alpaca(long, output=["x" * 40_000] * 3), shape="alpaca")
    assert (found, [one.reason for one in rejected], len(lost)) == ([], ["row_too_long"] * 3, 1)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    alpaca(tmp_path / "a.parquet").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.parquet"))
    assert read_all(tmp_path, shape="alpaca") == (ids(0, 1, 2), [], [])
