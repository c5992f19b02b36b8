"""Bad rows of a source: each gets its row in the rejected table, none stops the build, none vanishes."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from duplexgen.pipeline.dataset.reader import Dataset
from tests.command import duplexgen
from tests.corpus import TURNS, recipe_dict

ASK, ANSWER = TURNS[:2]
BY_PLACE = ""


def said(id_: Any, *texts: Any) -> dict[str, Any]:
    messages = [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]
    return {"id": id_, "messages": messages}


# A line of the file as bytes or as a value; the stage and the reason that reject it; how the table names it.
UNREADABLE = [
    (b'{"id": "broken", "messages": [{"role": "us', "broken_json"),
    (b"\x1f\x8b\x08 no text at all \x00\x01", "invalid_text"),
    (b"[" * 100_000, "broken_json"),
    (b'{"id": ' + b"9" * 5000 + b', "messages": []}', "no_turns"),
    (
        b'{"id": '
        + b"9" * 5000
        + b', "messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes."}]}',
        "invalid_id",
    ),
    (b'{"id": "latin-1", "messages": [{"role": "user", "content": "caf\xe9"}]}', "invalid_text"),
    (b'{"id": "deep", "messages": ' + b"[" * 700 + b"]" * 700 + b"}", "wrong_shape"),
    ("text", "wrong_shape"),
    (None, "wrong_shape"),
    ([ASK, ANSWER], "wrong_shape"),
    ({}, "wrong_shape"),
    ({"id": "another shape", "data": [ASK, ANSWER]}, "wrong_shape"),
    (said("numbers", 1, 2), "wrong_shape"),
    (said("nulls", None, None), "wrong_shape"),
    (said("nested", ASK, {"text": ANSWER}), "wrong_shape"),
    (said("no turns"), "no_turns"),
    ({"id": "reversed", "messages": said("", ASK, ANSWER)["messages"][::-1]}, "starts_with_assistant"),
    ({"id": "twice", "messages": said("", ASK)["messages"] * 2}, "roles_do_not_alternate"),
    ({"id": "tool", "messages": [{"role": "tool", "content": ASK}]}, "unknown_role"),
    (said("empty question", "", ANSWER), "empty_turn"),
    (said("empty reply", ASK, " \n\t "), "empty_turn"),
    (said("lone", ASK), "no_reply"),
    (said("lone surrogate", "a \ud800 b", ANSWER), "invalid_text"),
    (said("surrogate \udfff", ASK, ANSWER), "invalid_id"),
    (said("bell \x07", ASK, ANSWER), "invalid_id"),
    (said("line\nbreak", ASK, ANSWER), "invalid_id"),
    (said(" ", ASK, ANSWER), "invalid_id"),
    (said("x" * 600, ASK, ANSWER), "invalid_id"),
    (said(7.5, ASK, ANSWER), "invalid_id"),
    (said(10**600, ASK, ANSWER), "invalid_id"),
]
UNSPEAKABLE = [
    (said("long question", "why " * 12_500, ANSWER), "user_turn_too_long"),
    (said("long word", ASK, "a" * 50_000), "unspeakable"),
    (said("long sentence", ASK, "word " * 10_000), "reply_cannot_be_cut"),
    (said("chinese word", ASK, "They call it 图书馆 here."), "unspeakable"),
    (said("cyrillic letter", "Wh\u0435re is it?", ANSWER), "unspeakable"),
    (said("emoji", ASK, "😀 🎉🎉"), "nothing_to_say"),
    (said("code", ASK, "```python\nfor x in range(3):\n    print(x)\n```"), "code"),
    (said("symbols", ASK, "( * ) [ # ] > ~ _"), "unspeakable"),
    (said("quotes in quotes", "> " * 1000, ANSWER), "nothing_to_say"),
]
GOOD = [
    said("first", *TURNS),
    said("long reply", ASK, f"{ANSWER} " * 500),
    said("../../etc/passwd", ASK, ANSWER),
    said("图 7%2F", ASK, ANSWER),
    said("control characters", f"{ASK}\x00\x07\x1b", f"\x08{ANSWER}\x0b\x7f"),
    said("nul", "Where is\u0000it?", "It is\u0000over there, on the corner."),
    said(8, ASK, ANSWER),
]
DUPLICATES = [said("first", ASK, ANSWER), said("8", ASK, ANSWER)]


def write_source(path: Path) -> list[tuple[str, str, str]]:
    """Write all of them to a file; returns the rows that the rejected table must have: id or place, stage, reason."""
    lines: list[Any] = [*GOOD, *(line for line, _ in UNREADABLE), *(line for line, _ in UNSPEAKABLE), *DUPLICATES]
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    unreadable = [
        (f"{path.name}:{number}", "source", reason) for number, (_, reason) in enumerate(UNREADABLE, len(GOOD) + 1)
    ]
    unspeakable = [(row["id"], "script", reason) for row, reason in UNSPEAKABLE]
    return [*unreadable, *unspeakable, *((row["id"], "source", "duplicate_id") for row in DUPLICATES)]


@pytest.mark.usefixtures("ray_session")
def test_every_bad_row_is_in_the_rejected_table(tmp_path: Path) -> None:
    expected = write_source(tmp_path / "bad.jsonl")
    recipe = recipe_dict(tmp_path) | {
        "sources": [{"name": "bad", "shape": "messages", "path": "bad.jsonl"}],
        "max_rejected_share": 1.0,
        "partition_size": 5,
    }
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(recipe))

    ended = duplexgen("build", "bad.yaml", "--out", "data_set", "--work", "work", cwd=tmp_path)

    assert ended.status == 0, ended.said
    assert f"{len(GOOD)} dialogues" in ended.said
    assert f"{len(expected)} rejected" in ended.said
    table = pq.read_table(tmp_path / "data_set" / "rejected").to_pylist()
    assert sorted((row["dialogue_id"], row["stage"], row["reason"]) for row in table) == sorted(expected)
    assert all(row["detail"] for row in table)
    dataset = Dataset(tmp_path / "data_set")
    assert [row["dialogue_id"] for row in dataset.rows(["dialogue_id"])] == [str(row["id"]) for row in GOOD]

    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(recipe | {"max_rejected_share": 0.1}))
    stricter = duplexgen("build", "bad.yaml", "--out", "data_set", "--work", "work", cwd=tmp_path)
    assert stricter.status == 2
    assert "the recipe allows 10% (max_rejected_share)" in stricter.said
    ledger = {counts.stage: counts for counts in dataset.manifest.ledger}
    assert ledger["source"].planned == len(GOOD) + len(expected)
    assert ledger["sequences"].emitted == len(GOOD)
    assert sum(counts.rejected for counts in ledger.values()) == len(expected)
    assert ledger["script"].notes == {"reply_cut": 1}
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        *("bad.jsonl", "bad.yaml", "data_set", "work"),
    ]
    assert duplexgen("verify", "data_set", cwd=tmp_path).status == 0
    assert duplexgen("inspect", "data_set", "../../etc/passwd", cwd=tmp_path).status == 0


def test_plan_counts_them_without_speaking(tmp_path: Path) -> None:
    write_source(tmp_path / "bad.jsonl")
    recipe = recipe_dict(tmp_path) | {"sources": [{"name": "bad", "shape": "messages", "path": "bad.jsonl"}]}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(recipe))
    ended = duplexgen("plan", "bad.yaml", cwd=tmp_path)
    assert ended.status == 0, ended.said
    read, rejected = len(GOOD) + len(UNSPEAKABLE), len(UNREADABLE) + len(DUPLICATES)
    assert f"{read} ({rejected} rows of the sources rejected" in ended.said
    assert "wrong_shape 9" in ended.said
