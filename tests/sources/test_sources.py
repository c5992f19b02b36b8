import contextlib
import gzip
import json
import os

import pyarrow
import pyarrow.parquet
import pytest
from pydantic import ValidationError

from duplexgen.pipeline.dialogue import Rejection
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.sources.reading import SYSTEM_LEFT_OUT, UNANSWERED_LEFT_OUT, Read, check, fingerprint, read
from duplexgen.pipeline.sources.section import Source

ROLES = ("user", "assistant")
PAIR = ["How are you?", "I am fine."]


def source(path, shape="ultrachat", **more):
    return Source(name="s", shape=shape, path=str(path), **more)


def lines(folder, *rows, name="a.jsonl"):
    """A JSONL file of rows; text is written as it is."""
    path = folder / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def only(path, shape="ultrachat", **more):
    [item] = read(source(path, shape, **more), path.parent)
    return item


def texts(item):
    assert isinstance(item, Read), item
    return [turn.text for turn in item.dialogue.turns]


def test_ultrachat_lines_alternate_from_the_user(tmp_path):
    item = only(lines(tmp_path, {"id": "x/1", "data": [*PAIR, "Good.", "Yes."]}))
    assert item.dialogue.id == "x/1"
    assert (item.dialogue.source, item.dialogue.language) == ("s", "en")
    assert [turn.role for turn in item.dialogue.turns] == ["user", "assistant"] * 2
    assert texts(item) == [*PAIR, "Good.", "Yes."]


@pytest.mark.parametrize("key", ["messages", "conversations"])
@pytest.mark.parametrize(
    ("role", "content", "user", "assistant"),
    [("role", "content", "user", "assistant"), ("from", "value", "human", "gpt")],
)
def test_chat_messages(tmp_path, key, role, content, user, assistant):
    row = {"prompt_id": "p", key: [{role: user, content: "Hi."}, {role: assistant, content: "Hello."}]}
    item = only(lines(tmp_path, row), "messages")
    assert (item.dialogue.id, texts(item), item.notes) == ("p", ["Hi.", "Hello."], ())


def test_content_in_parts_is_joined(tmp_path):
    parts = [{"type": "text", "text": "Hi."}, {"type": "text", "text": "You?"}]
    row = {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "Hello."}]}
    assert texts(only(lines(tmp_path, row), "messages")) == ["Hi.\n\nYou?", "Hello."]


def test_alpaca_list_joins_instruction_and_input(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps(
            [
                {"instruction": "Add.", "input": "1, 2", "output": "3"},
                {"instruction": "Greet.", "input": "", "output": "Hi."},
                {"instruction": "Greet.", "output": "Hey."},
            ],
            indent=1,
        )
    )
    items = list(read(source(path, "alpaca"), tmp_path))
    assert [texts(item) for item in items] == [["Add.\n\n1, 2", "3"], ["Greet.", "Hi."], ["Greet.", "Hey."]]


def test_the_history_of_an_alpaca_row_comes_before_its_question(tmp_path):
    history = [["Hi.", "Hello."], ["Who are you?", "A voice."]]
    row = {"instruction": "Add.", "input": "1, 2", "output": "3", "system": "Be kind.", "history": history}
    item = only(lines(tmp_path, row), "alpaca")
    assert texts(item) == ["Hi.", "Hello.", "Who are you?", "A voice.", "Add.\n\n1, 2", "3"]
    assert item.notes == (SYSTEM_LEFT_OUT,)
    bare = only(lines(tmp_path, row | {"system": "", "history": []}, name="b.jsonl"), "alpaca")
    assert texts(bare) == ["Add.\n\n1, 2", "3"] and bare.notes == ()


@pytest.mark.parametrize("history", ["Hi.", [["Hi."]], [["Hi.", None]], [{"Hi.": "Hello."}], [["a", "b", "c"]]])
def test_a_history_of_another_form_is_rejected(tmp_path, history):
    row = {"instruction": "Add.", "output": "3", "history": history}
    rejection = only(lines(tmp_path, row), "alpaca")
    assert rejection.reason == "wrong_shape" and "history" in rejection.detail


def test_an_id_made_from_content_survives_sorting(tmp_path):
    rows = [{"instruction": str(number), "input": "", "output": "ok"} for number in range(3)]
    forth = [item.dialogue.id for item in read(source(lines(tmp_path, *rows), "alpaca"), tmp_path)]
    back = [item.dialogue.id for item in read(source(lines(tmp_path, *rows[::-1], name="b.jsonl"), "alpaca"), tmp_path)]
    assert forth == back[::-1]
    assert len(set(forth)) == 3


