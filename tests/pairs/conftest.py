"""Pairs of a data set of each scenario, made in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from duplexgen.pipeline.pairs.build import build
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.show.progress import Display
from tests.dataset.conftest import data_sets

__all__ = ["data_sets"]


def pairs_recipe(**changes: object) -> PairsRecipe:
    return PairsRecipe.model_validate({"name": "pairs", "seed": 1} | changes)


@pytest.fixture(scope="session")
def pair_sets(tmp_path_factory: pytest.TempPathFactory, data_sets: Callable[[str], Path]) -> Callable[[str], Path]:
    """The pairs of a scenario's data set."""
    folder = tmp_path_factory.mktemp("pairs")

    def make(scenario: str) -> Path:
        out = folder / scenario
        if not out.exists():
            build(pairs_recipe(), data_sets(scenario), out, folder / "work", Display())
        return out

    return make
