"""Making a data set of any kind: a plan, stages, shards. What is committed is never made again."""

import hashlib
import math
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from . import rounds
from .dialogue import Rejection
from .differences import differences, listed
from .display import Display
from .errors import UserError
from .plan import SOURCE, Plan
from .shards.atomic import canonical_json, explained, file_sha256, locked, remove_temporary, write_json
from .shards.dataset import DIALOGUES, MANIFEST, SUCCESS, read_manifest
from .shards.finish import COMMITS, commit, committed, group_shards, write_rejected, write_shard
from .shards.manifest import manifest, software
from .shards.partitions import Ledger, PartitionFolder, Readable
from .shards.statistics import Statistics
from .stages.stage import Stage, Step, stage_key

RAY_LOG = "ray.log"
SHARD_BYTES = 500_000_000


class AnyRecipe(Protocol):
    """What recipes of every kind say."""

    @property
    def name(self) -> str: ...

    @property
    def max_rejected_share(self) -> float: ...

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Making(ABC):
    """A planned data set: its stages in order, each with the folder it fills. A kind of data set is a subclass."""

    recipe: AnyRecipe
    work: Path
    plan: Plan
    stages: tuple[Stage, ...]
    folders: tuple[PartitionFolder, ...]
    keys: tuple[str, ...]

    kind: ClassVar[str]
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
    def finished_with(self, recipe: dict[str, Any]) -> dict[str, Any]:
        """What the step from rows to files takes from a recipe, as manifests have it: the card's words, sizes."""

    @abstractmethod
    def write_vocabulary(self, staging: Path) -> list[str]:
        """Write vocabulary.json and vocabulary/; returns the files, relative to `staging`."""

    @abstractmethod
    def write_card(self, staging: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
        """Write the data card and its plots; returns the files, relative to `staging`. about: the manifest so far."""

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
        return hashlib.sha256(canonical_json(self._shape(self.described, self.stage_keys)).encode()).hexdigest()[:16]

    def is_that_of(self, stored: dict[str, Any]) -> bool:
        """Whether a manifest is that of the data set this makes, whatever version of duplexgen wrote it."""
        if stored.get("kind", DIALOGUES) != self.kind:
            return False
        return self._shape(stored["recipe"], stored["stages"]) == self._shape(self.described, self.stage_keys)

    def _shape(self, recipe: dict[str, Any], stage_keys: dict[str, str]) -> dict[str, Any]:
        last = stage_keys.get(self.stages[-1].name)
        return {"kind": self.kind, "last": last, "finished_with": self.finished_with(recipe)}

    def why_another(self, stored: dict[str, Any]) -> str:
        """How the data set of another manifest of this kind differs: words that follow its name."""
        here = (self.described, self.origin(), {"software": software()})
        there = (stored["recipe"], {name: stored.get(name) for name in here[1]}, {"software": stored["software"]})
        found = [words for pair in zip(there, here, strict=True) for words in differences(*pair)]
        of = f"belongs to another recipe, {stored['recipe']['name']!r} as it was then"
        if found:
            return (
                f"{of}: it differs in {listed(found)}, or in weights, voices, prompts or code, which no manifest names"
            )
        return f"{of}: it was made with other weights, voices or prompts, or by other code, which no manifest names"

    @property
    def missing(self) -> list[set[int]]:
        """Partitions without a commit record, for each stage."""
        return [set(self.plan.partitions) - folder.committed() for folder in self.folders]


def staged(stages: Sequence[Stage], plan: Plan, work: Path) -> tuple[tuple[PartitionFolder, ...], tuple[str, ...]]:
    """The folder of each stage, named by its key, and the keys."""
    keys: list[str] = []
    for stage in stages:
        keys.append(stage_key(stage, keys[-1] if keys else plan.key))
    folders = (PartitionFolder(work / f"{stage.name}-{key}") for stage, key in zip(stages, keys, strict=True))
    return tuple(folders), tuple(keys)


def make(prepare: Callable[[], Making], out: Path, display: Display) -> None:
    """Make the data set that `prepare` plans in `out`, going on where it was stopped before.

    Raises UserError if `out` holds something else, if too many dialogues are rejected, or if the same folders are
    being written already.
    """
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
        _run_stages(made, display)
        _finish(made, out, display)


def _is_finished(out: Path, made: Making) -> bool:
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
    if made.is_that_of(stored):
        counts = stored["ledger"]
        reasons = sum((Counter(of["reasons"]) for of in counts), Counter[str]())
        _stop_if_too_many(made, counts[0]["planned"], counts[-1]["emitted"], reasons, out / "rejected")
        return True
    if (kind := stored.get("kind", DIALOGUES)) != made.kind:
        reason = f"is a data set of {kind}, not of {made.kind}"
    else:
        reason = made.why_another(stored)
    raise UserError(f"{out} {reason}; it was left as it is. Choose another folder with --out, or remove it.")


def _run_stages(made: Making, display: Display) -> None:
    missing = made.missing
    pending = sorted(set().union(*missing))
    if not pending:
        return
    sources = (made.source, *made.folders[:-1])
    steps = [Step(*step) for step in zip(made.stages, sources, made.folders, strict=True)]
    with display.making(dict(zip(made.stage_keys, made.folders, strict=True)), made.plan.num_partitions):
        if len(pending) <= made.done_here:
            for step, partitions in zip(steps, missing, strict=True):
                step.load()
                for partition in sorted(partitions):
                    step.make(partition)
            return
        first = next(index for index, partitions in enumerate(missing) if partitions)
        rounds.run(steps[first:], pending, made.work / RAY_LOG)


def _finish(made: Making, out: Path, display: Display) -> None:
    ledgers = _ledgers(made)
    staging = out.parent / f".{out.name}.{made.key}"
    remove_temporary(staging)
    rejected = write_rejected(_rejections(made), staging)
    reasons = sum((ledger.reasons for ledger in ledgers.values()), Counter[str]())
    last = list(ledgers.values())[-1]
    _stop_if_too_many(made, ledgers[SOURCE].planned, last.emitted, reasons, staging / rejected[0])
    shards = group_shards(made.folders[-1], made.plan.partitions, made.shard_bytes)
    with display.counting("shards", len(shards)) as report:
        for done, shard in enumerate(shards):
            write_shard(shard, made.folders[-1], staging, made.stages[-1].schema)
            report(done + 1)
    statistics = Statistics()
    for folder in made.folders:
        for record in folder.records(made.plan.partitions):
            statistics.merge(record.outcome.statistics)
    vocabulary = made.write_vocabulary(staging)
    about = manifest(
        made.kind,
        {"recipe": made.described} | made.origin(),
        made.key,
        made.stage_keys,
        ledgers,
        statistics,
    )
    cards = made.write_card(staging, about, statistics)
    for file in (*vocabulary, *cards):
        commit(staging, file)
    files = [*(shard.file for shard in shards), *rejected, *vocabulary, *cards]
    write_json(staging / MANIFEST, about | {"files": committed(staging, files)})
    write_json(staging / SUCCESS, {"manifest_sha256": file_sha256(staging / MANIFEST)})
    with explained(out):
        shutil.rmtree(staging / COMMITS)
        staging.replace(out)
    rejected_count = sum(counts["rejected"] for counts in about["ledger"])
    display.done(out, f"{made.summary(about)}, {rejected_count} rejected")


def _ledgers(made: Making) -> dict[str, Ledger]:
    """Sums of what became of the dialogues, stage by stage, the sources first."""
    ledgers = {}
    folders = (made.plan.folder, *made.folders)
    for name, folder in zip((SOURCE, *made.stage_keys), folders, strict=True):
        ledgers[name] = Ledger()
        for record in folder.records(made.plan.partitions):
            ledgers[name].add(record.outcome)
    return ledgers


def _rejections(made: Making) -> Iterator[Rejection]:
    for partition in made.plan.partitions:
        for folder in (made.plan.folder, *made.folders):
            for record in folder.records([partition]):
                yield from record.outcome.rejections


def _stop_if_too_many(made: Making, dialogues: int, emitted: int, reasons: Counter[str], table: Path) -> None:
    """dialogues: as the sources gave them."""
    planned = dialogues * math.prod(stage.fan_out for stage in made.stages)
    rejected = planned - emitted
    if emitted and rejected / planned <= made.recipe.max_rejected_share:
        return
    listed = "".join(f"\n  {count:6d}  {reason}" for reason, count in reasons.most_common())
    raise UserError(
        f"{rejected} dialogues were rejected and {emitted} are left; the recipe allows "
        f"{made.recipe.max_rejected_share:.0%} (max_rejected_share).{listed}\nEach is explained in {table}."
    )