def test_what_is_left_out_is_noted(tmp_path):
    said = [("system", "Be kind."), ("user", "Hi."), ("assistant", "Hello."), ("user", "And?")]
    row = {"messages": [{"role": role, "content": content} for role, content in said]}
    item = only(lines(tmp_path, row), "messages")
    assert texts(item) == ["Hi.", "Hello."]
    assert item.notes == (SYSTEM_LEFT_OUT, UNANSWERED_LEFT_OUT)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"id": "a", "data": [', "broken_json"),
        ("[" * 100_000, "broken_json"),
        ('{"data": ' + "1" * 5000 + "}", "wrong_shape"),
        ('"text"', "wrong_shape"),
        ({"id": "a"}, "wrong_shape"),
        ({"messages": []}, "wrong_shape"),
        ({"data": ["Hi.", 3]}, "wrong_shape"),
        ({"data": ["Hi.", None]}, "wrong_shape"),
        ({"data": []}, "no_turns"),
        ({"data": ["Hi."]}, "no_reply"),
        ({"data": ["Hi.", " \n"]}, "empty_turn"),
        ({"data": ["", "Hi."]}, "empty_turn"),
        ('{"data": ["Hi.", "\\ud800"]}', "invalid_text"),
        ({"id": "a\u0000b", "data": PAIR}, "invalid_id"),
        ({"id": "a\nb", "data": PAIR}, "invalid_id"),
        ({"id": "a\u202eb", "data": PAIR}, "invalid_id"),
        ({"id": "", "data": PAIR}, "invalid_id"),
        ({"id": ["a"], "data": PAIR}, "invalid_id"),
        ({"id": "a" * 513, "data": PAIR}, "invalid_id"),
    ],
)
def test_an_unusable_row_is_rejected_where_it_stands(tmp_path, row, reason):
    good = {"id": "good", "data": PAIR}
    first, second, third = read(source(lines(tmp_path, good, row, {**good, "id": "also"})), tmp_path)
    assert (first.dialogue.id, third.dialogue.id) == ("good", "also")
    assert isinstance(second, Rejection)
    assert (second.dialogue_id, second.stage, second.reason) == ("a.jsonl:2", "source", reason)
    second.detail.encode("utf-8")


@pytest.mark.parametrize(
    ("roles", "reason"),
    [
        (["assistant", "user", "assistant"], "starts_with_assistant"),
        (["user", "user", "assistant"], "roles_do_not_alternate"),
        (["user", "assistant", "assistant"], "roles_do_not_alternate"),
        (["user", "tool", "assistant"], "unknown_role"),
        (["system"], "no_turns"),
        (["system", "user"], "no_reply"),
    ],
)
def test_messages_out_of_order_are_rejected(tmp_path, roles, reason):
    row = {"messages": [{"role": role, "content": "Hi."} for role in roles]}
    assert only(lines(tmp_path, row), "messages").reason == reason


def test_bytes_that_are_not_utf8_are_rejected_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": 7, "data": ["Hi.", "Ho."]}\r\n\n{"data": ["\xff", "Ho."]}\n')
    first, second = read(source(path), tmp_path)
    assert first.dialogue.id == "7"
    assert (second.dialogue_id, second.reason) == ("a.jsonl:3", "invalid_text")


def test_a_line_without_end_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr("duplexgen.pipeline.sources.json_files.LONGEST_ROW", 100)
    path = lines(tmp_path, "x" * 1000, {"data": PAIR})
    first, second = read(source(path), tmp_path)
    assert (first.dialogue_id, first.reason) == ("a.jsonl:1", "row_too_long")
    assert texts(second) == PAIR


def test_a_broken_item_of_a_list_is_one_rejection_that_says_where(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[\n {"instruction": "a", "output": "b"},\n {"instruction": }\n]')
    first, second = read(source(path, "alpaca"), tmp_path)
    assert texts(first) == ["a", "b"]
    assert (second.dialogue_id, second.reason) == ("a.json#2", "broken_json")
    assert "line 3" in second.detail


def test_a_folder_is_read_in_order_of_names_in_every_format(tmp_path):
    lines(tmp_path, {"id": "b", "data": PAIR}, name="b.jsonl")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps({"id": "a", "data": PAIR}).encode()))
    (tmp_path / "c.json").write_text(json.dumps([{"id": "c", "data": PAIR}]))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"id": "d", "data": PAIR}]), tmp_path / "d.parquet")
    lines(tmp_path, "not read", name="notes.txt")
    lines(tmp_path, "not read", name=".hidden.jsonl")
    assert [item.dialogue.id for item in read(source("."), tmp_path)] == ["a", "b", "c", "d"]


