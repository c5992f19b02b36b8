"""Text corpora in the forms in which they are published, from files and as data sets."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import Rejection
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.sources import shapes
from duplexgen.pipeline.sources.reading import SYSTEM_LEFT_OUT, Item, LeftOut, Read, read
from duplexgen.pipeline.sources.section import Source
from tests.sources import published
from tests.sources.published import ASKED, ASKED_ZH, REPLIED, REPLIED_ZH, Row

FORMS = {
    "magpie": ("data/train-00000-of-00007.parquet", published.MAGPIE),
    "infinity": ("7M/train-00000-of-00034.parquet", published.INFINITY),
    "belle": ("Belle_open_source_0.5M.json", published.BELLE),
    "belle_multiturn": ("multiturn_chat_0.8M.json", published.BELLE_MULTITURN),
    "belle_conversations": ("train_3.5M_CN.json", published.BELLE_CONVERSATIONS),
    "wizardlm_70k": ("alpaca_evol_instruct_70k.json", published.WIZARDLM_70K),
    "wizardlm_196k": ("WizardLM_evol_instruct_V2_143k.json", published.WIZARDLM_196K),
}
ENGLISH, CHINESE = (ASKED[0], REPLIED[0]), (ASKED_ZH[0], REPLIED_ZH[0])
LONG_ENGLISH = (ASKED[0], REPLIED[0], ASKED[1], REPLIED[1])
LONG_CHINESE = (ASKED_ZH[0], REPLIED_ZH[0], ASKED_ZH[1], REPLIED_ZH[1])


def source(**more: Any) -> Source:
    return Source.model_validate({"name": "s", "shape": "messages", "path": "rows.jsonl"} | more)


def texts(items: list[Item]) -> list[tuple[str, ...]]:
    return [tuple(turn.text for turn in item.dialogue.turns) for item in items if isinstance(item, Read)]


def ids(items: list[Item]) -> list[str]:
    return [item.dialogue.id for item in items if isinstance(item, Read)]


@pytest.mark.parametrize("place", ["path", "hub"])
@pytest.mark.parametrize(
    ("form", "keys", "expected"),
    [
        ("magpie", {"where": {"language": "EN"}}, [ENGLISH, (ASKED[1], REPLIED[1])]),
        ("magpie", {"where": {"language": "ZH"}, "language": "zh"}, [CHINESE]),
        ("magpie", {"shape": "instruction_response", "where": {"language": "EN"}, "limit": 1}, [ENGLISH]),
        ("infinity", {"where": {"langdetect": "en"}}, [ENGLISH, (ASKED[1], REPLIED[1])]),
        ("infinity", {"where": {"langdetect": "zh-cn"}, "language": "zh"}, [LONG_CHINESE]),
        ("infinity", {"where": {"langdetect": "en", "id": 2}}, [(ASKED[1], REPLIED[1])]),
        ("belle", {"shape": "alpaca", "language": "zh"}, [CHINESE]),
        ("belle_multiturn", {"shape": "belle_multiturn", "language": "zh"}, [LONG_CHINESE]),
        ("belle_conversations", {"language": "zh"}, [CHINESE]),
        ("wizardlm_70k", {"shape": "alpaca"}, [ENGLISH]),
        ("wizardlm_196k", {}, [LONG_ENGLISH]),
    ],
)
def test_a_corpus_is_read_as_it_is_published(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    form: str,
    keys: dict[str, Any],
    expected: list[tuple[str, ...]],
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    name, rows = FORMS[form]
    file = published.write(tmp_path / "set" / name, rows)
    where = {"path": str(file)} if place == "path" else {"path": None, "hub": str(tmp_path / "set")}
    items = list(read(source(**where, **keys), tmp_path))
    assert texts(items) == expected
    assert not [item for item in items if isinstance(item, Rejection)]
    if "limit" not in keys:
        assert len(items) == len(rows)  # what is not a dialogue is left out, and counts
    language = keys.get("language", "en")
    assert {item.dialogue.language for item in items if isinstance(item, Read)} == {language}


def test_a_system_message_of_infinity_is_left_out_and_noted(tmp_path: Path) -> None:
    file = published.write(tmp_path / "a.parquet", published.INFINITY)
    first, *_ = read(source(path=str(file)), tmp_path)
    assert isinstance(first, Read) and first.notes == (SYSTEM_LEFT_OUT,)


# Belle's dialogues in one text.


def lines_of(marker_words: str) -> st.SearchStrategy[str]:
    """Texts in which no line starts with a marker, though the markers' words may stand anywhere else."""
    parts = st.sampled_from([marker_words, "Human:", "Assistant:", " Human:", "\n", "a", "你好", "\r", ": ", "human:"])
    text = st.lists(parts | st.text(max_size=5), min_size=1, max_size=8).map("".join)
    return text.filter(lambda text: text.strip() and not text.startswith("\n") and shapes._MARKER.search(text) is None)


