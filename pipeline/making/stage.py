"""What a stage is: rows of one partition in, rows of the same partition out, and an account of the rest."""

import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from ..dataset.manifest import key_of
from ..dialogue import Rejection
from ..errors import DialogueRejected, is_of_the_machine
from ..storage.partitions import Outcome, PartitionFolder, Readable
from ..storage.tables import rows_of_table

Row = dict[str, Any]


class Stage(Protocol):
    """A stage is made in the driver, cheap to pickle, and loads its engine in the worker."""

    name: ClassVar[str]
    version: ClassVar[int]  # goes up when the same input gives another output
    schema: pa.Schema
    reads: ClassVar[tuple[str, ...] | None]
    """Columns that `process` is given, if it makes columns that stand beside all others of a row; None: it is given all
    columns, and makes rows of its own."""
    num_cpus: float
    cost: float  # processor time a dialogue, against the other stages: the dearest gets an actor a core

    def shaped_by(self) -> dict[str, Any]:
        """Everything of the recipe and of the engines that changes this stage's output, by name.

        Sections by `shape_of`, which passes over what is at its default, and engines by their fingerprints. What is
        None or {} is no part of the key: so a section that is not used, or is new and says nothing, changes no key.
        Nothing that is computed from finished rows, such as a histogram, belongs here.
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


def stage_shape(stage: Stage, before: Sequence[str]) -> dict[str, Any]:
    """All that shaped the contents of the stage's folder. before: the keys of its parents, whose rows it is given."""
    shaped_by = {name: value for name, value in stage.shaped_by().items() if value not in (None, {})}
    return {"stage": stage.name, "version": stage.version, "shaped_by": shaped_by, "before": list(before)}


def stage_key(stage: Stage, before: Sequence[str]) -> str:
    """Names the stage's folder: a hash of its shape."""
    return key_of(stage_shape(stage, before))


def run_partition(stage: Stage, table: pa.Table) -> tuple[pa.Table, Outcome]:
    """Run a loaded stage over one partition. No dialogue stops it; each comes out or is accounted for."""
    account = Account(stage.name)
    planned = table.num_rows * stage.fan_out
    rows = stage.process(rows_of_table(table.select(stage.reads) if stage.reads else table), account)
    if planned != len(rows) + len(account.rejections):
        raise RuntimeError(
            f"stage {stage.name} lost count: {planned} planned, {len(rows)} emitted, {len(account.rejections)} rejected"
        )
    outcome = Outcome(planned, len(rows), tuple(account.rejections), dict(account.notes))
    return _beside(table, rows, stage.schema) if stage.reads else pa.Table.from_pylist(rows, stage.schema), outcome


def _beside(table: pa.Table, rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Rows of new columns beside what the table has of the same dialogues."""
    places = {dialogue_id: place for place, dialogue_id in enumerate(table["dialogue_id"].to_pylist())}
    there = table.take(pa.array([places[row["dialogue_id"]] for row in rows], pa.int64()))  # of none, too
    new = pa.Table.from_pylist(rows, pa.schema([field for field in schema if field.name not in table.schema.names]))
    columns = [(there if name in there.schema.names else new)[name] for name in schema.names]
    return pa.table(columns, schema=schema)


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