def test_a_damaged_archive_keeps_what_was_read_and_is_rejected(tmp_path):
    packed = gzip.compress(b"".join(json.dumps({"id": str(i), "data": PAIR}).encode() + b"\n" for i in range(5000)))
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    lines(tmp_path, {"id": "c", "data": PAIR}, name="c.jsonl")
    items = list(read(source("."), tmp_path))
    assert [item.reason for item in items if isinstance(item, Rejection)] == ["broken_file", "broken_file"]
    assert items[0].dialogue.id == "0"
    assert items[-1].dialogue.id == "c"


def test_the_limit_counts_rows_and_stops_reading(tmp_path):
    path = lines(tmp_path, {"id": "a", "data": PAIR}, "{", {"id": "b", "data": PAIR}, "{")
    items = list(read(source(path, limit=3), tmp_path))
    assert [isinstance(item, Read) for item in items] == [True, False, True]


def test_lines_are_streamed(tmp_path):
    path = lines(tmp_path, *({"id": str(number), "data": PAIR} for number in range(1000)))
    items = read(source(path), tmp_path)
    first = next(items)
    with path.open("a") as stream:  # what is added while we read is still found: nothing was read ahead of it
        stream.write(json.dumps({"id": "late", "data": PAIR}) + "\n")
    assert first.dialogue.id == "0"
    assert [item.dialogue.id for item in items][-1] == "late"


