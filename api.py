"""duplexgen as a library: what the commands do, as functions, and data sets that can be opened.

    import duplexgen

    dataset = duplexgen.build("turn_taking")
    row = dataset[0]
    row.events[0].text, row.audio.samples, row["input_ids"]
    loader = DataLoader(dataset.torch(), batch_size=8, collate_fn=duplexgen.collate)

A recipe is a file, or the name of one that ships. Every function raises UserError for what a user can mend. Functions
that take long show their progress on standard error, unless they are told to be quiet.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .pipeline.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .pipeline.exports.exporters import Exported
    from .pipeline.storage.objects import Place
    from .training.torch_data import Item, TorchRows, TorchStream

__all__ = [
    "Audio",
    "DataSet",
    "Event",
    "Row",
    "UserError",
    "build",
    "collate",
    "dpo_pairs",
    "evaluate",
    "export",
    "open",
    "train_dpo",
    "train_sft",
    "verify",
]

Name = str | Path
TRAINING_PACKAGES = ("torch", "transformers", "accelerate", "safetensors", "tensorboard")


@dataclass(frozen=True)
class Audio:
    """The two channels of a dialogue."""

    samples: NDArray[np.int16]  # [2, samples]: the user, the assistant
    rate: int  # Hz


@dataclass(frozen=True)
class Event:
    """What is said on one channel without a stop of the channel's speaker. Times are seconds from the start."""

    channel: str  # "user" or "assistant"
    kind: str  # such as "turn", "barge_in", "backchannel"
    voice: str
    text: str  # whole
    spoken_text: str  # the part that is heard
    start_s: float
    end_s: float
    whole_end_s: float  # where it would have ended if it had not been cut
    answers: int | None  # the event that it answers
    cut_by: int | None  # the event that cuts it
    words: tuple[tuple[str, float, float], ...] | None  # text, start, end; None: their times are not known
    pauses: tuple[tuple[float, float], ...]  # in which the speaker hesitates


class Row(Mapping[str, Any]):
    """A row of a data set: its columns by name, and what is in them."""

    def __init__(self, columns: Mapping[str, Any], number: int, rate: int) -> None:
        self._columns, self.number, self._rate = columns, number, rate

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"<Row {self.number}, {self.id!r}: {', '.join(self)}>"

    @property
    def id(self) -> str:
        return str(self["dialogue_id"])

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """In order of their starts; () in pairs, whose rows have none."""
        return tuple(self._event(event) for event in self.get("events", ()))

    @cached_property
    def audio(self) -> Audio | None:
        """None if the data set was built without audio."""
        import soundfile

        stored = self.get("audio")
        if not stored or not stored["bytes"]:
            return None
        samples, rate = soundfile.read(io.BytesIO(stored["bytes"]), dtype="int16", always_2d=True)
        return Audio(samples.T, rate)

    def _event(self, event: Mapping[str, Any]) -> Event:
        same = {name: event[name] for name in ("channel", "kind", "voice", "text", "spoken_text", "answers", "cut_by")}
        times = {f"{edge}_s": event[f"{edge}_sample"] / self._rate for edge in ("start", "end", "whole_end")}
        words = event["words"]
        return Event(
            **same,
            **times,
            words=None if words is None else tuple((word["text"], *self._span(word)) for word in words),
            pauses=tuple(self._span(pause) for pause in event["pauses"]),
        )

    def _span(self, of: Mapping[str, Any]) -> tuple[float, float]:
        return of["start_sample"] / self._rate, of["end_sample"] / self._rate


