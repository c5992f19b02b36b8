"""A build from recipe to data set: plan, stages, shards. What is committed is never made again."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.dialogue import Rejection
from pipeline.display import Display
from pipeline.errors import UserError
from pipeline.plan import SOURCE, Plan, make_plan
from pipeline.recipe import Recipe
from pipeline.shards import card
from pipeline.shards.atomic import canonical_json, explained, file_sha256, remove_temporary, write_json
from pipeline.shards.dataset import MANIFEST, SUCCESS, read_manifest
from pipeline.shards.finish import COMMITS, commit, committed, group_shards, write_rejected, write_shard
from pipeline.shards.manifest import manifest
from pipeline.shards.partitions import Ledger, PartitionFolder
from pipeline.shards.statistics import Statistics
from pipeline.stages.data import DataStage
from pipeline.stages.script import ScriptStage
from pipeline.stages.speech import SpeechStage
from pipeline.stages.stage import Stage, stage_key

RAY_LOG = "ray.log"


@dataclass(frozen=True, slots=True)
class Build:
    """A planned build: its stages in order, each with the folder it fills."""

    recipe: Recipe
    limit: int | None
    work: Path
    plan: Plan
    stages: tuple[Stage, ...]
    data: DataStage  # the last of them
    folders: tuple[PartitionFolder, ...]
    keys: tuple[str, ...]

    @property
    def stage_keys(self) -> dict[str, str]:
        return {stage.name: key for stage, key in zip(self.stages, self.keys, strict=True)}

    @property
    def key(self) -> str:
        """Names the data set: the same key, the same bytes."""
        shape = {"data": self.keys[-1], "recipe": self.recipe.model_dump(mode="json"), "limit": self.limit}
        return hashlib.sha256(canonical_json(shape).encode()).hexdigest()[:16]

    @property
    def missing(self) -> list[set[int]]:
        """Partitions without a commit record, for each stage."""
        return [set(self.plan.partitions) - folder.committed() for folder in self.folders]


def prepare(recipe: Recipe, base: Path, work: Path, limit: int | None, display: Display) -> Build:
    """Plan a build: read the sources into partitions and name the stages' folders."""
    with display.reading_sources() as report:
        plan = make_plan(recipe, base, work, limit, report)
    data = DataStage(recipe)
    stages: tuple[Stage, ...] = (ScriptStage(recipe.rewriting), SpeechStage(recipe.speech, recipe.seed), data)
    keys: list[str] = []
    for stage in stages:
        keys.append(stage_key(stage, keys[-1] if keys else plan.key))
    folders = tuple(PartitionFolder(work / f"{stage.name}-{key}") for stage, key in zip(stages, keys, strict=True))
    return Build(recipe, limit, work, plan, stages, data, folders, tuple(keys))


def build(recipe: Recipe, base: Path, out: Path, work: Path, limit: int | None, display: Display) -> None:
    """Make the data set of a recipe in `out`, going on where an earlier build stopped.

    base: the folder that the recipe's paths start at. work: where stages keep what they made.
    Raises UserError if `out` holds something else, if too many dialogues are rejected, or if another build is
    writing the same folders.
    """
    with ExitStack() as locks:
        locks.enter_context(_lock(out.parent / f".{out.name}.lock", f"{out} is being written by another build"))
        made = prepare(recipe, base, work, limit, display)
        if _is_finished(out, made):
            display.already_there(out)
            return
        for folder in made.folders:
            message = f"{folder.path} is being filled by another build over the same dialogues"
            locks.enter_context(_lock(folder.path.with_suffix(".lock"), message))
            remove_temporary(folder.path)
        _run_stages(made, display)
        _finish(made, out, display)


@contextmanager
def _lock(path: Path, message: str) -> Iterator[None]:
    lock = FileLock(path, timeout=0)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(f"{message}. Wait until it ends; nothing was changed.") from None
    try:
        yield
    finally:
        lock.release()


