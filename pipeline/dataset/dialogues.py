"""Dialogues as a kind of data set: what `duplexgen build` makes of text."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from ..dialogue import FIGURES
from ..errors import UserError
from ..layouts.layout import Layout
from ..layouts.layouts import LAYOUTS
from ..layouts.vocabulary import TOKENIZER_FILES
from ..recipe.sections import Section, shape_of
from ..tokens.described import DescribedSpeechTokenizer, DescribedTextTokenizer
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, installed
from ..tokens.track import slices
from . import card
from .invariants import Checker, RowOrder, Sound
from .manifest import VOCABULARY_FOLDER
from .reader import LARGEST_TOKENIZER_BYTES, MANIFEST, Dataset, read_json
from .recipe import Recipe
from .schema import ACTIVITY, data_schema
from .statistics import Statistics, measure, measure_acoustics, measure_activity, measure_quality

DIALOGUES = "dialogues"
PRINTS = {"name", "version", "sha256"}  # of a tokenizer: what decides its output
EVENT_FIELDS = (
    *("channel", "kind", "start_sample", "end_sample", "whole_end_sample", "answers", "cut_by"),
    *("pauses.list.element.start_sample", "pauses.list.element.end_sample"),
    *(f"quality.{name}" for name in FIGURES),
)


class Dialogues:
    """What `dataset.kind.Kind` asks of a data set of dialogues."""

    name: ClassVar[str] = DIALOGUES
    recipe: ClassVar[type[Section]] = Recipe
    stages: ClassVar[tuple[str, ...]] = ("source", "script", "speech", "tracks", "sequences")
    noted: ClassVar[tuple[str, ...]] = ()

    def columns(self, dataset: Dataset) -> pa.Schema:
        recipe = dataset.manifest.made_of
        layout, output = LAYOUTS[recipe.layout.name], recipe.output
        return data_schema(layout.COLUMNS, output.sample_rate, output.audio == "flac")

    def measured(self, layout: Layout) -> list[str]:
        fields = (f"events.list.element.{name}" for name in EVENT_FIELDS)
        return ["scenario", "acoustics", ACTIVITY, *fields, *(column.name for column in layout.COLUMNS)]

    def finished_with(self, recipe: Recipe) -> dict[str, Any]:
        """The words of the card, and the size of shards."""
        return {
            **shape_of(recipe, {"name", "description", "license"}),
            "licenses": [source.license for source in recipe.sources],
            **shape_of(recipe.output, {"shard_mb"}),
        }

    def shaped_by(self, dataset: Dataset) -> dict[str, Any]:
        manifest, recipe = dataset.manifest, dataset.manifest.made_of
        return {
            "sources": [shape_of(source) for source in recipe.sources],
            "fingerprints": manifest.sources,
            "partition_size": recipe.partition_size,
            "renditions": recipe.speech.renditions,
            "limit": manifest.limit,
            "rewriting": shape_of(recipe.rewriting),
            "events": None if recipe.events is None else shape_of(recipe.events),
            "speech": shape_of(recipe.speech),
            "timing": shape_of(recipe.timing),
            "acoustics": [shape_of(effect) for effect in recipe.acoustics] or None,
            "margin_frames": recipe.tokens.margin_frames,
            "layout": shape_of(recipe.layout),
            "sample_rate": recipe.output.sample_rate,
            "audio": recipe.output.audio == "flac",
            "seed": recipe.seed,
        }

    def fan_out(self, dataset: Dataset) -> dict[str, int]:
        recipe = dataset.manifest.made_of
        return {"speech": recipe.speech.renditions, "tracks": recipe.timing.takes}

    def contradictions(self, dataset: Dataset) -> Iterator[str]:
        manifest, recipe = dataset.manifest, dataset.manifest.made_of
        fingerprints = manifest.sources or {}
        names = {source.name for source in recipe.sources}
        if fingerprints.keys() != names:
            yield f"has fingerprints of the sources {sorted(fingerprints)!a}, and its recipe names {sorted(names)}"
        if manifest.limit is not None and manifest.ledger[0].emitted > manifest.limit:
            yield f"{manifest.ledger[0].emitted} dialogues came from its sources, more than its limit, {manifest.limit}"
        shaped_by = [shape.shaped_by for shape in manifest.stages.values()]
        if any("engine" in shape and ("gate" in shape) != (recipe.speech.gate is not None) for shape in shaped_by):
            yield "its speech was shaped by another gate than the manifest says"
        described = dataset.described.model_dump(include=dict.fromkeys(("speech_tokenizer", "text_tokenizer"), PRINTS))
        for part, prints in described.items():
            stored = [shape[part] for shape in shaped_by if part in shape]
            if not stored or not all(isinstance(one, dict) and prints.items() <= one.items() for one in stored):
                yield f"was made with another {part} than vocabulary.json says"

    def checker(self, dataset: Dataset) -> "DialogueRows":
        made_of, described = dataset.manifest.made_of, dataset.described
        checker = Checker(
            made_of,
            dataset.layout,
            _tokenizer(dataset, TEXT_TOKENIZERS, described.text_tokenizer),
            _tokenizer(dataset, SPEECH_TOKENIZERS, described.speech_tokenizer),
            described.samples_per_frame,
            described.margin_frames,
        )
        return DialogueRows(dataset, checker, RowOrder(checker, made_of.sources))

    def measure(self, statistics: Statistics, row: dict[str, Any], layout: Layout, sample_rate: int) -> None:
        measure(statistics, row, layout, sample_rate)
        measure_activity(statistics, row, layout.length(row) * layout.samples_per_frame / sample_rate, sample_rate)
        measure_quality(statistics, row["events"])
        measure_acoustics(statistics, row["acoustics"] or (), sample_rate)

    def write_card(self, folder: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
        return card.write(folder, about, statistics)


@dataclass(frozen=True)
class DialogueRows:
    """Checks a data set of dialogues: its tokenizer, then its rows in order."""

    dataset: Dataset
    checker: Checker
    order: RowOrder

    def before_rows(self) -> Iterator[str]:
        """Whether vocabulary/ has the tokenizer that the recipe's give, each word and rule of it."""
        file = f"{VOCABULARY_FOLDER}/{TOKENIZER_FILES[0]}"
        section, layout = self.dataset.described.layout, self.dataset.layout
        built = layout.VOCABULARY.build(section, self.checker.text_tokenizer, self.checker.speech_tokenizer)
        assert built.tokenizer_json, "a vocabulary that is built has its tokenizer"
        if json.loads(built.tokenizer_json) != read_json(self.dataset.place / file, LARGEST_TOKENIZER_BYTES):
            name = self.dataset.tokens.text_tokenizer
            yield f"{file}: is not the tokenizer of the recipe, {name}, with the tokens of the layout"

    def check_all(self, rows: Sequence[dict[str, Any]], most: int) -> Iterator[list[str]]:
        """As `RowChecker.check_all`. The audio of rows is tokenized together."""
        found = ([*islice(self.order.check(row), most)] for row in rows)
        for together in slices(found, _num_samples, self.dataset.sample_rate):
            yield from (failures[:most] for failures in self.checker.with_codes(together))


def _num_samples(found: Sequence[str | Sound]) -> int:
    return sum(part.samples.size for part in found if isinstance(part, Sound))


def _tokenizer(
    dataset: Dataset, table: Mapping[str, Any], described: DescribedSpeechTokenizer | DescribedTextTokenizer
) -> Any:
    try:
        return installed(table, described, dataset.tokens)
    except UserError as error:
        if getattr(dataset.tokens, described.name, None) is None:  # a tokenizer that ships with duplexgen
            raise
        raise UserError(
            f"{error}\nThe data set's files were checked, but its rows were not: that needs the model, at the place "
            f"that {dataset.place / MANIFEST} names (tokens.{described.name}). Relative paths start at the folder you "
            "work in: run the command where the data set was built, or put the model, or a link to it, there."
        ) from error
