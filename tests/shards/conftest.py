"""A data set of each scenario, built in this process, and its rows to tamper with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.build import Build, build, prepare
from pipeline.display import Display
from pipeline.recipe import Recipe
from pipeline.stages.stage import run_partition
from tests.conftest import recipe_dict


def run_stages(made: Build) -> None:
    """Every partition through every stage, without Ray."""
    source = made.plan.folder
    for stage, folder in zip(made.stages, made.folders, strict=True):
        stage.load()
        for partition in made.plan.partitions:
            folder.write(partition, *run_partition(stage, source.read(partition)))
        source = folder


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