def _is_finished(out: Path, made: Build) -> bool:
    """Whether `out` is this build's data set; raises UserError if it holds anything else."""
    if out.is_mount():
        raise UserError(f"{out} is a mount point, which a finished data set cannot replace. Name a folder inside it.")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / SUCCESS).exists():
        raise UserError(
            f"{out} exists and is no finished data set of duplexgen; it was left as it is. "
            "Choose another folder with --out, or remove it."
        )
    stored = read_manifest(out)
    if stored["key"] == made.key:
        return True
    if stored["recipe"] != made.recipe.model_dump(mode="json"):
        reason = f"belongs to another recipe, {stored['recipe']['name']!r} as it was then"
    elif stored["limit"] != made.limit:
        reason = f"was built with {'no limit' if stored['limit'] is None else '--limit ' + str(stored['limit'])}"
    else:
        reason = "was built from other source files or with other software"
    raise UserError(f"{out} {reason}; it was left as it is. Choose another folder with --out, or remove it.")


def _run_stages(made: Build, display: Display) -> None:
    missing = made.missing
    pending = sorted(set().union(*missing))
    if not pending:
        return
    from pipeline import dag  # Ray takes seconds to import, and a build that only joins needs none

    first = next(index for index, partitions in enumerate(missing) if partitions)
    sources = (made.plan.folder, *made.folders[:-1])
    steps = [dag.Step(*step) for step in zip(made.stages, sources, made.folders, strict=True)]
    with (
        display.making(dict(zip(made.stage_keys, made.folders, strict=True)), made.plan.num_partitions),
        dag.cluster(made.work / RAY_LOG),
    ):
        for _ in dag.run(steps[first:], pending):
            pass


def _finish(made: Build, out: Path, display: Display) -> None:
    ledgers = _ledgers(made)
    staging = out.parent / f".{out.name}.{made.key}"
    remove_temporary(staging)
    rejected = write_rejected(_rejections(made), staging)
    _stop_if_too_many(made.recipe, ledgers, staging / rejected[0])
    shards = group_shards(made.folders[-1], made.plan.partitions, made.recipe.output.shard_mb * 1_000_000)
    with display.joining(len(shards)) as report:
        for done, shard in enumerate(shards):
            write_shard(shard, made.folders[-1], staging, made.data.schema)
            report(done + 1)
    statistics = Statistics()
    for record in made.folders[-1].records(made.plan.partitions):
        statistics.merge(record.outcome.statistics)
    vocabulary = made.data.write_vocabulary(staging)
    about = manifest(made.recipe, made.limit, made.key, made.stage_keys, made.plan.sources, ledgers, statistics)
    cards = card.write(staging, about, statistics)
    for file in (*vocabulary, *cards):
        commit(staging, file)
    files = [*(shard.file for shard in shards), *rejected, *vocabulary, *cards]
    write_json(staging / MANIFEST, about | {"files": committed(staging, files)})
    write_json(staging / SUCCESS, {"manifest_sha256": file_sha256(staging / MANIFEST)})
    with explained(out):
        shutil.rmtree(staging / COMMITS)
        staging.replace(out)
    display.done(out, about)


def _ledgers(made: Build) -> dict[str, Ledger]:
    """Sums of what became of the dialogues, stage by stage, the sources first."""
    ledgers = {}
    folders = (made.plan.folder, *made.folders)
    for name, folder in zip((SOURCE, *made.stage_keys), folders, strict=True):
        ledgers[name] = Ledger()
        for record in folder.records(made.plan.partitions):
            ledgers[name].add(record.outcome)
    return ledgers


def _rejections(made: Build) -> Iterator[Rejection]:
    for partition in made.plan.partitions:
        for folder in (made.plan.folder, *made.folders):
            for record in folder.records([partition]):
                yield from record.outcome.rejections


def _stop_if_too_many(recipe: Recipe, ledgers: dict[str, Ledger], table: Path) -> None:
    planned = ledgers[SOURCE].planned * recipe.speech.renditions * recipe.timing.takes
    emitted = list(ledgers.values())[-1].emitted
    rejected = planned - emitted
    share = rejected / planned
    if emitted and share <= recipe.max_rejected_share:
        return
    reasons = sum((ledger.reasons for ledger in ledgers.values()), Counter())
    listed = "".join(f"\n  {count:6d}  {reason}" for reason, count in reasons.most_common())
    raise UserError(
        f"{rejected} dialogues were rejected and {emitted} are left; the recipe allows "
        f"{recipe.max_rejected_share:.0%} (max_rejected_share).{listed}\nEach is explained in {table}."
    )