TURN = lines_of("der Human: und Assistant:")


@given(st.lists(st.tuples(TURN, TURN), min_size=1, max_size=10), st.booleans())
def test_markers_give_back_the_turns_they_join(exchanges: list[tuple[str, str]], with_last_marker: bool) -> None:
    turns = [text for exchange in exchanges for text in exchange]
    row = published.belle_multiturn(*turns)
    if not with_last_marker:
        row["instruction"] = row["instruction"].removesuffix("\nAssistant:")
    dialogue = shapes.dialogue(row, source(shape="belle_multiturn")).dialogue
    assert [turn.text for turn in dialogue.turns] == turns
    assert [turn.role for turn in dialogue.turns] == ["user", "assistant"] * len(exchanges)


def test_marker_words_within_a_sentence_are_text() -> None:
    said = (
        "Who wrote Human: a history?\n  Human: who?",
        "I am an Assistant: I do not know.",
        "你好 Human:",
        "Assistant: ok",
    )
    dialogue = shapes.dialogue(published.belle_multiturn(*said), source(shape="belle_multiturn")).dialogue
    assert tuple(turn.text for turn in dialogue.turns) == said


@pytest.mark.parametrize(
    ("row", "reason", "says"),
    [
        ({"instruction": "Human:a\nHuman:b\nAssistant:", "output": "c"}, "roles_do_not_alternate", "both the user's"),
        ({"instruction": "Human:a\nAssistant:b", "output": "c"}, "roles_do_not_alternate", "both the assistant's"),
        ({"instruction": "Human:a\nAssistant:\nAssistant:", "output": "c"}, "roles_do_not_alternate", "turns 2 and 3"),
        ({"instruction": "Human:a\nAssistant:\nHuman:b\nAssistant:", "output": "c"}, "empty_turn", "turn 2"),
        ({"instruction": "Assistant:a\nHuman:b\nAssistant:", "output": "c"}, "starts_with_assistant", "the first turn"),
        ({"instruction": "Assistant:", "output": "c"}, "starts_with_assistant", "the first turn"),
        ({"instruction": "Human:\nAssistant:", "output": "c"}, "empty_turn", "turn 1"),
        ({"instruction": "Human:a\nAssistant:", "output": " "}, "empty_turn", "turn 2"),
        ({"instruction": "Tell me.\nHuman:a\nAssistant:", "output": "c"}, "wrong_shape", "to start with `Human:`"),
        ({"instruction": "Tell me.", "output": "c"}, "wrong_shape", "to start with `Human:`"),
        ({"instruction": "", "output": "c"}, "wrong_shape", "to start with `Human:`"),
        ({"instruction": "Human:a\nAssistant:", "output": None}, "wrong_shape", "expected text in `output`"),
        ({"instruction": 3, "output": "c"}, "wrong_shape", "expected text in `instruction`, got a number"),
        ({"instruction": "Human:a\nAssistant:", "input": "b", "output": "c"}, "wrong_shape", "`input` has text"),
    ],
)
def test_a_text_whose_turns_do_not_alternate_is_rejected(row: Row, reason: str, says: str) -> None:
    with pytest.raises(DialogueRejected) as rejected:
        shapes.dialogue(row, source(shape="belle_multiturn"))
    assert rejected.value.reason == reason
    assert says in rejected.value.detail


# Instruction and response.


@pytest.mark.parametrize("empty", [{}, {"input": None, "context": " ", "output": ""}])
def test_instruction_and_response(empty: Row) -> None:
    row = {"instruction": "Hi.", "response": "Hello.", **empty}
    dialogue = shapes.dialogue(row, source(shape="instruction_response")).dialogue
    assert [turn.text for turn in dialogue.turns] == ["Hi.", "Hello."]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"instruction": "Hi.", "output": "Hello."}, "`output` has text, which the shape instruction_response"),
        ({"instruction": "Hi.", "response": "Hello.", "output": "Bye."}, "`output` has text"),
        ({"instruction": "Sum up.", "context": "A text.", "response": "Short."}, "`context` has text"),
        ({"instruction": "Add.", "input": [1, 2], "response": "3"}, "`input` has a list"),
        ({"instruction": "Hi."}, "expected text in `response`, got nothing; the row has 'instruction'"),
        ({"response": "Hi."}, "expected text in `instruction`, got nothing"),
        ({"instruction": "Hi.", "response": ["Hello."]}, "expected text in `response`, got a list"),
    ],
)
def test_no_text_of_a_row_is_lost_without_a_word(row: Row, says: str) -> None:
    with pytest.raises(DialogueRejected, match="wrong_shape") as rejected:
        shapes.dialogue(row, source(shape="instruction_response"))
    assert says in rejected.value.detail


