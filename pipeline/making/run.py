"""Making a data set of any kind: a plan, stages, shards. What is committed is never made again."""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ..dataset.files import missing_files
from ..dataset.finish import (
    Entry,
    check_there,
    entry,
    group_shards,
    keep_finished,
    measured,
    remove_others,
    write_rejected,
    write_shard,
)
from ..dataset.kind import Kind
from ..dataset.ledger import ledger_failures
from ..dataset.manifest import File, Manifest, StageCounts, data_set_key, manifest, software
from ..dataset.reader import MANIFEST, SUCCESS, Dataset, read_described
from ..dialogue import Rejection
from ..errors import UserError
from ..show.progress import Display
from ..storage.atomic import explained, file_sha256, locked, remove_temporary, sync, sync_all, write_json
from ..storage.partitions import MAKE_AGAIN, CommitRecord, Ledger, PartitionFolder, Readable
from ..storage.places import check_places
from . import rounds
from .differences import differences, listed
from .plan import SOURCE, Plan
from .stage import Stage, Step, stage_key, stage_shape

RAY_LOG = "ray.log"
SHARD_BYTES = 500_000_000
LEFT = "{} was left as it is. Choose another folder with --out, or remove it."


class AnyRecipe(Protocol):
    """What recipes of every kind say."""

    @property
    def name(self) -> str: ...

    @property
    def max_rejected_share(self) -> float: ...

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Making(ABC):
    """A planned data set: its stages in order, each with the folder it fills. What makes a kind is a subclass."""

    recipe: AnyRecipe
    work: Path
    plan: Plan
    stages: tuple[Stage, ...]
    folders: tuple[PartitionFolder, ...]
    keys: tuple[str, ...]

    kind: ClassVar[Kind]
    done_here: ClassVar[int] = 0
    """As many partitions are done in this process: starting Ray would take longer than they do."""

    @property
    def source(self) -> Readable:
        """What the first stage reads."""
        return self.plan.folder

    @property
    def shard_bytes(self) -> int:
        return SHARD_BYTES

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """What the manifest says, beside the recipe, of what the data set is made from."""

    @abstractmethod
    def write_vocabulary(self, staging: Path) -> list[str]:
        """Write vocabulary.json and vocabulary/; returns the files, relative to `staging`."""

    @abstractmethod
    def summary(self, about: dict[str, Any]) -> str:
        """How much was made, in words."""

    @property
    def described(self) -> dict[str, Any]:
        """The recipe as the manifest has it."""
        return self.recipe.model_dump(mode="json")

    @property
    def stage_keys(self) -> dict[str, str]:
        return {stage.name: key for stage, key in zip(self.stages, self.keys, strict=True)}

    @property
    def key(self) -> str:
        """Names the data set: the same key, the same rows, shards and card.

        The last stage's key carries all before it. Where models lie and how the work is spread over a machine shape
        nothing, so they stand in the manifest's recipe, and not here.
        """
        return data_set_key(self.kind.name, self.keys[-1], self.kind.finished_with(self.recipe))

    @property
    def shapes(self) -> dict[str, dict[str, Any]]:
        """Key and shape of the folders of the plan and of each stage, as the manifest has them."""
        named = {SOURCE: {"key": self.plan.key, "shape": self.plan.shape}}
        before = self.plan.key
        for stage, key in zip(self.stages, self.keys, strict=True):
            named[stage.name] = {"key": key, "shape": stage_shape(stage, [before])}
            before = key
        return named

    def is_that_of(self, stored: Dataset) -> bool:
        """Whether a data set is the one this makes, however its own key was made."""
        there = (stored.kind, stored.manifest.last_key)
        if there != (self.kind.name, self.keys[-1]):
            return False
        finished_with = self.kind.finished_with
        return finished_with(stored.recipe_as(self.kind.recipe)) == finished_with(self.recipe)

    def why_another(self, stored: Manifest) -> str:
        """How the data set of another manifest of this kind differs: words that follow its name."""
        there = stored.model_dump(mode="json", include={"recipe", "software", *self.origin()})
        here = {"software": software(), **self.origin()}
        of = f"belongs to another recipe, {stored.name!r} as it was then"
        unlike = [*differences(there.pop("recipe"), self.described), *differences(there, here)]
        if unlike:
            return f"{of}: it differs in {listed(unlike)}, or in weights, voices, prompts or code"
        # Without the keys of parents, which differ wherever the parents do.
        shapes, own = (
            {name: {"shape": {key: value for key, value in shape.items() if key != "before"}} for name, shape in of}
            for of in (
                [(name, stage.shape) for name, stage in stored.stages.items()],
                [(name, stage["shape"]) for name, stage in self.shapes.items()],
            )
        )
        return f"{of}: it was made with other weights, voices, prompts or code: {listed([*differences(shapes, own)])}"

    @property
    def missing(self) -> list[set[int]]:
        """Partitions without a commit record, for each stage."""
        return [set(self.plan.partitions) - folder.committed() for folder in self.folders]