class DataSet(Sequence[Row]):
    """A finished data set of dialogues or of preference pairs. Rows are read from where it is when they are used."""

    def __init__(self, path: Name) -> None:
        from .pipeline.dataset.row_groups import RowGroups
        from .pipeline.kinds import opened

        self.place = data_place(path)
        self._dataset = opened(self.place)
        self._groups = RowGroups(self._dataset)

    def __len__(self) -> int:
        return self._groups.rows

    def __getitem__(self, key: Any) -> Any:
        """A row by its number, rows by a slice, or a row by its dialogue_id, which is searched for."""
        if isinstance(key, slice):
            numbers = range(len(self))[key]
            rows = dict(self._groups.read(sorted(numbers), None))
            return [self._row(number, rows[number]) for number in numbers]
        if isinstance(key, str):
            number = self._dataset.number_of(key)
            if number is None:
                raise KeyError(key)
            return self._row(number, self._groups.row(number))
        if not -len(self) <= key < len(self):
            raise IndexError(f"{self.place} has {len(self)} rows: there is no row {key}")
        number = range(len(self))[key]
        return self._row(number, self._groups.row(number))

    def __iter__(self) -> Iterator[Row]:
        return (self._row(number, row) for number, row in enumerate(self._dataset.rows()))

    def __repr__(self) -> str:
        return f"<DataSet {self.name!r}: {len(self)} {self.kind}, {self._dataset.layout.name}, {self.place}>"

    @property
    def path(self) -> Path:
        """Its folder. Raises UserError if it is in an object store; `place` is its address there."""
        return self._dataset.path

    @property
    def name(self) -> str:
        return self._dataset.manifest.name

    @property
    def kind(self) -> str:
        """ "dialogues" or "preferences"."""
        return self._dataset.kind

    @property
    def sample_rate(self) -> int:
        """Hz, of the audio."""
        return self._dataset.sample_rate

    @property
    def recipe(self) -> dict[str, Any]:
        """The resolved recipe that it was built from."""
        return dict(self._dataset.manifest.recipe)

    def torch(
        self,
        *,
        labels: bool = True,
        weights: Mapping[str, float] | None = None,
        streaming: bool = False,
        seed: int = 0,
    ) -> TorchRows | TorchStream:
        """A PyTorch data set of the rows: map-style, or one that streams in an order that the seed decides.

        labels: with the ids that a model learns to predict, and -100 for the others. weights: with ω of each id by its
        kind, the paper's but for those that are given; None: without. Needs the extra `train`.
        """
        needs_training()
        from .training.torch_data import TorchRows, TorchStream

        if streaming:
            return TorchStream([self.place], seed=seed, labels=labels, weights=weights)
        return TorchRows([self.place], labels=labels, weights=weights)

    def _row(self, number: int, columns: Mapping[str, Any]) -> Row:
        return Row(columns, number, self.sample_rate)


def open(path: Name) -> DataSet:
    """A finished data set, by its folder, or by its address in an object store: s3://bucket/path."""
    return DataSet(path)


def collate(items: Sequence[Item]) -> Item:
    """Items of `DataSet.torch` as a batch, padded on the right, with `attention_mask`."""
    from .training.torch_data import collate as run

    return run(items)


def build(
    recipe: Name, *, out: Name | None = None, work: Name | None = None, limit: int | None = None, quiet: bool = False
) -> DataSet:
    """Make the data set of a recipe; if it was stopped before, continue.

    out: its folder, or s3://bucket/path; None: out/ and the recipe's name. work: the folder where the results of stages
    stay; None: .work beside it, or out/.work if it is in a store. limit: use only so many dialogues.
    """
    from .pipeline.commands import checking
    from .pipeline.commands.build import build as run

    content, base = checking.load(str(recipe))
    target = build_place(out, content.name)
    run(content, base, target, work_place(work, target), limit, _display(quiet))
    return DataSet(str(target))


def dpo_pairs(
    dataset: DataSet | Name,
    recipe: Name = "timing",
    *,
    out: Name | None = None,
    work: Name | None = None,
    quiet: bool = False,
) -> DataSet:
    """Make preference pairs of a data set; if it was stopped before, continue.

    out: their folder; None: out/ and the data set's name with .pairs. work: as of `build`.
    """
    from .pipeline.pairs.build import build as run
    from .pipeline.pairs.recipe import PairsRecipe
    from .pipeline.recipe.file import RECIPES, load

    content, _ = load(str(recipe), PairsRecipe, RECIPES / "pairs")
    folder = _folder(dataset)
    target = place(out, f"{folder.name}.pairs")
    run(content, folder, target, work_place(work, target), _display(quiet))
    return DataSet(target)


def export(dataset: DataSet | Name, *, to: str, out: Name | None = None, quiet: bool = False) -> Exported:
    """Write a data set as another program reads it; if it was stopped before, continue.

    to: the program, such as "trl", "moshi" or "shar"; the error for another name lists all. out: the folder; None:
    beside the data set, its name with the program's.
    """
    from .pipeline.exports.exporters import export as run
    from .pipeline.kinds import opened

    folder = _folder(dataset)
    content, target = opened(folder), export_place(folder, to, out)
    with _display(quiet).exporting(content.manifest.rows) as report:
        return run(content, to, target, report)


def verify(dataset: DataSet | Name, *, quiet: bool = False) -> Iterator[str]:
    """Everything that is wrong with a data set, in words: checksums, and every row."""
    from .pipeline.kinds import verify as run

    with _display(quiet).verifying() as report:
        yield from run(dataset.place if isinstance(dataset, DataSet) else data_place(dataset), report)


def train_sft(recipe: Name, *, out: Name | None = None, quiet: bool = False) -> Path:
    """Train a model on data sets (stage I); if it was stopped before, continue. Returns the model's folder.

    out: the folder; None: out/ and the recipe's name.
    """
    needs_training()
    from .pipeline.recipe.file import load
    from .training.objectives.sft import train_sft as run
    from .training.recipe import TRAINING_RECIPES, SFTRecipe

    content, _ = load(str(recipe), SFTRecipe, TRAINING_RECIPES)
    target = place(out, content.name)
    run(content, target, _first_display(quiet))
    return target


