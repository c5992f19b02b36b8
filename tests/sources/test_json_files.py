"""JSON in every form that people write it in; what is broken costs itself alone, what is lost is said."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.sources import json_files
from tests.sources.reading import read_all, row

Rows = list[dict[str, Any]]
FORMS: dict[str, Callable[[Rows], str]] = {
    "a row per line": lambda rows: "\n".join(map(json.dumps, rows)) + "\n",
    "real characters, no line end": lambda rows: "\n".join(json.dumps(one, ensure_ascii=False) for one in rows),
    "lines of Windows": lambda rows: "\r\n".join(map(json.dumps, rows)),
    "lines that end in a bare \\r": lambda rows: "\r".join(json.dumps(one, ensure_ascii=False) for one in rows),
    "objects over several lines": lambda rows: "\n".join(json.dumps(one, indent=2) for one in rows),
    "objects one after the other": lambda rows: "".join(map(json.dumps, rows)),
    "objects over lines that are not indented": lambda rows: "\n".join(json.dumps(one, indent=0) for one in rows),
    "a list": json.dumps,
    "a list over several lines": lambda rows: json.dumps(rows, indent=4, ensure_ascii=False),
    "a list that is not indented": lambda rows: json.dumps(rows, indent=0),
    "a list with tabs": lambda rows: json.dumps(rows, indent="\t"),
    "a list with a row per line": lambda rows: "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]",
    "a list with a comma at its end": lambda rows: "[" + "".join(f"{json.dumps(one)},\n" for one in rows) + "]",
    "two lists": lambda rows: json.dumps(rows[:1]) + json.dumps(rows[1:]),
}
LINES = [name for name in FORMS if "line" in name and "several" not in name and "not indented" not in name]
OF_LINES = [name for name in LINES if "list" not in name]


def ids(count: int) -> list[str]:
    return [f"row-{number}" for number in range(count)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("piece", [1, 7, json_files.PIECE])
@pytest.mark.parametrize("before", ["", "\ufeff", " \n\t\r\n "])
@pytest.mark.parametrize("packed", [False, True])
def test_rows_in_any_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, piece: int, before: str, packed: bool
) -> None:
    monkeypatch.setattr(json_files, "PIECE", piece)
    rows = [row(number, odd="a \u2028 b \u0085 c", deep=[{"x": [number]}]) for number in range(5)]
    content = (before + FORMS[form](rows)).encode()
    for suffix in (".json", ".jsonl") if form in OF_LINES else (".json",):
        path = tmp_path / f"a{suffix}{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(content) if packed else content)
        assert read_all(path) == (ids(5), [], [])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    junk=st.one_of(
        st.binary(min_size=1, max_size=60), st.sampled_from([b"[", b"{", b'"', b"]", b'{"data": [', b"[1,"])
    ),
    place=st.integers(0, 4),
)
def test_a_line_of_anything_costs_itself_alone(tmp_path: Path, junk: bytes, place: int) -> None:
    junk = junk.replace(b"\n", b"").replace(b"\r", b"")
    lines = [json.dumps(row(number)).encode() for number in range(4)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([*lines[:place], junk, *lines[place:]]))
    found, rejected, lost = read_all(path)
    assert found == ids(4)
    blank = not junk.decode("utf-8", "surrogateescape").strip("\ufeff \t")
    assert [one.dialogue_id for one in rejected] == ([] if blank else [f"a.jsonl:{place + 1}"])
    assert lost == []


BROKEN = [
    "oops",
    '{"id": "x", "data": [',
    '{"id": "x", "data": ["Hi.", "Yo."',
    '{"id": }',
    '{"id": "x" "y"}',
    '{"a": "x"y"}',
]
BROKEN += [
    "{" * 5000,
    '{"a":' * 5000,
    '{"a": "\x01"}',
    '{"a": tru}',
    "{'id': 1}",
    '{"a": [1, 2}',
    '{"a": 01}',
    '["oops',
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("piece", [5, json_files.PIECE])
def test_a_broken_line_of_a_json_file_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, place: int, piece: int
) -> None:
    monkeypatch.setattr(json_files, "PIECE", piece)
    lines = [json.dumps(row(number)) for number in range(4)]
    path = tmp_path / "a.json"
    path.write_text("\n".join([*lines[:place], broken, *lines[place:]]))
    found, rejected, lost = read_all(path)
    assert (found, lost) == (ids(4), [])
    assert [one.reason for one in rejected] == ["broken_json"]


@pytest.mark.parametrize("indent", [1, 2, "\t"])
@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize(
    ("old", "new"), [(":", " "), ("[", ""), ("]", ""), ("}", ""), ('"A', "A"), (",", ";"), ("A", "\n")]
)
@pytest.mark.parametrize("in_list", [True, False])
def test_a_broken_item_over_several_lines_costs_itself_alone(
    tmp_path: Path, indent: int | str, place: int, old: str, new: str, in_list: bool
) -> None:
    items = [json.dumps(row(number), indent=indent) for number in range(5)]
    items[place] = items[place].replace(old, new)
    text = "\n".join(items)
    if in_list:
        text = "[\n" + ",\n".join("  " + item.replace("\n", "\n  ") for item in items) + "\n]\n"
    path = tmp_path / "a.json"
    path.write_text(text)
    found, rejected, lost = read_all(path)
    assert found == [one for one in ids(5) if one != f"row-{place}"]
    assert len(rejected) >= 1
    assert lost == []


def test_an_item_that_has_lost_its_indentation_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps([row(number) for number in range(5)], indent=2).replace('  {\n    "id": "row-2"', '({"id": "x"')
    )
    found, rejected, lost = read_all(path)
    assert found == ["row-0", "row-1", "row-3", "row-4"]
    assert [one.dialogue_id for one in rejected] == ["a.json#3"]
    assert lost == []


@pytest.mark.parametrize(
    ("content", "rows", "words"),
    [
        (
            '[{"id": "row-0", "data": ["a", "b"]}, {"id": }, {"id": "row-2"}]',
            1,
            "a.json#2 (line 1) and all items after it",
        ),
        ('[{"id": "row-0", "data": ["a", "b"]},\n{"id": "row-1", "data": ["a", "b"]},\n', 2, "the list has no end"),
        ('[{"id": "row-0", "data": ["a", "b"]}', 1, "the list has no end"),
        ('[{"id": "row-0", "data": ["a", "b"]}, {"id": "row-1", "da', 1, "a.json#2 (line 1) and all items after it"),
        ('[{"id": "row-0", "data": ["a", "b"]}, ' + "[" * 9000 + "]" * 9000 + ", {}]", 1, "nested too deep"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", 0, "no row could be read"),
        ("<!DOCTYPE html>\n<html>404</html>", 0, "no row could be read"),
        ('{"id": "x", "data": ["a"', 0, "no row could be read"),
        ("[", 0, "the list has no end"),
        ("\x00" * 100, 0, "no row could be read"),
    ],
)
def test_what_cannot_be_counted_is_lost(tmp_path: Path, content: str, rows: int, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    found, rejected, lost = read_all(path)
    assert found == ids(rows)
    assert len(rejected) >= 1
    (message,) = lost
    assert message.startswith(f"{path}: ")
    assert words in message and "at at" not in message
    assert read_all(path, unreadable_files="skip") == (found, rejected, [])


@pytest.mark.parametrize("wrap", [{"data": [1]}, {"version": 1, "train": [row(0), row(1)]}, {"data": [row(0)]}, {}])
def test_a_file_of_one_object_of_another_shape_is_lost(tmp_path: Path, wrap: dict[str, Any]) -> None:
    """As its rows may stand in it, under a key: one rejection would not say how many they are."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(wrap, indent=1))
    found, [rejection], [message] = read_all(path)
    assert found == [] and rejection.reason == "wrong_shape"
    assert message.startswith(f"{path}: it is one object, but not a dialogue; a.json:1: wrong_shape")
    for others in (f"{json.dumps(wrap)}\n{json.dumps(row(0))}", f"[{json.dumps(wrap)}]"):  # here it is counted
        path.write_text(others)
        assert read_all(path)[2] == []


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonl.gz"])
def test_a_file_that_is_encoded_otherwise_is_lost(tmp_path: Path, name: str) -> None:
    content = "\n".join(json.dumps(row(number)) for number in range(9)).encode("utf-16")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found, rejected, lost = read_all(tmp_path / name)
    assert (found, len(lost)) == ([], 1)
    assert rejected


