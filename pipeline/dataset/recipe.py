"""The recipe of a data set of dialogues."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from ..acoustics.effects import AcousticsSection
from ..events.section import Events
from ..layouts.layouts import DEFAULT, AnyLayoutSection
from ..recipe.sections import Name, Section, Seed, Share
from ..rewriting.section import Rewriting
from ..scenarios.scenarios import TimingSection
from ..sources.section import Source
from ..speech.section import Speech
from ..tokens.section import Tokens


class Output(Section):
    """The files of the data set."""

    sample_rate: Annotated[int, Field(ge=8000, le=192_000)] = 16000
    audio: Literal["flac", "none"] = "flac"
    shard_mb: Annotated[int, Field(gt=0, le=100_000)] = 500


class Recipe(Section):
    """Everything that changes the output of a build."""

    name: Name
    description: str = ""
    license: str = "other"  # of the data set, an SPDX-like name for the data card
    seed: Seed = 0
    partition_size: Annotated[int, Field(gt=0, le=100_000)] = 64  # dialogues per partition
    max_rejected_share: Share = 0.5  # a build that rejects more stops with an error
    sources: Annotated[list[Source], Field(min_length=1, max_length=1000)]
    rewriting: Rewriting = Rewriting()
    speech: Speech
    events: Events | None = None  # None: a dialogue has its turns alone
    timing: TimingSection
    acoustics: AcousticsSection = Field(default_factory=list)
    tokens: Tokens = Tokens()
    layout: AnyLayoutSection = DEFAULT
    output: Output = Output()

    @field_validator("sources")
    @classmethod
    def distinct_names(cls, sources: list[Source]) -> list[Source]:
        names = [source.name for source in sources]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"source names must differ, repeated: {', '.join(sorted(repeated))}")
        return sources