def staged(stages: Sequence[Stage], plan: Plan, work: Path) -> tuple[tuple[PartitionFolder, ...], tuple[str, ...]]:
    """The folder of each stage, named by its key, and the keys: each is given the rows of the one before."""
    keys: list[str] = []
    for stage in stages:
        keys.append(stage_key(stage, [keys[-1] if keys else plan.key]))
    folders = (PartitionFolder(work / f"{stage.name}-{key}") for stage, key in zip(stages, keys, strict=True))
    return tuple(folders), tuple(keys)


def make(prepare: Callable[[], Making], out: Path, work: Path, display: Display) -> None:
    """Make the data set that `prepare` plans in `out`, going on where it was stopped before.

    Raises UserError if nothing can be made in these folders (`check_places`), if `out` holds something else, if a
    record of what is there is damaged, if too many dialogues are rejected, or if the same folders are being written.
    """
    check_places(out, work)
    with ExitStack() as locks:
        locks.enter_context(locked(out.parent / f".{out.name}.lock", f"{out} is being written by another build"))
        made = prepare()
        if _is_finished(out, made):
            display.already_there(out)
            return
        for folder in made.folders:
            message = f"{folder.path} is being filled by another build over the same dialogues"
            locks.enter_context(locked(folder.path.with_suffix(".lock"), message))
            remove_temporary(folder.path)
        for partition in made.plan.partitions:
            _records(made, partition)  # what is damaged is said before any work
        _run_stages(made, display)
        _finish(made, out, display)


