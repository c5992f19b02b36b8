"""Makes a data set of any kind: a plan, stages, shards. Work that is committed is never done again."""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    write_rejected,
    write_shard,
)
from ..dataset.kind import Kind
from ..dataset.ledger import ledger_failures
from ..dataset.manifest import FILE, File, Manifest, StageCounts, data_set_key, manifest, software
from ..dataset.reader import MANIFEST, SUCCESS, Dataset, read_described
from ..dialogue import Rejection
from ..errors import UserError
from ..escapes import visible
from ..show.progress import Display
from ..storage.atomic import explained, file_sha256, locked, remove_temporary, sync_all, write_json
from ..storage.objects import Place
from ..storage.partitions import MAKE_AGAIN, CommitRecord, Ledger, PartitionFolder, Readable
from ..storage.targets import Target, target_of
from . import rounds
from .differences import differences, listed
from .plan import SOURCE, Plan
from .stage import Stage, Step, stage_key, stage_shape

RAY_LOG = "ray.log"
SHARD_BYTES = 500_000_000
MOST_OF_A_DETAIL = 200  # characters of why a dialogue was rejected, in a message
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
    """A planned data set: its stages in order, each with the folder that it fills. Each kind has a subclass."""

    recipe: AnyRecipe
    work: Path
    plan: Plan
    stages: tuple[Stage, ...]
    folders: tuple[PartitionFolder, ...]
    keys: tuple[str, ...]

    kind: ClassVar[Kind]
    done_here: ClassVar[int] = 0
    """Up to so many partitions run in this process, because Ray takes longer to start than they take."""

    @property
    def source(self) -> Readable:
        """What the first stage reads."""
        return self.plan.folder

    @property
    def shard_bytes(self) -> int:
        return SHARD_BYTES

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """What the manifest says, beside the recipe, about where the data set comes from."""

    @abstractmethod
    def write_vocabulary(self, staging: Path) -> list[str]:
        """Write vocabulary.json and vocabulary/; returns the files, relative to `staging`."""

    @abstractmethod
    def summary(self, about: dict[str, Any]) -> str:
        """The size of the data set, in words. about: its manifest."""

    @property
    def described(self) -> dict[str, Any]:
        """The recipe as the manifest has it."""
        return self.recipe.model_dump(mode="json")

    @property
    def stage_keys(self) -> dict[str, str]:
        return {stage.name: key for stage, key in zip(self.stages, self.keys, strict=True)}

    @property
    def key(self) -> str:
        """Names the data set: equal keys mean equal rows, shards and cards.

        The last stage's key covers all stages before it. Paths of models, and how the work is spread over a machine,
        change no row: the manifest's recipe has them, the key does not.
        """
        return data_set_key(self.kind.name, self.keys[-1], self.kind.finished_with(self.recipe))

    @property
    def shapes(self) -> dict[str, dict[str, Any]]:
        """Key and shape of the folders of the plan and of each stage, as the manifest has them."""
        shapes = {SOURCE: {"key": self.plan.key, "shape": self.plan.shape}}
        before = self.plan.key
        for stage, key in zip(self.stages, self.keys, strict=True):
            shapes[stage.name] = {"key": key, "shape": stage_shape(stage, [before])}
            before = key
        return shapes

    def is_that_of(self, stored: Dataset) -> bool:
        """Whether a stored data set is the one that this makes. Its own key may have been computed in another way."""
        if (stored.kind, stored.manifest.last_key) != (self.kind.name, self.keys[-1]):
            return False
        finished_with = self.kind.finished_with
        return finished_with(stored.recipe_as(self.kind.recipe)) == finished_with(self.recipe)

    def why_another(self, stored: Manifest) -> str:
        """How a stored data set of this kind differs, in words that follow its name."""
        there = stored.model_dump(mode="json", include={"recipe", "software", *self.origin()})
        here = {"software": software(), **self.origin()}
        whose = f"belongs to another recipe, {stored.name!r} as it was then"
        places = [*differences(there.pop("recipe"), self.described), *differences(there, here)]
        if places:
            return f"{whose}: it differs in {listed(places)}, or in weights, voices, prompts or code"
        shapes = _without_parents({name: stage.shape for name, stage in stored.stages.items()})
        own = _without_parents({name: stage["shape"] for name, stage in self.shapes.items()})
        places = [*differences(shapes, own)]
        return f"{whose}: it was made with other weights, voices, prompts or code: {listed(places)}"

    @property
    def missing(self) -> list[set[int]]:
        """Partitions without a commit record, for each stage."""
        return [set(self.plan.partitions) - folder.committed() for folder in self.folders]


