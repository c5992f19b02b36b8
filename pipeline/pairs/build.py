"""Preference pairs of a finished data set: their plan and their build."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..dataset.dialogues import DIALOGUES, Dialogues
from ..dataset.manifest import VOCABULARY_FOLDER, MadeFrom, Manifest, key_of, vocabulary_of
from ..dataset.reader import MANIFEST, SUCCESS, Dataset
from ..dataset.verify import check_whole
from ..dataset.vocabulary import read_vocabulary
from ..errors import UserError
from ..making.plan import Plan
from ..making.run import Making, make, staged
from ..scenarios.scenarios import SCENARIOS
from ..show.progress import Display
from ..storage.atomic import explained, file_sha256
from ..storage.partitions import PartitionFolder, Readable
from ..storage.places import is_inside
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, installed
from .kind import Preferences
from .recipe import PairsRecipe
from .source import PARTITION_ROWS, SourceRows, write_partitions
from .stage import PreferencesStage

PLAN_VERSION = 4


@dataclass(frozen=True)
class PairsBuild(Making):
    """A plan to make pairs."""

    recipe: PairsRecipe
    dataset: Dataset

    kind: ClassVar[Preferences] = Preferences()
    done_here: ClassVar[int] = 20

    @property
    def source(self) -> Readable:
        needs_words = self.dataset.layout.NEEDS_WORDS
        return SourceRows(self.plan.folder, self.dataset, self.recipe.retokenize, needs_words)

    def origin(self) -> dict[str, Any]:
        return {"source": self.plan.sources}

    def why_another(self, stored: Manifest) -> str:
        assert stored.source, "pairs are made from a data set"
        if stored.source.manifest_sha256 != self.plan.sources["manifest_sha256"]:
            return f"holds pairs of another data set, {stored.source.recipe.name!r}"
        return super().why_another(stored)

    def write_vocabulary(self, staging: Path) -> list[str]:
        """Copy that of the data set."""
        files = read_vocabulary(self.dataset.path)
        with explained(staging / VOCABULARY_FOLDER):
            (staging / VOCABULARY_FOLDER).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (staging / name).write_bytes(content)
        return list(files)

    def summary(self, about: dict[str, Any]) -> str:
        return f"{about['ledger'][-1]['emitted']} pairs of {about['ledger'][0]['planned']} dialogues"


def prepare(recipe: PairsRecipe, folder: Path, work: Path) -> PairsBuild:
    """Plan pairs: which row groups of the data set each partition holds.

    Raises UserError if the folder is no data set of dialogues, or if pairs cannot be made of it.
    """
    dataset = Dataset(folder)
    _check(dataset, recipe)
    plan = _plan(dataset, work)
    stage = PreferencesStage(recipe, dataset.manifest.made_of, dataset.described)
    return PairsBuild(recipe, work, plan, (stage,), *staged((stage,), plan, work), dataset)


def build(recipe: PairsRecipe, dataset: Path, out: Path, work: Path, display: Display) -> None:
    """Make the pairs of a data set in `out`, or continue a build that was stopped.

    Raises UserError as `prepare` does, and if a file of the data set is not what its manifest says, if too many
    dialogues allow no pair, or if `out` holds something else.
    """
    for folder in (out, work):
        if is_inside(folder, dataset):
            raise UserError(
                f"{folder} is inside the data set {dataset}, which would be changed. Choose another folder."
            )

    def checked() -> PairsBuild:
        _check_kind(Dataset(dataset))
        if not (out / SUCCESS).exists():
            with display.verifying():
                _check_whole(Dataset(dataset))
        return prepare(recipe, dataset, work)

    make(checked, out, work, display)


def _check_kind(dataset: Dataset) -> None:
    if not (dataset.path / SUCCESS).exists():
        raise UserError(f"{dataset.path} is no finished data set of duplexgen: it has no {SUCCESS}. Build it first.")
    if dataset.kind != DIALOGUES:
        raise UserError(
            f"{dataset.path} is a data set of {dataset.kind}: pairs are made of {DIALOGUES}. Name one that `duplexgen "
            "build` made."
        )


def _check(dataset: Dataset, recipe: PairsRecipe) -> None:
    _check_kind(dataset)
    made_of = dataset.manifest.made_of
    scenario = SCENARIOS[made_of.timing.scenario]
    if "late" in recipe.mistakes and not scenario.LATENESS:
        raise UserError(
            f"{dataset.path} has the scenario {scenario.name}, in which no reply can be late: no pairs can be made of "
            "it. Name a data set of another scenario."
        )
    if (early := [name for name in recipe.mistakes if name != "late"]) and not scenario.TAKES_EVENTS:
        raise UserError(
            f"{dataset.path} has the scenario {scenario.name}, with neither asides nor pauses: remove "
            f"{', '.join(early)} from `mistakes`, or name a data set of the scenario natural."
        )
    if recipe.retokenize and (early or "stops" in scenario.LATENESS):
        raise UserError(
            f"retokenize: true is for replies that start late, and in {dataset.path} they may stop late or early: how "
            "they go on is stored as codes, not as audio. Leave retokenize out for this data set."
        )
    if recipe.retokenize and made_of.output.audio == "none":
        raise UserError(
            f"retokenize: true needs audio, and {dataset.path} was built with output.audio: none. Leave it out, "
            "or build the data set again with audio: flac."
        )
    installed(TEXT_TOKENIZERS, dataset.described.text_tokenizer, dataset.tokens)
    if recipe.retokenize:
        installed(SPEECH_TOKENIZERS, dataset.described.speech_tokenizer, dataset.tokens)


def _check_whole(dataset: Dataset) -> None:
    if failures := check_whole(dataset, {DIALOGUES: Dialogues()}):
        listed = "".join(f"\n  {failure}" for failure in failures)
        raise UserError(f"{dataset.path} is not what was built, and no pairs were made:{listed}\nBuild it again.")
    read_vocabulary(dataset.path)


def _plan(dataset: Dataset, work: Path) -> Plan:
    source = MadeFrom(
        key=dataset.manifest.key,
        manifest_sha256=file_sha256(dataset.path / MANIFEST),
        recipe=dataset.manifest.made_of,
    ).model_dump(mode="json")
    shape = {
        "version": PLAN_VERSION,
        "rows": PARTITION_ROWS,
        "manifest_sha256": source["manifest_sha256"],
        "source": key_of(source),
        "vocabulary": vocabulary_of(dataset.manifest),
    }
    key = key_of(shape)
    folder = PartitionFolder(work / f"rows-{key}")
    return Plan(folder, key, write_partitions(dataset, folder), source, shape)
