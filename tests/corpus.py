"""A small corpus, recipes over it, and builds of them without Ray."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from duplexgen.pipeline.commands.build import Build
from duplexgen.pipeline.making.stage import run_partition

RecipeWriter = Callable[..., Path]

TURNS = [
    "Could you tell me where the old library is?",
    "It is on the corner of the market square, right next to the bakery with the green door and the bench.",
    "And when does it open in the morning?",
    "It opens at nine on most days, but on Sundays they do not unlock the doors before a quarter past eleven.",
    "Do I need a card to read there?",
    "No, anyone may sit down and read.",
]


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


def run_stages(made: Build) -> None:
    """Every partition through every stage, without Ray."""
    source = made.source
    for stage, folder in zip(made.stages, made.folders, strict=True):
        stage.load(folder.path.with_suffix(".scratch"))
        for partition in made.plan.partitions:
            folder.write(partition, *run_partition(stage, source.read(partition)))
        source = folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