def _is_finished(out: Path, made: Making) -> bool:
    """Whether `out` is this build's data set; raises UserError if it holds anything else, or if it lost files."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / SUCCESS).exists():
        raise UserError(
            f"{out} exists and is no finished data set of duplexgen; it was left as it is. "
            "Choose another folder with --out, or remove it."
        )
    try:
        stored = Dataset(out)
        is_own = made.is_that_of(stored)
        damage = list(missing_files(stored)) if is_own else []
    except UserError as error:
        raise UserError(f"{error}\n{LEFT.format(out)}") from error
    if damage:
        said = "".join(f"\n  {failure}" for failure in damage)
        raise UserError(
            f"{out} was this recipe's data set, and is damaged:{said}\nIt was left as it is. Remove it and run the "
            "same command again: it is made again of what the stages made."
        )
    if is_own:
        counts = stored.manifest.ledger
        reasons = sum((Counter(of.reasons) for of in counts), Counter[str]())
        _stop_if_too_many(made, counts[0].planned, counts[-1].emitted, reasons, out / "rejected")
        return True
    if stored.kind != made.kind.name:
        reason = f"is a data set of {stored.kind}, not of {made.kind.name}"
    else:
        reason = made.why_another(stored.manifest)
    raise UserError(f"{out} {reason}. {LEFT.format(out)}")


def _run_stages(made: Making, display: Display) -> None:
    missing = made.missing
    pending = sorted(set().union(*missing))
    if not pending:
        return
    sources = (made.source, *made.folders[:-1])
    steps = [Step(*step) for step in zip(made.stages, sources, made.folders, strict=True)]
    unfinished = [(step, sorted(partitions)) for step, partitions in zip(steps, missing, strict=True) if partitions]
    with display.making(dict(zip(made.stage_keys, made.folders, strict=True)), made.plan.num_partitions):
        if len(pending) > made.done_here:
            rounds.run([step for step, _ in unfinished], pending, made.work / RAY_LOG)
            return
        for step, partitions in unfinished:
            step.load()
            for partition in partitions:
                step.make(partition)


def _finish(made: Making, out: Path, display: Display) -> None:
    ledgers = _ledgers(made)
    staging = out.parent / f".{out.name}.{made.key}"
    shards = group_shards(made.folders[-1], made.plan.partitions, made.shard_bytes)
    finished = keep_finished(shards, staging)
    rejected = write_rejected(_rejections(made), staging)
    reasons = sum((ledger.reasons for ledger in ledgers.values()), Counter[str]())
    last = list(ledgers.values())[-1]
    _stop_if_too_many(made, ledgers[SOURCE].planned, last.emitted, reasons, staging / rejected[0]["path"])
    with display.counting("shards", len(shards)) as report:
        for done, shard in enumerate(shards):
            if shard.file not in finished:
                finished[shard.file] = write_shard(shard, made.folders[-1], staging, made.stages[-1].schema)
            report(done + 1)
    vocabulary = made.write_vocabulary(staging)
    described = read_described(staging)
    with display.counting("measured", len(shards)) as report:
        paths = [staging / shard.file for shard in shards]
        statistics = measured(paths, made.kind, described.make_layout(), described.sample_rate, report)
    about = manifest(
        made.kind.name,
        {"recipe": made.described} | made.origin(),
        made.key,
        made.shapes,
        ledgers,
        statistics,
    )
    cards = made.kind.write_card(staging, about, statistics)
    tables = [*(finished[shard.file] for shard in shards), *rejected]
    files = [*tables, *(entry(staging, file) for file in (*vocabulary, *cards))]
    _stop_if_not_whole(made, staging, about["ledger"], files)
    with explained(staging):
        sync_all(staging)  # before what says that all is there
    write_json(staging / MANIFEST, about | {"files": files})
    write_json(staging / SUCCESS, {"manifest_sha256": file_sha256(staging / MANIFEST)})
    remove_others(staging, {MANIFEST, SUCCESS, *(file["path"] for file in files)})
    with explained(out):
        staging.replace(out)
        sync(out.parent)
    rejected_count = sum(counts["rejected"] for counts in about["ledger"])
    display.done(out, f"{made.summary(about)}, {rejected_count} rejected")


def _records(made: Making, partition: int) -> list[CommitRecord | None]:
    """Commit records of a partition, the plan's first; None where a stage has yet to make it.

    Raises UserError if one is damaged, or accounts for another number of rows than the stage before hands on.
    """
    folders = (made.plan.folder, *made.folders)
    records = [folder.record(partition) for folder in folders]
    for stage, folder, (before, record) in zip(made.stages, made.folders, pairwise(records), strict=True):
        if before is None or record is None:
            continue
        given, outcome = before.outcome.emitted * stage.fan_out, record.outcome
        if (outcome.planned, outcome.emitted) != (given, record.rows):
            file = folder.record_file(partition)
            raise UserError(
                f"{file} does not add up: it accounts for {outcome.planned} dialogues, of which {outcome.emitted} came "
                f"out as {record.rows} rows, and {given} are handed to its stage. {MAKE_AGAIN.format(file)}"
            )
    return records


def _ledgers(made: Making) -> dict[str, Ledger]:
    """What became of the dialogues, stage by stage, the sources first."""
    ledgers = {name: Ledger() for name in (SOURCE, *made.stage_keys)}
    folders = (made.plan.folder, *made.folders)
    for partition in made.plan.partitions:
        for ledger, folder, record in zip(ledgers.values(), folders, _records(made, partition), strict=True):
            ledger.add((record or folder.committed_record(partition)).outcome)
    return ledgers


def _stop_if_not_whole(made: Making, staging: Path, ledger: list[dict[str, Any]], files: list[Entry]) -> None:
    """Raise UserError if `verify` would find something wrong with the account of what is about to be finished."""
    check_there(staging, files)
    fan_out = {stage.name: stage.fan_out for stage in made.stages}
    counts, listed_files = [StageCounts(**of) for of in ledger], [File(**file) for file in files]
    if failures := list(ledger_failures(staging, counts, listed_files, fan_out)):
        said = "".join(f"\n  {failure}" for failure in failures)
        again = ", ".join(str(folder.path) for folder in made.folders)
        raise UserError(
            f"{staging} does not add up, and was made no data set:{said}\nRemove it and run the same command again. If "
            f"that says the same, remove what the stages made ({again}): they make it again."
        )


def _rejections(made: Making) -> Iterator[Rejection]:
    for partition in made.plan.partitions:
        for folder in (made.plan.folder, *made.folders):
            for record in folder.records([partition]):
                yield from record.outcome.rejections


def _stop_if_too_many(made: Making, dialogues: int, emitted: int, reasons: Counter[str], table: Path) -> None:
    """dialogues: as the sources gave them."""
    planned = dialogues * math.prod(stage.fan_out for stage in made.stages)
    rejected = planned - emitted
    if emitted and rejected <= made.recipe.max_rejected_share * planned:
        return
    listed = "".join(f"\n  {count:6d}  {reason}" for reason, count in reasons.most_common())
    raise UserError(
        f"{rejected} dialogues were rejected and {emitted} are left; the recipe allows "
        f"{made.recipe.max_rejected_share:.0%} (max_rejected_share).{listed}\nEach is explained in {table}."
    )
