"""Question sets as they are published, and the paper's tables."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.recipe.file import load
from duplexgen.pipeline.sources.reading import Read, read
from duplexgen.pipeline.sources.section import Source
from duplexgen.training.metrics.metrics import Figure
from duplexgen.training.metrics.paper import TABLES, tables
from duplexgen.training.metrics.questions import LONGEST_REPLY, shortened_reply, write
from duplexgen.training.metrics.recipe import EVALUATION_RECIPES, EvaluationRecipe, Tables
from duplexgen.training.metrics.scores import read_answers
from tests.command import duplexgen

ALPACA_EVAL = [  # as alpaca_eval.json has them
    {
        "instruction": "What are the names of some famous actors that started their careers on Broadway?",
        "output": "Some famous actors started there. " * 20,
        "generator": "text_davinci_003",
        "dataset": "helpful_base",
        "datasplit": "eval",
    },
    {
        "instruction": "How can I improve my time management skills?",
        "output": "Make a list every morning.",
        "generator": "text_davinci_003",
        "dataset": "vicuna",
        "datasplit": "eval",
    },
]
WEB = [  # as webquestions.examples.test.json has them
    {
        "url": "http://www.freebase.com/view/en/jamaica",
        "targetValue": r'(list (description "Jamaican Creole English Language") (description "Jamaican English"))',
        "utterance": "what does jamaican people speak?",
    },
    {
        "url": "http://www.freebase.com/view/en/actor",
        "targetValue": r'(list (description Eclipse) (description "The \"Ghost\" Writer"))',
        "utterance": "what movies was he in?",
    },
]


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def plain_json(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows))
    return path


def answers(folder: Path) -> list[list[str]]:
    return list(read_answers(folder / "answers.jsonl").values())


def test_llama_questions(tmp_path: Path) -> None:
    """From the Hub they come with their audio; as a table of text, without."""
    audio = {"bytes": b"RIFF", "path": "1.wav"}
    rows = [{"question": "What is the capital of France?", "answer": "Paris", "audio": audio}]
    write(parquet(tmp_path / "a.parquet", rows), tmp_path / "hub")
    (tmp_path / "a.csv").write_text("\ufeffQuestion,Answer\r\nWhat is the capital of France?,Paris\r\n")
    write(tmp_path / "a.csv", tmp_path / "table")
    assert answers(tmp_path / "hub") == answers(tmp_path / "table") == [["Paris"]]


def test_web_questions_of_the_hub_and_of_the_authors_are_the_same(tmp_path: Path) -> None:
    accepted = [["Jamaican Creole English Language", "Jamaican English"], ["Eclipse", 'The "Ghost" Writer']]
    hub = [
        {"url": row["url"], "question": row["utterance"], "answers": of_row}
        for row, of_row in zip(WEB, accepted, strict=True)
    ]
    write(parquet(tmp_path / "test.parquet", hub), tmp_path / "one" / "web")
    write(plain_json(tmp_path / "test.json", WEB), tmp_path / "two" / "web")
    for name in ("answers.jsonl", "questions/train.jsonl"):
        assert (tmp_path / "one" / "web" / name).read_bytes() == (tmp_path / "two" / "web" / name).read_bytes()
    assert answers(tmp_path / "one" / "web") == accepted


def test_subsets_of_alpaca_eval_are_sources_of_a_build(tmp_path: Path) -> None:
    ended = duplexgen("questions", plain_json(tmp_path / "alpaca_eval.json", ALPACA_EVAL), cwd=tmp_path)
    assert ended.status == 0 and "2 questions" in ended.said
    folder = tmp_path / "questions" / "alpaca_eval"
    assert not (folder / "answers.jsonl").exists()
    where = {"dataset": "helpful_base"}
    source = Source(name="helpful_base", shape="alpaca", path=str(folder / "questions"), where=where)  # type: ignore[arg-type]
    (item,) = [item for item in read(source, tmp_path) if isinstance(item, Read)]
    question, reply = item.dialogue.turns
    assert item.dialogue.id == "alpaca_eval-00001" and question.text == ALPACA_EVAL[0]["instruction"]
    assert reply.text.endswith("there.") and len(reply.text.split()) <= LONGEST_REPLY


@given(st.lists(st.text("ab.?! ", min_size=1, max_size=8), min_size=1, max_size=90).map(" ".join))
def test_a_reply_is_cut_only_where_it_is_too_long(text: str) -> None:
    words, kept = text.split(), shortened_reply(text).split()
    assert kept == words[: len(kept)] and len(kept) <= LONGEST_REPLY
    assert bool(kept) == bool(words) and (len(words) > LONGEST_REPLY or kept == words)


def test_rows_that_are_no_questions_are_told_and_the_others_kept(tmp_path: Path) -> None:
    rows: list[Any] = [{"question": "Where?", "answer": "Here"}, {"question": "Who?"}, {"q": "?"}, 7, {"question": " "}]
    ended = duplexgen("questions", plain_json(tmp_path / "odd.json", rows), cwd=tmp_path)
    assert ended.status == 0 and ended.said.count("rejected: odd.json#") == 4
    assert "1 question, 1 of them with answers" in ended.said


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", b"[]", "has no question"),
        ("a.json", b'[{"text": "?"}]', "a.json#1: expected question and answer"),
        ("a.json", b"[{", "has no question|cannot be read"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.csv", b"question\xff,answer\n", "cannot be read"),
        ("a.txt", b"Where?", "does not end in any of .json, .jsonl, .parquet, .csv"),
    ],
)
def test_files_that_are_no_question_sets_are_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        write(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=r"nowhere\.json cannot be read: .*No such file"):
        write(tmp_path / "nowhere.json", tmp_path / "out")


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already"):
        write(plain_json(tmp_path / "a.json", ALPACA_EVAL), tmp_path)


def printed(figures: dict[str, dict[str, Figure]]) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    for table in tables({"model": {"name": "mine"}, "figures": figures}, Tables()):
        console.print(table)
    return console.export_text()


def test_the_papers_tables_have_ours_beside_theirs() -> None:
    text = printed(
        {
            "llama_questions": {"qa_accuracy": Figure(0.5, 0.4, 0.6, 300)},
            "instruct_s2s_turn_taking": {"tt_sr_3s": Figure(0.91, 0.9, 0.92, 209), "s2s": Figure(3.456, None, None, 1)},
            "another_set": {"isr_2s": Figure(0.123, 0.1, 0.2, 9)},
        }
    )
    assert all(title in text for title in TABLES)
    (first, *_) = [line for line in text.splitlines() if "Llama Questions" in line]
    assert [part.strip() for part in first.split("│")[1:-1]] == [
        "Llama Questions, %", "50.0 [40.0, 60.0]", "300", "44.3", "46.0", "21.0",
    ]  # fmt: skip
    assert "91.0 [90.0, 92.0]" in text and "3.46" in text and "12.3" not in text
    (web, *_) = [line for line in text.splitlines() if "Web Questions" in line]
    assert [part.strip() for part in web.split("│")[2:5]] == ["–", "", "18.0"]


def test_the_papers_recipe_asks_for_what_it_used() -> None:
    recipe, _ = load("paper", EvaluationRecipe, EVALUATION_RECIPES)
    assert recipe.temperature == 0.8 and recipe.top_p == 1
    assert recipe.transcripts and recipe.transcripts.whisper == "large-v3"
    assert recipe.judge and recipe.judge.model == "gpt-4o"
    assert recipe.tables == Tables() and len(recipe.answer_files) == 2