def test_a_missing_place_is_a_user_error_that_names_it(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("a,b")
    for name, words in (("nowhere.jsonl", "no such file"), ("empty", "has no file"), ("a.csv", "does not end in")):
        assert words in (check(source(name), tmp_path) or "")
        with pytest.raises(UserError, match=words):
            list(read(source(name), tmp_path))
        with pytest.raises(UserError, match=name):
            fingerprint(source(name), tmp_path)
    assert check(source(lines(tmp_path, {})), tmp_path) is None


def test_a_limit_beyond_all_rows(tmp_path):
    assert texts(only(lines(tmp_path, {"data": PAIR}), limit=10**12)) == PAIR


@pytest.mark.parametrize("key", ["path", "hub"])
@pytest.mark.parametrize("place", ["", " ", "s3://bucket/x", "~nosuchuser/a.jsonl", "a\0b.jsonl", "x" * 300])
def test_a_place_that_no_path_can_name_is_refused_with_the_recipe(key, place):
    with pytest.raises(ValidationError, match=rf"(?s){key}.*(is empty|is an address|is not a path|too long)"):
        Source(name="s", shape="ultrachat", **{key: place})


def test_a_place_that_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name, words in (
        ("pipe.jsonl", "not an ordinary file"),
        ("zero.json", "not an ordinary file"),
        ("loop.jsonl", "a link that leads nowhere"),
        ("/".join(["x" * 202] * 20) + "/a.jsonl", "too long"),
    ):
        assert words in (check(source(name), tmp_path) or "")
        for use in (fingerprint, lambda *of: list(read(*of))):
            with pytest.raises(UserError, match=words):
                use(source(name), tmp_path)


@pytest.mark.parametrize("kind", ["link", "loop", "pipe", "folder"])
def test_nothing_of_a_folder_is_passed_over_that_is_named_like_data(tmp_path, kind):
    lines(tmp_path, {"data": PAIR})
    other = tmp_path / "other.parquet"
    if kind == "pipe":
        os.mkfifo(other)
    elif kind == "folder":
        other.mkdir()
    else:
        other.symlink_to("nowhere" if kind == "link" else other)
    assert "other.parquet" in (check(source("."), tmp_path) or "")
    with pytest.raises(UserError, match=r"other\.parquet"):
        list(read(source("."), tmp_path))


@contextlib.contextmanager
def nobody():
    """Be a user to whom permissions apply, as they do not to root."""
    user = os.geteuid()
    if not user:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    (tmp_path / "closed").mkdir()
    lines(tmp_path, {"data": PAIR}, name="closed/a.jsonl").chmod(0)
    (tmp_path / "closed").chmod(0)
    with nobody():
        for name in ("closed", "closed/a.jsonl"):
            assert "cannot be read" in (check(source(name), tmp_path) or "")
            for use in (fingerprint, lambda *of: list(read(*of))):
                with pytest.raises(UserError, match="cannot be read"):
                    use(source(name), tmp_path)


def test_names_that_are_not_utf8_are_told_apart(tmp_path):
    lines(tmp_path, {"id": "a", "data": PAIR}, name=os.fsdecode(b"\xff.jsonl"))
    lines(tmp_path, {"id": "b", "data": PAIR}, name="\\xff.jsonl")
    lines(tmp_path, {"id": "c", "data": PAIR}, name="C.JSONL")
    prints = fingerprint(source("."), tmp_path)
    assert set(prints) == {"\\xff.jsonl", "\\\\xff.jsonl", "C.JSONL"}
    json.dumps(prints, ensure_ascii=False).encode("utf-8")
    assert sorted(item.dialogue.id for item in read(source("."), tmp_path)) == ["a", "b", "c"]


def test_a_name_of_a_file_keeps_to_its_line(tmp_path):
    lines(tmp_path, "{", name="\x1b[31m\nall is well.jsonl")
    lost = []
    [rejection] = read(source("."), tmp_path, lost)
    assert rejection.dialogue_id == "\\x1b[31m\\nall is well.jsonl:1"
    assert list(fingerprint(source("."), tmp_path)) == ["\\x1b[31m\\nall is well.jsonl"]


def test_a_fingerprint_follows_the_content(tmp_path):
    path = lines(tmp_path, {"data": PAIR})
    before = fingerprint(source(path), tmp_path)
    assert fingerprint(source("a.jsonl"), tmp_path) == before
    lines(tmp_path, {"data": PAIR[::-1]})
    assert fingerprint(source(path), tmp_path) != before
    hub = Source(name="h", shape="messages", hub="a/b", revision="123")
    assert fingerprint(hub, tmp_path) == {"hub": "a/b", "config": "", "split": "train", "revision": "123"}


def test_a_data_set_is_loaded_through_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    rows = [{"prompt_id": str(i), "messages": [{"role": "user", "content": "Hi."}]} for i in range(3)]
    for row in rows[:2]:
        row["messages"].append({"role": "assistant", "content": "Hello."})
    lines(tmp_path, *rows, name="train.jsonl")
    hub = Source(name="h", shape="messages", hub=str(tmp_path), split="train")
    first, second, third = read(hub, tmp_path)
    assert (first.dialogue.id, texts(second)) == ("0", ["Hi.", "Hello."])
    assert (third.dialogue_id, third.reason) == (f"{tmp_path}/train#3", "no_reply")
    assert check(hub, tmp_path) is None


def test_a_data_set_in_a_folder_is_known_by_its_files(tmp_path):
    (tmp_path / "data").mkdir()
    lines(tmp_path, {"data": PAIR}, name="data/train.jsonl")
    hub = Source(name="h", shape="ultrachat", hub=str(tmp_path))
    before = fingerprint(hub, tmp_path)
    assert before["data/train.jsonl"] == fingerprint(source("data/train.jsonl"), tmp_path)["train.jsonl"]
    lines(tmp_path, {"data": PAIR[::-1]}, name="data/train.jsonl")
    assert fingerprint(hub, tmp_path) != before


def test_values_of_a_data_set_that_cannot_be_told_cost_no_more_than_their_row(tmp_path):
    bad = pyarrow.array([1, 2**31 - 1, 3], pyarrow.int32()).cast(pyarrow.date32())
    starts = pyarrow.array([0, 1, 2, 3], pyarrow.int32()).buffers()[1]
    text = pyarrow.Array.from_buffers(pyarrow.string(), 3, [None, starts, pyarrow.py_buffer(b"a\xffc")])
    columns = {
        "id": ["a", "b", "c"],
        "instruction": text,
        "output": ["x", "y", "z"],
        "unused": bad,
        "image": [b"no"] * 3,
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    first, second, third = read(Source(name="h", shape="alpaca", hub=str(tmp_path)), tmp_path)
    assert (first.dialogue.id, second.reason, third.dialogue.id) == ("a", "invalid_text", "c")


def test_content_of_a_data_set_is_as_its_rows_have_it(tmp_path):
    parts = [{"type": "text", "text": "Hi."}]
    contents = [("a", "b"), (parts, "c")]  # `datasets` keeps a column of both as JSON
    rows = [{"messages": [{"role": r, "content": c} for r, c in zip(ROLES, cs, strict=True)]} for cs in contents]
    lines(tmp_path, *rows, name="train.jsonl")
    items = list(read(Source(name="h", shape="messages", hub=str(tmp_path)), tmp_path))
    assert [texts(item) for item in items] == [["a", "b"], ["Hi.", "c"]]


def test_a_data_set_that_cannot_be_loaded_is_a_user_error(tmp_path):
    lines(tmp_path, {"data": PAIR}, name="train.jsonl")
    with pytest.raises(UserError, match="nosuchsplit"):
        list(read(Source(name="h", shape="ultrachat", hub=str(tmp_path), split="nosuchsplit"), tmp_path))
