"""Question sets as they are published, made into what `build` and `evaluate` read.

| question set | file | columns that are read |
|---|---|---|
| Llama Questions | .parquet or .csv | question, answer |
| Web Questions | .parquet of the Hub | question, answers |
| | `webquestions.examples.test.json` | utterance, targetValue: `(list (description Paris) …)` |
| AlpacaEval | `alpaca_eval.json` | instruction, output, dataset |

The user's channel alone is played to a model. A data set needs a reply, too: where a set has long ones, so many whole
sentences of it are taken as fit into 40 words. It decides only where a question interrupts it.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...pipeline.dialogue import Rejection
from ...pipeline.errors import UserError
from ...pipeline.sources.arrow_rows import parquet_rows
from ...pipeline.sources.json_files import line_rows, value_rows
from ...pipeline.sources.row import RestLost, Row
from ...pipeline.storage.atomic import atomic_path
from ...pipeline.storage.paths import shortened

QUESTIONS, ANSWERS = "questions/train.jsonl", "answers.jsonl"
COLUMNS = ("question", "answer", "answers", "utterance", "targetValue", "instruction", "output", "dataset")
LONGEST_REPLY = 40  # words
TARGET = re.compile(r'\(description (?:"((?:[^"\\]|\\.)*)"|([^()"]+))\)')


@dataclass(frozen=True)
class Question:
    """One item of a set. answers: those that are accepted; none if the set has none."""

    text: str
    reply: str
    answers: tuple[str, ...]
    subset: str  # of AlpacaEval; "": the set has none


@dataclass(frozen=True)
class Written:
    """What was written, and which rows were not, each with its place and why."""

    questions: int
    answered: int
    rejected: list[str]


def write(file: Path, out: Path) -> Written:
    """Write the questions of a file, and their answers if it has any, into a new folder.

    `out`/questions is a source of the shape `alpaca`; `answers:` of an evaluation recipe names `out`/answers.jsonl.
    Raises UserError if the file cannot be read, if none of its rows is a question, or if the folder exists.
    """
    if out.exists():
        raise UserError(f"{out} is there already. Choose another folder with --out, or remove it.")
    questions: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    rejected: list[str] = []
    for number, (where, row) in enumerate(_rows(file), start=1):
        try:
            question = _question(row)
        except ValueError as error:
            rejected.append(f"{where}: {error}")
            continue
        id_ = f"{out.name}-{number:05d}"
        questions.append(
            {"id": id_, "instruction": question.text, "output": question.reply, "dataset": question.subset}
        )
        if question.answers:
            answers.append({"id": id_, "answers": list(question.answers)})
    if not questions:
        why = f"; the first: {rejected[0]}" if rejected else ""
        raise UserError(f"{file} has no question{why}. Expected one of: {_expected()}.")
    _write_lines(out / ANSWERS, answers)
    _write_lines(out / QUESTIONS, questions)
    return Written(len(questions), len(answers), rejected)


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    with atomic_path(path) as file:
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a file, each with its place. A row that cannot be read is text that says why."""
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise UserError(f"{file} does not end in any of {', '.join(_READERS)}.")
    try:
        yield from reader(file)
    except (RestLost, OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read: {error}. Expected a question set as it is published.") from error


def _read_json(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open("rb") as stream:
        rows = line_rows if file.suffix.lower() == ".jsonl" else value_rows
        yield from _placed(rows(file.name, stream))


def _read_parquet(file: Path) -> Iterator[tuple[str, Any]]:
    yield from _placed(parquet_rows(file, file.name, COLUMNS))


def _placed(rows: Iterator[Row | Rejection]) -> Iterator[tuple[str, Any]]:
    for row in rows:
        yield (row.where, row.value) if isinstance(row, Row) else (row.dialogue_id, row.detail)


def _read_csv(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        for row in reader:
            yield f"{file.name}:{reader.line_num}", {str(key).strip().lower(): value for key, value in row.items()}


_READERS: Mapping[str, Callable[[Path], Iterator[tuple[str, Any]]]] = {
    ".json": _read_json,
    ".jsonl": _read_json,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
}


def _question(row: Any) -> Question:
    """Raises ValueError, in words, if a row is no question."""
    if not isinstance(row, dict):
        raise ValueError(row if isinstance(row, str) else "expected an object")
    text = next((row[key] for key in ("question", "utterance", "instruction") if row.get(key) is not None), None)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"expected {_expected()}; the row has {', '.join(sorted(map(str, row)))[:200]}")
    answers = _answers(row)
    reply = row.get("output") if "instruction" in row else next(iter(answers), None)
    if not isinstance(reply, str) or not reply.strip():
        raise ValueError("expected text in `output`, or an answer")
    subset = row.get("dataset")
    return Question(text.strip(), shortened_reply(reply), answers, subset if isinstance(subset, str) else "")


def _expected() -> str:
    return "question and answer(s); utterance and targetValue; instruction and output"


def _answers(row: Mapping[str, Any]) -> tuple[str, ...]:
    if "targetValue" in row:
        return _described(row["targetValue"])
    given = row.get("answers") if row.get("answers") is not None else row.get("answer")
    found = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    return tuple(one.strip() for one in found if isinstance(one, str) and one.strip())


def _described(value: Any) -> tuple[str, ...]:
    r"""The answers in `(list (description "New York") (description Paris))`; quotes within are written as \"."""
    found = TARGET.findall(value) if isinstance(value, str) else []
    texts = (re.sub(r"\\(.)", r"\1", quoted) or plain for quoted, plain in found)
    return tuple(text.strip() for text in texts if text.strip())


def shortened_reply(text: str) -> str:
    """The first sentences that have up to 40 words together; of a longer first sentence, its first 40 words."""
    words = text.split()
    ends = [number for number, word in enumerate(words[:LONGEST_REPLY], start=1) if word.endswith((".", "!", "?"))]
    return " ".join(words[: ends[-1] if ends and len(words) > LONGEST_REPLY else LONGEST_REPLY])


def summary(written: Written, out: Path) -> list[str]:
    """Lines for a person."""
    lines = [f"rejected: {shortened(one)}" for one in written.rejected[:5]]
    if len(written.rejected) > len(lines):
        lines.append(f"rejected: {len(written.rejected) - len(lines):,} more")
    with_answers = f", {written.answered:,} of them with answers" if written.answered else ""
    plural = "question" if written.questions == 1 else "questions"
    return [*lines, f"{out}: {written.questions:,} {plural}{with_answers}"]
