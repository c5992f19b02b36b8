"""What a stage is: rows of one partition in, rows of the same partition out, and an account of the rest."""

import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from ..dataset.manifest import key_of
from ..dataset.statistics import Statistics
from ..dialogue import Rejection
from ..errors import DialogueRejected, is_of_the_machine
from ..storage.partitions import Outcome, PartitionFolder, Readable

Row = dict[str, Any]


class Stage(Protocol):
    """A stage is made in the driver, cheap to pickle, and loads its engine in the worker."""

    name: ClassVar[str]
    version: ClassVar[int]  # goes up when the same input gives another output
    schema: pa.Schema
    num_cpus: float
    cost: float  # processor time a dialogue, against the other stages: the dearest gets an actor a core

    def shaped_by(self) -> dict[str, Any]:
        """Everything of the recipe and of the engines that changes this stage's output.

        Of sections it is `Section.shaping`: a section that is not used and a new optional key at its default leave the
        stage's key as it is. How the output is counted and drawn is no part of it.
        """
        ...

    @property
    def num_gpus(self) -> float: ...

    @property
    def max_actors(self) -> int | None:
        """None: as many as there is work for."""
        ...

    def load(self, scratch: Path) -> None:
        """Load the engine, in the process that will run.

        scratch: a folder for what is to be found again after a restart, the same for every version of the stage.
        """
        ...

    @property
    def fan_out(self) -> int:
        """How many rows one row becomes, if nothing is rejected."""
        ...

    def process(self, rows: Sequence[Row], account: "Account") -> list[Row]:
        """The rows that a partition's rows become; whatever becomes none is rejected in `account`."""
        ...


class Account:
    """Collects what happened in a partition besides its rows."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.rejections: list[Rejection] = []
        self.notes: Counter[str] = Counter()
        self.statistics = Statistics()

    def note(self, *notes: str) -> None:
        self.notes.update(notes)

    @contextmanager
    def each(self, *dialogue_ids: str) -> Iterator[None]:
        """Whatever goes wrong inside rejects these dialogues; what is wrong with the machine is raised."""
        try:
            yield
        except DialogueRejected as error:
            self._reject_all(dialogue_ids, error.reason, error.detail)
        except Exception as error:
            if is_of_the_machine(error):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}, line {place.lineno}, in {place.name}"
            self._reject_all(dialogue_ids, "internal_error", f"{type(error).__name__}: {error} ({where})")

    def _reject_all(self, dialogue_ids: Sequence[str], reason: str, detail: str) -> None:
        self.rejections += [Rejection(id_, self.stage, reason, detail) for id_ in dialogue_ids]


def stage_shape(stage: Stage, key_before: str) -> dict[str, Any]:
    """All that shaped the contents of the stage's folder."""
    return {"stage": stage.name, "version": stage.version, "shaped_by": stage.shaped_by(), "before": key_before}


def stage_key(stage: Stage, key_before: str) -> str:
    """Names the stage's folder: a hash of its shape."""
    return key_of(stage_shape(stage, key_before))


def run_partition(stage: Stage, table: pa.Table) -> tuple[pa.Table, Outcome]:
    """Run a loaded stage over one partition. No dialogue stops it; each comes out or is accounted for."""
    account = Account(stage.name)
    planned = table.num_rows * stage.fan_out
    rows = stage.process(_rows(table), account)
    if planned != len(rows) + len(account.rejections):
        raise RuntimeError(
            f"stage {stage.name} lost count: {planned} planned, {len(rows)} emitted, {len(account.rejections)} rejected"
        )
    outcome = Outcome(planned, len(rows), tuple(account.rejections), dict(account.notes), account.statistics.to_json())
    return pa.Table.from_pylist(rows, schema=stage.schema), outcome


@dataclass(frozen=True, slots=True)
class Step:
    """A stage between what it reads and the folder it writes."""

    stage: Stage
    source: Readable
    target: PartitionFolder

    def load(self) -> None:
        self.stage.load(self.target.path.parent / f"{self.stage.name}.scratch")

    def make(self, partition: int) -> None:
        """Run the stage, which must be loaded, over a partition and commit it."""
        self.target.write(partition, *run_partition(self.stage, self.source.read(partition)))


def _rows(table: pa.Table) -> list[Row]:
    """Rows of a table; what is a list of numbers is an array, as Python's lists of sequences would be slow."""
    columns = [_values(column) for column in table.columns]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    if not (pa.types.is_list(column.type) and pa.types.is_integer(column.type.value_type)):
        values: list[Any] = column.to_pylist()
        return values
    arrays: list[Any] = []
    for chunk in column.chunks:
        offsets, numbers = chunk.offsets.to_numpy(), chunk.values.to_numpy()
        parts = (numbers[first:past] for first, past in pairwise(offsets))
        arrays += [part if valid else None for part, valid in zip(parts, chunk.is_valid().to_pylist(), strict=True)]
    return arrays
