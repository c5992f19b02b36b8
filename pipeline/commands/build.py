"""Builds a data set of dialogues from a recipe: its plan, its stages, and its part of the manifest."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..dataset.dialogues import Dialogues
from ..dataset.recipe import Recipe
from ..making.run import Making, make, staged
from ..making.stage import Stage
from ..show.progress import Display
from ..stages.script import ScriptStage
from ..stages.sequences import SequencesStage
from ..stages.speech import SpeechStage
from ..stages.tracks import TracksStage
from ..storage.objects import Place
from .plan import make_plan


@dataclass(frozen=True)
class Build(Making):
    """A planned build of dialogues."""

    recipe: Recipe
    limit: int | None
    sequences: SequencesStage  # the last of the stages

    kind: ClassVar[Dialogues] = Dialogues()

    @property
    def shard_bytes(self) -> int:
        return self.recipe.output.shard_mb * 1_000_000

    def origin(self) -> dict[str, Any]:
        return {"limit": self.limit, "sources": self.plan.sources}

    def write_vocabulary(self, staging: Path) -> list[str]:
        return self.sequences.write_vocabulary(staging)

    def summary(self, about: dict[str, Any]) -> str:
        return (
            f"{about['ledger'][-1]['emitted']} dialogues, {about['statistics']['dialogue_s']['total'] / 3600:.2f} hours"
        )


def prepare(recipe: Recipe, base: Path, work: Path, limit: int | None, display: Display) -> Build:
    """Plan a build: read the sources into partitions and name the stages' folders."""
    with display.reading_sources() as report:
        plan = make_plan(recipe, base, work, limit, report)
    sequences = SequencesStage(recipe)
    stages: tuple[Stage, ...] = (
        ScriptStage(recipe.rewriting, recipe.events, recipe.seed),
        SpeechStage(recipe.speech, recipe.seed),
        TracksStage(recipe),
        sequences,
    )
    return Build(recipe, work, plan, stages, *staged(stages, plan, work), limit, sequences)


def build(recipe: Recipe, base: Path, out: Place, work: Path, limit: int | None, display: Display) -> None:
    """Make the data set of a recipe in `out`; continue a build that was stopped.

    base: the folder to which the recipe's paths of sources are relative. work: where stages keep their results.
    Raises UserError if `out` holds something else, if too many dialogues are rejected, or if another build writes the
    same folders.
    """
    make(lambda: prepare(recipe, base, work, limit, display), out, work, display)
