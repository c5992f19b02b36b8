"""Data sets to export: several shards each, built in this process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.commands.build import Build, build, prepare
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.exports.exporters import export
from duplexgen.pipeline.kinds import opened
from duplexgen.pipeline.pairs.build import build as build_pairs
from duplexgen.pipeline.show.progress import Display
from tests.corpus import recipe_dict, run_stages
from tests.pairs.conftest import pairs_recipe

DIALOGUES, PER_SHARD = 5, 2
NATURAL = {"timing": {"scenario": "natural", "reply_delay_s": 0.8, "reaction_delay_s": [0.8, 1.6]}, "events": {}}
RECIPES: dict[str, dict[str, Any]] = {
    "bayling": {"timing": {"scenario": "interruption"}, "seed": 5},
    "natural": NATURAL,
    "moshi": {"timing": {"scenario": "interruption"}, "layout": {"name": "moshi", "spaces": False}},
    "silent": {"timing": {"scenario": "interruption"}, "output": {"audio": "none"}},
}

Sets = Callable[[str], Dataset]
Export = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Sets:
    """A data set by its name in RECIPES, in three shards, of five dialogues; or `pairs` of "bayling"."""
    folder = tmp_path_factory.mktemp("to_export")

    def make(name: str) -> Dataset:
        out = folder / name
        if not out.exists() and name == "pairs":
            build_pairs(pairs_recipe(), make("bayling").path, out, folder / "work", Display(quiet=True))
        elif not out.exists():
            recipe = Recipe.model_validate(
                recipe_dict(corpus, partition_size=PER_SHARD, **{"name": name} | RECIPES[name])
            )
            run_stages(prepare(recipe, Path("/"), folder / "work", DIALOGUES, Display(quiet=True)))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Build, "shard_bytes", 1)
                build(recipe, Path("/"), out, folder / "work", DIALOGUES, Display(quiet=True))
        return opened(out)

    return make


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory, sets: Sets) -> Export:
    """The folder of an export: `exports("trl", "pairs")`."""
    folder = tmp_path_factory.mktemp("exports")

    def make(exporter: str, name: str) -> Path:
        out = folder / f"{name}.{exporter}"
        if not out.exists():
            export(sets(name), exporter, out)
        return out

    return make
