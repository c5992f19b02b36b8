"""Stages run one after the other, in this process, on a few dialogues."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dialogue import Dialogue, Turn
from duplexgen.pipeline.making.stage import Stage, run_partition
from duplexgen.pipeline.stages.rows import TEXT, text_row
from duplexgen.pipeline.storage.partitions import Outcome

SCRATCH = Path("unused")  # the engines of these tests keep nothing
REPLAY = {"engine": "replay", "assistant_voice": "assistant"}


def recipe(**changes: Any) -> Recipe:
    given = {
        "name": "stages",
        "sources": [{"name": "test", "shape": "ultrachat", "path": "none.jsonl"}],
        "speech": REPLAY,
        "timing": {"scenario": "turn_taking"},
    }
    return Recipe.model_validate(given | changes)


def dialogue(name: str, *texts: str) -> Dialogue:
    turns = tuple(Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(texts))
    return Dialogue(name, "test", "en", turns)


def texts(*dialogues: Dialogue) -> pa.Table:
    return pa.Table.from_pylist([text_row(each) for each in dialogues], schema=TEXT)


def loaded(stage: Stage) -> Stage:
    stage.load(SCRATCH)
    return stage


def through(stages: Sequence[Stage], table: pa.Table) -> tuple[pa.Table, Outcome]:
    for stage in stages:
        table, outcome = run_partition(loaded(stage), table)
    return table, outcome


def reasons(outcome: Outcome) -> list[tuple[str, str]]:
    return [(rejection.dialogue_id, rejection.reason) for rejection in outcome.rejections]
