"""What tests of several rooms share: a small corpus, recipes over it, and one local Ray."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings

from benchmarks import replay
from duplexgen.pipeline.recipe import Recipe

RecipeWriter = Callable[..., Path]

TURNS = [
    "Could you tell me where the old library is?",
    "It is on the corner of the market square, right next to the bakery with the green door and the bench.",
    "And when does it open in the morning?",
    "It opens at nine on most days, but on Sundays they do not unlock the doors before a quarter past eleven.",
    "Do I need a card to read there?",
    "No, anyone may sit down and read.",
]


settings.register_profile("duplexgen", deadline=None)  # how long an example takes decides nothing
settings.load_profile("duplexgen")


@pytest.fixture(scope="session", autouse=True)
def replay_engine() -> None:
    """Recipes of tests may name the engine that plays a recording."""
    replay.register()


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for all builds of a run; a build uses what it finds initialised."""
    import ray

    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven dialogues of two and three exchanges, in UltraChat's shape."""
    path = tmp_path_factory.mktemp("corpus") / "talk.jsonl"
    lines = [{"id": f"talk/{number}", "data": TURNS[: 4 + 2 * (number % 2)]} for number in range(7)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def recipe_dict(corpus: Path, scenario: str = "turn_taking", **changes: Any) -> dict[str, Any]:
    return {
        "name": scenario,
        "license": "cc0-1.0",
        "seed": 3,
        "partition_size": 2,
        "sources": [{"name": "talk", "shape": "ultrachat", "path": str(corpus)}],
        "speech": {"engine": "replay", "assistant_voice": "assistant"},
        "timing": {"scenario": scenario},
    } | changes


@pytest.fixture
def recipe(corpus: Path) -> Callable[..., Recipe]:
    """Make a checked recipe over the corpus: `recipe("interruption", seed=4)`."""
    return lambda scenario="turn_taking", **changes: Recipe.model_validate(recipe_dict(corpus, scenario, **changes))


@pytest.fixture
def recipe_file(corpus: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write such a recipe to a file."""

    def write(scenario: str = "turn_taking", **changes: Any) -> Path:
        path = tmp_path / f"{scenario}.yaml"
        path.write_text(yaml.safe_dump(recipe_dict(corpus, scenario, **changes)), encoding="utf-8")
        return path

    return write


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
