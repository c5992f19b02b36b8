"""Preference pairs as a kind of data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from ..dataset.manifest import key_of, vocabulary_of
from ..dataset.reader import Dataset
from ..dataset.schema import pairs_schema
from ..dataset.statistics import Statistics
from ..layouts.layout import Layout
from ..layouts.layouts import LAYOUTS
from ..recipe.sections import Section, shape_of
from . import card
from .checks import CAPPED, PairChecker
from .recipe import PairsRecipe

PREFERENCES = "preferences"


class Preferences:
    """What `dataset.kind.Kind` asks of a data set of pairs."""

    name: ClassVar[str] = PREFERENCES
    recipe: ClassVar[type[Section]] = PairsRecipe
    stages: ClassVar[tuple[str, ...]] = ("source", "preferences")
    noted: ClassVar[tuple[str, ...]] = (CAPPED,)

    def columns(self, dataset: Dataset) -> pa.Schema:
        return pairs_schema(LAYOUTS[dataset.manifest.made_of.layout.name].COLUMNS)

    def measured(self, layout: Layout) -> list[str]:
        return ["chosen_delay_s", "rejected_delay_s", *(f"chosen_{column.name}" for column in layout.COLUMNS)]

    def finished_with(self, recipe: PairsRecipe) -> dict[str, Any]:
        return shape_of(recipe, {"name", "description"})

    def shaped_by(self, dataset: Dataset) -> dict[str, Any]:
        manifest = dataset.manifest
        assert manifest.source, "pairs are made from a data set"
        return {
            "manifest_sha256": manifest.source.manifest_sha256,
            "source": key_of(manifest.source.model_dump(mode="json")),
            "vocabulary": vocabulary_of(manifest),
            "recipe": shape_of(dataset.recipe_as(PairsRecipe)),
        }

    def fan_out(self, dataset: Dataset) -> dict[str, int]:
        return {}

    def contradictions(self, dataset: Dataset) -> Iterator[str]:
        yield from ()

    def checker(self, dataset: Dataset) -> PairChecker:
        return PairChecker(dataset.recipe_as(PairsRecipe), dataset.manifest.made_of, dataset.layout)

    def measure(self, statistics: Statistics, row: dict[str, Any], layout: Layout, sample_rate: int) -> None:
        statistics.add("chosen_delay_s", row["chosen_delay_s"])
        statistics.add("rejected_delay_s", row["rejected_delay_s"])
        statistics.add("delay_difference_s", row["rejected_delay_s"] - row["chosen_delay_s"])
        chosen = {name.removeprefix("chosen_"): value for name, value in row.items()}
        statistics.add("pair_s", layout.length(chosen) * layout.samples_per_frame / sample_rate)
        for name, value in layout.measure(chosen, ()):
            if name == "sequence_ids":
                statistics.add(name, value)

    def write_card(self, folder: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
        return card.write(folder, about, statistics)