def train_dpo(recipe: Name, *, out: Name | None = None, quiet: bool = False) -> Path:
    """Train a model of stage I further on preference pairs (stage II). Otherwise as `train_sft`."""
    needs_training()
    from .pipeline.recipe.file import load
    from .training.objectives.dpo import train_dpo as run
    from .training.recipe import TRAINING_RECIPES, DPORecipe

    content, _ = load(str(recipe), DPORecipe, TRAINING_RECIPES)
    target = place(out, content.name)
    run(content, target, _first_display(quiet))
    return target


def evaluate(
    model: Name,
    sets: Sequence[DataSet | Name] = (),
    *,
    full_duplex_bench: Name | None = None,
    recipe: Name = "timing",
    out: Name | None = None,
    limit: int | None = None,
    batch: int = 16,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measure a trained model: on held-out data sets with audio, or on the items of Full-Duplex-Bench.

    Returns what evaluation.json says. full_duplex_bench: a folder of the benchmark, instead of data sets; its items
    are copied to `out` with the model's outputs, and a run that was stopped continues. out: the folder of the
    results; None: see `evaluation_place`. limit: use only so many dialogues of each set, or items of each folder.
    batch: run so many together; it changes only the time.
    """
    needs_training()
    from .pipeline.recipe.file import load
    from .training.devices import inference_device
    from .training.metrics.items import Settings
    from .training.metrics.recipe import EVALUATION_RECIPES, EvaluationRecipe

    if bool(sets) == (full_duplex_bench is not None):
        raise UserError(
            "evaluate needs data sets of held-out dialogues, or a folder of Full-Duplex-Bench (--full-duplex-bench): "
            "one of them, and not both."
        )
    content, _ = load(str(recipe), EvaluationRecipe, EVALUATION_RECIPES)
    settings = Settings(content, limit, batch, inference_device())
    target = evaluation_place(Path(model), out, full_duplex_bench is not None)
    if full_duplex_bench is not None:
        from .training.metrics.full_duplex_bench.evaluation import evaluate as run_bench

        return run_bench(Path(model), _folder(full_duplex_bench), target, settings, _display(quiet))
    from .training.metrics.evaluation import evaluate as run

    return run(Path(model), [_folder(one) for one in sets], target, settings, _display(quiet))


def place(out: Name | None, name: str) -> Path:
    """The folder that a command writes to. out: what the user said; None: out/ and the name."""
    return _local(out or Path("out") / name)


def build_place(out: Name | None, name: str) -> Place:
    """Where `build` makes a data set: a folder, as of `place`, or an address in an object store."""
    return data_place(Path("out") / name if out is None else out)


def data_place(name: Name) -> Place:
    """Where a data set is. Raises UserError if the name is neither a path nor an address in an object store."""
    from .pipeline.storage.paths import place as parsed
    from .pipeline.storage.places import expanded

    where = parsed(str(name))
    return expanded(where) if isinstance(where, Path) else where


def evaluation_place(model: Path, out: Name | None, is_bench: bool) -> Path:
    """The folder of an evaluation. out: what the user said; None: out/evaluation/ and the model's name."""
    return place(out, f"evaluation/{model.resolve().name}{'.full-duplex-bench' if is_bench else ''}")


def export_place(dataset: Path, to: str, out: Name | None) -> Path:
    """The folder of an export."""
    return _local(out or dataset.with_name(f"{dataset.name}.{to}"))


def work_place(work: Name | None, out: Place) -> Path:
    """The folder of the stages, absolute, because workers may run elsewhere; links may lead elsewhere there."""
    parent = out.parent if isinstance(out, Path) else Path("out")
    return _local(work or parent / ".work", resolved=False)


def _folder(dataset: DataSet | Name) -> Path:
    """The folder of a data set, for what cannot read from an object store."""
    return dataset.path if isinstance(dataset, DataSet) else _local(dataset)


def _local(name: Name, resolved: bool = True) -> Path:
    """An absolute path. Raises UserError if it is an address, or no path. resolved: without links."""
    from .pipeline.storage.paths import path
    from .pipeline.storage.places import expanded

    return expanded(path(str(name)), resolved)


def _display(quiet: bool) -> Any:
    from .pipeline.show.progress import Display

    return Display(quiet)


def _first_display(quiet: bool) -> Any:
    """Of several processes that train together, the first one shows the progress."""
    from .training.devices import is_first_process

    return _display(quiet or not is_first_process())


def needs_training() -> None:
    """Raise UserError unless the packages of the extra `train` are installed."""
    from importlib.util import find_spec

    if missing := [name for name in TRAINING_PACKAGES if find_spec(name) is None]:
        raise UserError(f"this needs {' and '.join(missing)}: pip install 'duplexgen[train]'")
