"""Kinds of data sets: what is in the manifest and the rows of a kind, and what must hold for them.

`verify`, and the code that makes data sets, ask the kind. The table of kinds is on a higher floor, in
`pipeline/kinds.py`.
"""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
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
        """What is wrong beside the rows, in words, as far as tokenizers are needed to find it."""
        ...

    def check_all(self, rows: Sequence[dict[str, Any]], most: int) -> Iterator[list[str]]:
        """What is wrong with each of some rows, in words, at most so many things.

        Rows have the right columns, with any values; lists hold no null.
        """
        ...


class Kind(Protocol):
    """A kind of data set. Its methods get only data sets whose manifest names the kind."""

    name: ClassVar[str]
    recipe: ClassVar[type[Section]]
    stages: ClassVar[tuple[str, ...]]  # in order, the sources first
    noted: ClassVar[tuple[str, ...]]  # columns of bool: the last stage notes how many rows have True there

    def columns(self, dataset: Dataset) -> pa.Schema:
        """The columns of its shards."""
        ...

    def measured(self, layout: Layout) -> list[str]:
        """Columns that `measure` reads; a field of one is named as in `events.list.element.text`."""
        ...

    def finished_with(self, recipe: Any) -> dict[str, Any]:
        """What of a recipe shapes the files, but not the rows."""
        ...

    def shaped_by(self, dataset: Dataset) -> dict[str, Any]:
        """What of the manifest shaped stages, under the names that stages use; None or {} shapes nothing."""
        ...

    def fan_out(self, dataset: Dataset) -> dict[str, int]:
        """How many dialogues a stage makes of one, by the name of the stage; stages that make one are left out."""
        ...

    def contradictions(self, dataset: Dataset) -> Iterator[str]:
        """What in the manifest and vocabulary.json contradicts itself, in words, as far as only this kind knows it."""
        ...

    def checker(self, dataset: Dataset) -> RowChecker:
        """Raises UserError if it needs a tokenizer that is not here."""
        ...

    def measure(self, statistics: Statistics, row: dict[str, Any], layout: Layout, sample_rate: int) -> None:
        """Add the figures of one row."""
        ...

    def write_card(self, folder: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
        """Write the data card and its plot; returns the files, relative to `folder`.

        about: the manifest without its list of files.
        """
        ...


Kinds = Mapping[str, Kind]
"""By their names."""


def kind_of(dataset: Dataset, kinds: Kinds) -> Kind:
    """The kind of a data set.

    Raises UserError if there is no manifest, and MalformedDataset if it names an unknown kind, or has another recipe or
    other stages than this kind.
    """
    manifest = dataset.manifest
    kind = kinds.get(manifest.kind)
    if kind is None:
        problem = f"kind is {reprlib.repr(manifest.kind)}, expected one of {', '.join(kinds)}"
        raise malformed(dataset.place / MANIFEST, [problem])
    dataset.recipe_as(kind.recipe)
    if (stages := tuple(counts.stage for counts in manifest.ledger)) != kind.stages:
        problem = f"the ledger's stages are {reprlib.repr(stages)}, expected {kind.stages}"
        raise malformed(dataset.place / MANIFEST, [problem])
    return kind


def contradictions(dataset: Dataset, kind: Kind) -> Iterator[str]:
    """What in a manifest contradicts itself, in words. Its ledger is checked elsewhere, by `ledger_failures`."""
    manifest = dataset.manifest
    yield from _broken_keys(manifest)
    for name, value in kind.shaped_by(dataset).items():
        stages = [stage for stage, shape in manifest.stages.items() if name in shape.shaped_by]
        if not stages and value not in (None, {}):
            yield f"its {name} shaped no stage"
        for stage in stages:
            if manifest.stages[stage].shaped_by[name] != value:
                yield f"{stage} was shaped by another {name} than the manifest says"
    finished_with = kind.finished_with(dataset.recipe_as(kind.recipe))
    if manifest.key != data_set_key(manifest.kind, manifest.last_key, finished_with):
        yield "its key is not that of its last stage and of what its recipe says of the files and the card"
    yield from kind.contradictions(dataset)


def _broken_keys(manifest: Manifest) -> Iterator[str]:
    """Stages whose key does not follow from their shape, their parent and the software, in words."""
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