def _without_parents(shapes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Shapes of stages without the keys of their parents, which differ wherever the parents do."""
    return {
        name: {"shape": {key: value for key, value in shape.items() if key != "before"}}
        for name, shape in shapes.items()
    }


def staged(stages: Sequence[Stage], plan: Plan, work: Path) -> tuple[tuple[PartitionFolder, ...], tuple[str, ...]]:
    """The folder of each stage, named by its key, and the keys. Each stage gets the rows of the stage before it."""
    keys: list[str] = []
    for stage in stages:
        keys.append(stage_key(stage, [keys[-1] if keys else plan.key]))
    folders = (PartitionFolder(work / f"{stage.name}-{key}") for stage, key in zip(stages, keys, strict=True))
    return tuple(folders), tuple(keys)


def make(prepare: Callable[[], Making], out: Place, work: Path, display: Display) -> None:
    """Make the data set that `prepare` plans in `out`; continue it if it was stopped before.

    Raises UserError if the folders cannot be used (`check_places`) or the store of `out` cannot be asked, if `out`
    holds something else, if a record in the folders of the stages is damaged, if too many dialogues are rejected, or
    if another build writes to the same place.
    """
    target = target_of(out, work)
    target.check()
    with ExitStack() as locks:
        locks.enter_context(target.held())
        making = prepare()
        if _is_finished(target, making):
            target.clean()
            display.already_there(out)
            return
        target.claim(making.key, lambda name: name in (MANIFEST, SUCCESS) or FILE.fullmatch(name) is not None)
        for folder in making.folders:
            message = f"{folder.path} is being filled by another build over the same dialogues"
            locks.enter_context(locked(folder.path.with_suffix(".lock"), message))
            remove_temporary(folder.path)
        for partition in making.plan.partitions:
            _records(making, partition)  # a damaged record stops the build before any work
        _run_stages(making, display)
        _finish(making, target, display)


def _is_finished(target: Target, making: Making) -> bool:
    """Whether the target has this build's data set; raises UserError if it has anything else, or if it lost files."""
    if target.is_vacant():
        return False
    out = target.place
    if not (out / SUCCESS).exists():
        raise UserError(f"{out} exists and is no finished data set of duplexgen. {LEFT.format(out)}")
    try:
        stored = Dataset(out)
        is_own = making.is_that_of(stored)
        damage = list(missing_files(stored)) if is_own else []
    except UserError as error:
        raise UserError(f"{error}\n{LEFT.format(out)}") from error
    if damage:
        failures = "".join(f"\n  {failure}" for failure in damage)
        raise UserError(
            f"{out} is this recipe's data set, and is damaged:{failures}\nIt was left as it is. Remove it and run the "
            "same command again: it makes the data set again from the results of the stages."
        )
    if is_own:
        ledger = stored.manifest.ledger
        reasons = sum((Counter(counts.reasons) for counts in ledger), Counter[str]())
        _stop_if_too_many(making, ledger[0].planned, ledger[-1].emitted, reasons, (), out / "rejected")
        return True
    if stored.kind != making.kind.name:
        reason = f"is a data set of {stored.kind}, not of {making.kind.name}"
    else:
        reason = making.why_another(stored.manifest)
    raise UserError(f"{out} {reason}. {LEFT.format(out)}")


def _run_stages(making: Making, display: Display) -> None:
    missing = making.missing
    pending = sorted(set().union(*missing))
    if not pending:
        return
    sources = (making.source, *making.folders[:-1])
    steps = [Step(*step) for step in zip(making.stages, sources, making.folders, strict=True)]
    unfinished = [(step, sorted(partitions)) for step, partitions in zip(steps, missing, strict=True) if partitions]
    with display.making(dict(zip(making.stage_keys, making.folders, strict=True)), making.plan.num_partitions):
        if len(pending) > making.done_here:
            rounds.run([step for step, _ in unfinished], pending, making.work / RAY_LOG)
            return
        for step, partitions in unfinished:
            step.load()
            for partition in partitions:
                step.make(partition)


def _finish(making: Making, target: Target, display: Display) -> None:
    ledgers = _ledgers(making)
    staging = target.staging(making.key)
    shards = group_shards(making.folders[-1], making.plan.partitions, making.shard_bytes)
    entries = keep_finished(shards, staging)
    rejected = write_rejected(_rejections(making), staging)
    reasons = sum((ledger.reasons for ledger in ledgers.values()), Counter[str]())
    last = list(ledgers.values())[-1]
    table = staging / rejected[0]["path"]
    _stop_if_too_many(making, ledgers[SOURCE].planned, last.emitted, reasons, _rejections(making), table)
    with display.counting("shards", len(shards)) as report:
        for number, shard in enumerate(shards, start=1):
            if shard.file not in entries:
                entries[shard.file] = write_shard(shard, making.folders[-1], staging, making.stages[-1].schema)
            report(number)
    vocabulary = making.write_vocabulary(staging)
    described = read_described(staging)
    with display.counting("measured", len(shards)) as report:
        paths = [staging / shard.file for shard in shards]
        statistics = measured(paths, making.kind, described.make_layout(), described.sample_rate, report)
    about = manifest(
        making.kind.name,
        {"recipe": making.described} | making.origin(),
        making.key,
        making.shapes,
        ledgers,
        statistics,
    )
    cards = making.kind.write_card(staging, about, statistics)
    tables = [*(entries[shard.file] for shard in shards), *rejected]
    files = [*tables, *(entry(staging, file) for file in (*vocabulary, *cards))]
    _stop_if_not_whole(making, staging, about["ledger"], files)
    with explained(staging):
        sync_all(staging)  # before the files that say that the data set is whole
    write_json(staging / MANIFEST, about | {"files": files})
    write_json(staging / SUCCESS, {"manifest_sha256": file_sha256(staging / MANIFEST)})
    sums = {file["path"]: file["sha256"] for file in files}
    sums |= {file: file_sha256(staging / file) for file in (MANIFEST, SUCCESS)}
    with display.counting("published", len(sums)) as report:
        target.publish(staging, sums, report)
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    summary = f"{making.summary(about)}, {reasons.total():,} rejected" + (f" ({why})" if why else "")
    display.done(target.place, summary)


def _records(making: Making, partition: int) -> list[CommitRecord | None]:
    """Commit records of a partition, the plan's first; None for a stage that has not made it yet.

    Raises UserError if a record is damaged, or accounts for another number of rows than its stage was given.
    """
    folders = (making.plan.folder, *making.folders)
    records = [folder.record(partition) for folder in folders]
    for stage, folder, (before, record) in zip(making.stages, making.folders, pairwise(records), strict=True):
        if before is None or record is None:
            continue
        planned, outcome = before.outcome.emitted * stage.fan_out, record.outcome
        if (outcome.planned, outcome.emitted) != (planned, record.rows):
            file = folder.record_file(partition)
            raise UserError(
                f"{file} does not add up: it accounts for {outcome.planned} dialogues, of which {outcome.emitted} were "
                f"emitted in {record.rows} rows, and its stage was given {planned}. {MAKE_AGAIN.format(file)}"
            )
    return records


def _ledgers(making: Making) -> dict[str, Ledger]:
    """What happened to the dialogues, stage by stage; the sources come first."""
    ledgers = {name: Ledger() for name in (SOURCE, *making.stage_keys)}
    folders = (making.plan.folder, *making.folders)
    for partition in making.plan.partitions:
        for ledger, folder, record in zip(ledgers.values(), folders, _records(making, partition), strict=True):
            ledger.add((record or folder.committed_record(partition)).outcome)
    return ledgers


def _stop_if_not_whole(making: Making, staging: Path, ledger: list[dict[str, Any]], files: list[Entry]) -> None:
    """Raise UserError if `verify` would find that the ledger of the new data set does not add up."""
    check_there(staging, files)
    fan_out = {stage.name: stage.fan_out for stage in making.stages}
    counts, own_files = [StageCounts(**stage) for stage in ledger], [File(**file) for file in files]
    if failures := list(ledger_failures(staging, counts, own_files, fan_out)):
        reasons = "".join(f"\n  {failure}" for failure in failures)
        folders = ", ".join(str(folder.path) for folder in making.folders)
        raise UserError(
            f"{staging} does not add up, so no data set was made of it:{reasons}\nRemove it and run the same command "
            f"again. If the message is the same then, remove the folders of the stages, too ({folders}): the command "
            "makes them again."
        )


def _rejections(making: Making) -> Iterator[Rejection]:
    for partition in making.plan.partitions:
        for folder in (making.plan.folder, *making.folders):
            for record in folder.records([partition]):
                yield from record.outcome.rejections


def _stop_if_too_many(
    making: Making,
    dialogues: int,
    emitted: int,
    reasons: Counter[str],
    rejections: Iterable[Rejection],
    table: Place,
) -> None:
    """Raise UserError if the recipe does not allow so many rejections.

    dialogues: how many the sources gave. rejections: the first of each reason is shown. table: the file or folder with
    the reason of each rejection.
    """
    planned = dialogues * math.prod(stage.fan_out for stage in making.stages)
    rejected = planned - emitted
    if emitted and rejected <= making.recipe.max_rejected_share * planned:
        return
    first: dict[str, str] = {}
    for one in rejections:
        first.setdefault(one.reason, f", such as {visible(one.dialogue_id)}: {visible(one.detail, MOST_OF_A_DETAIL)}")
    lines = "".join(f"\n  {count:6d}  {reason}{first.get(reason, '')}" for reason, count in reasons.most_common())
    share = making.recipe.max_rejected_share
    expected = f"the recipe allows {share:.0%} (max_rejected_share)" if emitted else "a data set needs at least one"
    raise UserError(
        f"{rejected} of {planned} dialogues were rejected; {expected}.{lines}\nEach is explained in {table}."
    )
