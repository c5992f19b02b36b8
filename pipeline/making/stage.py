"""What a stage is: it turns the rows of a partition into other rows, and accounts for each row that it rejects."""

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import pyarrow as pa

from ..dataset.manifest import key_of
from ..dialogue import Rejection
from ..errors import DialogueRejected, is_of_the_machine
from ..storage.partitions import Outcome, PartitionFolder, Readable
from ..storage.tables import rows_of_table

Row = dict[str, Any]
Item = TypeVar("Item")
Result = TypeVar("Result")


class Stage(Protocol):
    """A stage is made in the driver, is cheap to pickle, and loads its engine in the worker."""

    name: ClassVar[str]
    version: ClassVar[int]  # goes up when the same input gives another output
    schema: pa.Schema
    reads: ClassVar[tuple[str, ...] | None]
    """The columns that `process` gets, if it returns new columns that are added to each row. None: it gets all columns,
    and returns whole rows."""
    num_cpus: float
    cost: float  # processor time per dialogue, relative to other stages: the highest gets one actor per core

    def shaped_by(self) -> dict[str, Any]:
        """Everything of the recipe and of the engines that changes this stage's output, by name.

        Give sections as `shape_of` them, which leaves out values at their default, and engines as their fingerprints. A
        value that is None or {} is left out of the key: so a section that is not used, or is new and empty, changes no
        key. Nothing that is computed from finished rows, such as a histogram, belongs here.
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

        scratch: a folder for files that a restart needs. It is the same for every version of the stage.
        """
        ...

    @property
    def fan_out(self) -> int:
        """How many rows one row becomes, if nothing is rejected."""
        ...

    def process(self, rows: Sequence[Row], account: "Account") -> list[Row]:
        """Turn the rows of a partition into output rows; reject in `account` what cannot be turned into one."""
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
        """An error in the block rejects these dialogues; an error of the machine, such as a full disk, is raised."""
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

    def together(
        self,
        items: Sequence[Item],
        ids_of: Callable[[Item], Sequence[str]],
        work: Callable[[Sequence[Item]], list[Result]],
    ) -> Iterator[Result]:
        """What work gives for items: one result for each, in order.

        If it fails, each item is tried alone, and rejected if it fails again. An error of the machine is raised, as in
        `each`. ids_of: the dialogues that an item would become.
        """
        try:
            results = work(items)
        except Exception as error:
            if is_of_the_machine(error):
                raise
        else:
            yield from results
            return
        for item in items:
            alone: list[Result] = []
            with self.each(*ids_of(item)):
                alone = work([item])
            yield from alone

    def _reject_all(self, dialogue_ids: Sequence[str], reason: str, detail: str) -> None:
        self.rejections += [Rejection(id_, self.stage, reason, detail) for id_ in dialogue_ids]


def stage_shape(stage: Stage, before: Sequence[str]) -> dict[str, Any]:
    """All that shapes the contents of the stage's folder. before: the keys of its parents, whose rows it gets."""
    shaped_by = {name: value for name, value in stage.shaped_by().items() if value not in (None, {})}
    return {"stage": stage.name, "version": stage.version, "shaped_by": shaped_by, "before": list(before)}


def stage_key(stage: Stage, before: Sequence[str]) -> str:
    """Names the stage's folder: a hash of its shape."""
    return key_of(stage_shape(stage, before))


def run_partition(stage: Stage, table: pa.Table) -> tuple[pa.Table, Outcome]:
    """Run a loaded stage over one partition. No dialogue stops it; each is emitted or rejected.

    Raises RuntimeError if the stage emits and rejects another number of rows than it should.
    """
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
    """The table's rows of the emitted dialogues, with the new columns of `rows` added."""
    places = {dialogue_id: place for place, dialogue_id in enumerate(table["dialogue_id"].to_pylist())}
    old = table.take(pa.array([places[row["dialogue_id"]] for row in rows], pa.int64()))  # typed, for no rows at all
    new = pa.Table.from_pylist(rows, pa.schema([field for field in schema if field.name not in table.schema.names]))
    columns = [(old if name in old.schema.names else new)[name] for name in schema.names]
    return pa.table(columns, schema=schema)


@dataclass(frozen=True, slots=True)
class Step:
    """A stage, the folder that it reads, and the folder that it writes."""

    stage: Stage
    source: Readable
    target: PartitionFolder

    def load(self) -> None:
        self.stage.load(self.target.path.parent / f"{self.stage.name}.scratch")

    def make(self, partition: int) -> None:
        """Run the stage, which must be loaded, over a partition and commit it."""
        self.target.write(partition, *run_partition(self.stage, self.source.read(partition)))
