"""A data set of each scenario, built in this process, and its rows to tamper with."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.commands.build import build, prepare
from duplexgen.pipeline.dataset.invariants import Checker
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Output, Recipe
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.tokens.section import Tokens
from duplexgen.pipeline.tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS
from tests.corpus import recipe_dict, run_stages

Row = dict[str, Any]


@pytest.fixture(scope="session")
def data_sets(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Callable[[str], Path]:
    """The data set of a scenario, three dialogues long."""
    folder = tmp_path_factory.mktemp("built")

    def make(scenario: str) -> Path:
        out = folder / scenario
        if not out.exists():
            recipe = Recipe.model_validate(recipe_dict(corpus, scenario))
            run_stages(prepare(recipe, Path("/"), folder / "work", 3, Display()))
            build(recipe, Path("/"), out, folder / "work", 3, Display())
        return out

    return make


@pytest.fixture(scope="module")
def checkers(data_sets: Callable[[str], Path]) -> dict[str, Checker]:
    by_scenario = {}
    for scenario in ("turn_taking", "interruption"):
        dataset = Dataset(data_sets(scenario))
        tokenizers = TEXT_TOKENIZERS["bpe"](Tokens()), SPEECH_TOKENIZERS["melvq"](Tokens())
        described = dataset.described
        frame = described.samples_per_frame, described.margin_frames
        by_scenario[scenario] = Checker(dataset.manifest.made_of, dataset.layout, *tokenizers, *frame)
    return by_scenario


@pytest.fixture(scope="module")
def rows(data_sets: Callable[[str], Path]) -> dict[str, list[Row]]:
    return {scenario: list(Dataset(data_sets(scenario)).rows()) for scenario in ("turn_taking", "interruption")}


@pytest.fixture
def row(rows: dict[str, list[Row]]) -> Row:
    """Of two exchanges, turn taking, without audio, so that a sample's difference shows in one check alone."""
    return copy.deepcopy(rows["turn_taking"][0]) | {"audio": None}


@pytest.fixture
def row_with_audio(rows: dict[str, list[Row]]) -> Row:
    """The same with its audio, and without voice activity, so that a difference of sound shows in one check alone."""
    return copy.deepcopy(rows["turn_taking"][0]) | {"speech_activity": None}


@pytest.fixture
def cut(rows: dict[str, list[Row]]) -> Row:
    """Of the interruption scenario, its first reply cut, without audio."""
    row = copy.deepcopy(rows["interruption"][1]) | {"audio": None}
    assert row["events"][1]["cut_by"] == 2
    return row


@pytest.fixture
def check(checkers: dict[str, Checker]) -> Callable[[Row], list[str]]:
    """What is wrong with a row, by a recipe that keeps audio if the row has any."""

    def find(row: Row) -> list[str]:
        checker = checkers["interruption" if row["assistant_uncut_codes"] is not None else "turn_taking"]
        output = Output(audio="none" if row["audio"] is None else "flac")
        return list(replace(checker, recipe=checker.recipe.model_copy(update={"output": output})).check(row))

    return find
