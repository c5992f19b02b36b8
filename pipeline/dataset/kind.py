"""Kinds of data sets: what the manifest and the rows of one say, and what must hold for them.

`verify`, and the machinery that makes data sets, ask the kind. Which kinds there are stands in one table, on a higher
floor (`pipeline/kinds.py`).
"""

import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from ..layouts.layout import Layout
from ..recipe.sections import Section
from .manifest import Manifest, Shape, data_set_key, key_of
from .reader import MANIFEST, Dataset, malformed
from .statistics import Statistics


class RowChecker(Protocol):
    """Checks the rows of one data set, in order."""

    def before_rows(self) -> Iterator[str]:
        """What is wrong with what lies beside the rows, as far as it takes tokenizers to know."""
        ...

    def check(self, row: dict[str, Any]) -> Iterator[str]:
        """What is wrong with a row of the right columns, whatever they hold; lists hold no null."""
        ...


class Kind(Protocol):
    """A kind of data set. Its methods are given data sets whose manifest names it."""

    name: ClassVar[str]
    recipe: ClassVar[type[Section]]
    stages: ClassVar[tuple[str, ...]]  # in order, the sources first
    noted: ClassVar[tuple[str, ...]]  # columns of truth values: the last stage's notes count how many are true

    def columns(self, dataset: Dataset) -> pa.Schema:
        """Of its shards."""
        ...

    def measured(self, layout: Layout) -> list[str]:
        """Columns that `measure` reads; fields of them as `events.list.element.text`."""
        ...

    def finished_with(self, recipe: Any) -> dict[str, Any]:
        """What the step from rows to files takes from a recipe of this kind."""
        ...

    def shaped_by(self, dataset: Dataset) -> dict[str, Any]:
        """What of the manifest shaped stages, by the name that they have for it; None or {}: nothing did."""
        ...

    def fan_out(self, dataset: Dataset) -> dict[str, int]:
        """How many dialogues each stage makes of one, where it is not one."""
        ...

    def contradictions(self, dataset: Dataset) -> Iterator[str]:
        """What only this kind knows its manifest and vocabulary.json to say against themselves, in words."""
        ...

    def checker(self, dataset: Dataset) -> RowChecker:
        """Raises UserError if it takes a tokenizer that is not to be had here."""
        ...

    def measure(self, statistics: Statistics, row: dict[str, Any], layout: Layout, sample_rate: int) -> None:
        """Add what one row shows."""
        ...

    def write_card(self, folder: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
        """Write the data card and its plots; returns the files, relative to `folder`. about: the manifest so far."""
        ...


Kinds = Mapping[str, Kind]
"""By their names."""


def kind_of(dataset: Dataset, kinds: Kinds) -> Kind:
    """The kind of a data set.

    Raises UserError if there is no manifest, MalformedDataset if it names no kind that is known, or says what none of
    this kind does: another recipe, other stages.
    """
    manifest = dataset.manifest
    kind = kinds.get(manifest.kind)
    if kind is None:
        found = f"kind is {reprlib.repr(manifest.kind)}, expected one of {', '.join(kinds)}"
        raise malformed(dataset.path / MANIFEST, [found])
    dataset.recipe_as(kind.recipe)
    if (found_stages := tuple(counts.stage for counts in manifest.ledger)) != kind.stages:
        found = f"the ledger's stages are {reprlib.repr(found_stages)}, expected {kind.stages}"
        raise malformed(dataset.path / MANIFEST, [found])
    return kind


def contradictions(dataset: Dataset, kind: Kind) -> Iterator[str]:
    """What a manifest says against itself, in words; what became of the dialogues is the ledger's to say."""
    manifest = dataset.manifest
    yield from _broken_keys(manifest)
    for name, value in kind.shaped_by(dataset).items():
        said = [stage for stage, shape in manifest.stages.items() if name in shape.shaped_by]
        if not said and value not in (None, {}):
            yield f"no stage was shaped by the {name} that the manifest says"
        for stage in said:
            if manifest.stages[stage].shaped_by[name] != value:
                yield f"{stage} was shaped by another {name} than the manifest says"
    finished_with = kind.finished_with(dataset.recipe_as(kind.recipe))
    if manifest.key != data_set_key(manifest.kind, manifest.last_key, finished_with):
        yield "its key is not that of its name, description, licences and last stage"
    yield from kind.contradictions(dataset)


def _broken_keys(manifest: Manifest) -> Iterator[str]:
    """Stages whose key is not that of their shape, their parent and the software."""
    parents: list[str] | None = None
    for counts in manifest.ledger:
        stage = manifest.stages[counts.stage]
        if stage.key != key_of(stage.shape) or stage.shape.get("before") != parents:
            yield f"the key of {counts.stage} is not that of what shaped it"
        if not _packages(stage).items() <= manifest.software.items():
            yield f"{counts.stage} was shaped by other packages than the manifest says"
        parents = [stage.key]


def _packages(stage: Shape) -> dict[str, Any]:
    packages = stage.shaped_by.get("packages", {})
    return packages if isinstance(packages, dict) else {"packages": repr(packages)}