@pytest.mark.parametrize("form", ["objects over several lines", "a list over several lines"])
def test_a_jsonl_of_rows_over_several_lines_is_lost(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(FORMS[form]([row(number) for number in range(3)]))
    found, _, (message,) = read_all(path)
    assert found == []
    assert "rows over several lines are read from a .json" in message


@pytest.mark.parametrize("content", ["", " \n\r\n\t", "\ufeff", "[]", " [ ]\n"])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_a_file_without_rows_has_lost_none(tmp_path: Path, content: str, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    assert read_all(tmp_path / name) == ([], [], [])


@pytest.mark.parametrize("name", ["a.json.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("damage", ["cut", "empty", "not packed", "flipped", "junk behind"])
def test_of_a_damaged_archive_the_rows_before_stand(tmp_path: Path, name: str, damage: str) -> None:
    rows = [row(number, noise=random.Random(number).randbytes(80).hex()) for number in range(2000)]
    text = json.dumps(rows) if name == "a.json.gz" else "".join(json.dumps(one) + "\n" for one in rows)
    packed = gzip.compress(text.encode())
    middle = len(packed) // 2
    damaged = {
        "cut": packed[:middle],
        "empty": b"",
        "not packed": text.encode(),
        "flipped": packed[:middle] + bytes(99) + packed[middle + 99 :],
        "junk behind": packed + b"junk",
    }[damage]
    (tmp_path / name).write_bytes(damaged)
    found, rejected, lost = read_all(tmp_path / name)
    expected = {"empty": 0, "not packed": 0, "junk behind": 2000}.get(damage)
    assert found == ids(len(found))
    assert 100 < len(found) < 1999 if expected is None else len(found) == expected
    assert len(lost) == 1
    assert rejected[-1].reason == "broken_file"


@pytest.mark.parametrize("unit", [b"[", b" ", b"a", b"\n"])
@pytest.mark.parametrize("name", ["a.json.gz", "a.jsonl.gz"])
def test_an_archive_that_unpacks_to_more_than_text_can_is_lost(tmp_path: Path, unit: bytes, name: str) -> None:
    with gzip.open(tmp_path / name, "wb") as file:
        file.write(json.dumps(row(0)).encode() + b"\n")
        for _ in range(64):
            file.write(unit * 2**20)
    found, rejected, lost = read_all(tmp_path / name)
    assert found == ids(1)
    assert "unpacks to more than" in lost[0]
    assert rejected


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_row_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(json_files, "LONGEST_ROW", 5000)
    monkeypatch.setattr(json_files, "PIECE", 64)
    lines = [json.dumps(row(number)) for number in range(3)]
    lines[1] = json.dumps(row(1, noise="x" * 90_000))
    (tmp_path / name).write_text("\n".join(lines))
    found, rejected, lost = read_all(tmp_path / name)
    assert found == ["row-0", "row-2"]
    assert [(one.dialogue_id, one.reason) for one in rejected] == [(f"{name}:2", "row_too_long")]
    assert lost == []


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_value_that_nobody_uses_costs_no_row(tmp_path: Path, name: str) -> None:
    content = json.dumps(row(0, a="A", b="B", c="C")).encode()
    for old, new in (
        (b'"A"', b'"\xff"'),
        (b'"B"', b"9" * 5000),
        (b'"C"', b'NaN, "c": -Infinity, "c": [1e999, "\\ud800"]'),
    ):
        assert old in content
        content = content.replace(old, new)
    (tmp_path / name).write_bytes(content)
    assert read_all(tmp_path / name) == (ids(1), [], [])


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b'{"data": ["a", "b"], "data": ["c", "d"]}', "wrong_shape", "a key that appears twice"),
        (b'{"data": ["a", "b"], "id": 1, "id": 2}', "invalid_id", "a key that appears twice"),
        (b'{"data": ["a", "b"], "id": 1, "id": 2, "id": 1}', "invalid_id", "a key that appears twice"),
        (b'{"data": ["a", ' + b"7" * 5000 + b"]}", "wrong_shape", "a number of 5000 digits"),
        (b'{"data": ["a", "b"], "id": ' + b"7" * 5000 + b"}", "invalid_id", "a number of 5000 digits"),
        (b'{"data": ["a", NaN]}', "wrong_shape", "a number"),
        (b'{"data": ["a", "b\xff"]}', "invalid_text", "not UTF-8"),
        (b'{"data": ["a", "b"], "id": "\xff"}', "invalid_id", "printable"),
        (b'{"d\xff": ["a", "b"]}', "wrong_shape", "udcff"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_value_that_is_used_costs_the_row(tmp_path: Path, content: bytes, reason: str, words: str, name: str) -> None:
    (tmp_path / name).write_bytes(content + b"\n" + json.dumps(row(0)).encode())
    found, (rejection,), lost = read_all(tmp_path / name)
    assert (found, rejection.reason, lost) == (ids(1), reason, [])
    assert words in rejection.detail


def test_a_key_twice_with_one_value_is_one_key(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "row-0", "data": ["a", "b"], "data": ["a", "b"]}')
    assert read_all(tmp_path / "a.jsonl") == (ids(1), [], [])
