"""Scores of the content: the judge's, and the accuracy of spoken question answering (BayLing-Duplex section 4.2)."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...pipeline.dialogue import TURN
from ...pipeline.errors import UserError
from ...pipeline.show.progress import Display
from ...pipeline.storage.paths import read_text
from .judge import Judge, Reply
from .metrics import figure

LARGEST_ANSWERS = 1 << 27  # bytes of a file
S2S = {False: "s2s", True: "q2_s2s"}  # the figure, by whether a question interrupts a reply; then it is the second one


def read_answers(path: Path) -> dict[str, list[str]]:
    """Accepted answers by dialogue id, from lines of `{"id": …, "answers": […]}`. Raises UserError at any other."""
    by_id = {}
    lines = io.StringIO(read_text(path, LARGEST_ANSWERS))  # a line of JSON ends only with \n: its text may hold U+2028
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            id_, answers = row["id"], row["answers"]
        except (ValueError, KeyError, TypeError, RecursionError):
            id_ = answers = None
        is_row = isinstance(id_, str) and isinstance(answers, list) and bool(answers)
        if not is_row or not all(isinstance(answer, str) and answer for answer in answers):
            raise UserError(
                f'{path}:{number}: expected {{"id": a dialogue\'s id, "answers": [text, …]}}, got {line.rstrip()[:80]}'
            )
        by_id[id_] = answers
    return by_id


def is_answered(reply: str, answers: list[str]) -> bool:
    """Whether one of the answers appears in the reply, whatever the case of its letters, as the paper matches them."""
    return any(answer.casefold() in reply.casefold() for answer in answers)


def scored(
    result: dict[str, Any], judge: Judge | None, answers: dict[str, list[str]] | None, seed: int, display: Display
) -> None:
    """Add scores to the items of an evaluation, whose replies are transcribed, and to the figures of each set."""
    for name, figures in result["figures"].items():
        rows = [item for item in result["items"] if item["set"] == name]
        if judge:
            asked = [row for row in rows if "reply" in row]  # not what nobody has to answer
            replies = [Reply(row["dialogue_id"], row["questions"][-1], row["reply"]) for row in asked]
            with display.counting("judged", len(asked)) as report:
                verdicts = judge.verdicts(replies, report)
            for row, verdict in zip(asked, verdicts, strict=True):
                row["judge"] = asdict(verdict)
            for interrupts, key in S2S.items():
                scores = [row["judge"]["score"] for row in asked if (row["barge_in_sample"] is not None) == interrupts]
                if scores:
                    figures[key] = figure([score for score in scores if score is not None], seed, key)
        if answers:
            questions = [row for row in rows if row.get("kind", TURN) == TURN]  # answers are those to a first question
            with_answers = [row for row in questions if row["dialogue_id"] in answers]
            for row in with_answers:
                row["answered_right"] = is_answered(row["reply"], answers[row["dialogue_id"]])
            figures["qa_accuracy"] = figure([row["answered_right"] for row in with_answers], seed, "qa_accuracy")