# Which rows, and how they are named.


@given(
    st.lists(st.sampled_from(["en", "zh-cn", "EN", None, 1, True, 1.5]), max_size=20), st.sampled_from(["en", 1, 1.5])
)
def test_where_leaves_out_all_other_rows_and_each_is_there_to_be_counted(values: list[Any], wanted: Any) -> None:
    rows = [
        {"id": number, "tag": value, "conversations": published.turns("a", "b")} for number, value in enumerate(values)
    ]
    kept = [shapes.matches(row, source(where={"tag": wanted})) for row in rows]
    assert kept == [type(value) is type(wanted) and value == wanted for value in values]


@pytest.mark.parametrize("form", ["magpie", "infinity"])
def test_the_limit_counts_rows_that_are_not_left_out(tmp_path: Path, form: str) -> None:
    name, rows = FORMS[form]
    column, value = ("language", "EN") if form == "magpie" else ("langdetect", "en")
    file = published.write(tmp_path / Path(name).name, rows)
    items = list(read(source(path=str(file), where={column: value}, limit=2), tmp_path))
    assert [type(item) for item in items] == [Read, LeftOut, Read]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"langdetec": "en", "messages": []}', "the row has 'langdetec, messages'"),
        ('{"langdetect": "en", "langdetect": "zh-cn", "messages": []}', "got a key that appears twice"),
    ],
)
def test_a_row_that_cannot_be_compared_is_rejected(tmp_path: Path, line: str, reason: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(line + "\n", encoding="utf-8")
    [item] = read(source(where={"langdetect": "en"}), tmp_path)
    assert isinstance(item, Rejection)
    assert (item.reason, item.dialogue_id) == ("wrong_shape", "rows.jsonl:1")
    assert "`where` compares `langdetect`" in item.detail and reason in item.detail


@pytest.mark.parametrize(
    ("form", "keys", "expected"),
    [
        ("magpie", {"id_key": "uuid"}, ["s-0f8e-1", "s-0f8e-2", "s-0f8e-3", "s-0f8e-4"]),
        ("infinity", {}, ["0", "1", "2"]),
        ("infinity", {"id_key": "id"}, ["s-0", "s-1", "s-2"]),
        ("infinity", {"id_key": "id", "where": {"id": 1}}, ["s-1"]),
        ("wizardlm_196k", {"id_key": "idx"}, ["s-an-idx"]),
        ("belle_conversations", {}, ["66623029"]),
    ],
)
def test_the_column_that_names_a_row(tmp_path: Path, form: str, keys: dict[str, Any], expected: list[str]) -> None:
    name, rows = FORMS[form]
    file = published.write(tmp_path / Path(name).name, rows)
    assert ids(list(read(source(path=str(file), **keys), tmp_path))) == expected


@pytest.mark.parametrize("form", ["magpie", "wizardlm_196k", "belle_multiturn", "wizardlm_70k"])
def test_columns_that_no_recipe_names_as_an_id_change_no_id(form: str) -> None:
    """Rows keep their names from before there was an `id_key`: data sets that were built keep theirs."""
    _, rows = FORMS[form]
    shape = {"belle_multiturn": "belle_multiturn", "wizardlm_70k": "alpaca"}.get(form, "messages")
    for row in rows:
        plain = {key: value for key, value in row.items() if key not in ("uuid", "idx")}
        assert shapes.dialogue(row, source(shape=shape)) == shapes.dialogue(plain, source(shape=shape))


@pytest.mark.parametrize("value", [None, "", " ", 1.5, ["a"], "a\nb", "x" * 513])
def test_a_row_that_its_column_does_not_name_is_rejected(tmp_path: Path, value: Any) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"uuid": value, "conversations": published.turns("a", "b")}) + "\n", encoding="utf-8")
    [item] = read(source(id_key="uuid"), tmp_path)
    assert isinstance(item, Rejection) and item.reason == "invalid_id"
