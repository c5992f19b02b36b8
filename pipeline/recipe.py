"""What a recipe may say: everything that changes the output of a build, and nothing else."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Range(Section):
    """A uniform distribution in seconds, written `[low, high]`."""

    low: Seconds
    high: Seconds

    @model_validator(mode="before")
    @classmethod
    def from_pair(cls, value: Any) -> Any:
        if isinstance(value, list):
            if len(value) != 2:
                raise ValueError("expected [low, high] in seconds")
            return {"low": value[0], "high": value[1]}
        if not isinstance(value, dict | Range):
            raise ValueError("expected [low, high] in seconds")
        return value

    @model_validator(mode="after")
    def ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"expected low <= high, got [{self.low}, {self.high}]")
        return self


class Source(Section):
    """Where text dialogues come from: a file or a folder (`path`), or a Hub data set (`hub`)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    shape: Literal["ultrachat", "messages", "alpaca"]
    path: str | None = None  # relative to the recipe's folder
    hub: str | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    language: Literal["en", "zh"] = "en"
    limit: Positive | None = None
    join: Positive = 1  # neighbouring dialogues of one exchange become one of this many
    license: str = "unknown"

    @model_validator(mode="after")
    def one_place(self) -> "Source":
        if (self.path is None) == (self.hub is None):
            raise ValueError("expected exactly one of `path` (file or folder) and `hub` (data set name)")
        return self


class Rewriting(Section):
    engine: str = "rules"
    max_user_words: Positive = 60  # a longer question is rejected; Chinese counts characters
    max_reply_words: Positive = 60  # a longer reply is cut at the end of a sentence
    max_exchanges: Positive = 6  # later exchanges are left out


class Speech(Section):
    engine: str = "kokoro"
    assistant_voice: str
    user_voices: Literal["all", "held_out"] | list[str] = "all"  # every training voice, or every one kept from them
    renditions: Positive = 1  # each transcript spoken by this many different user voices
    loudness_lufs: Annotated[float, Field(ge=-40, le=-12)] = -23.0
    max_attempts: Positive = 3


class Timing(Section):
    """BayLing-Duplex section 3; what it leaves open is marked ours in the documentation."""

    scenario: Literal["turn_taking", "interruption"]
    takes: Positive = 1  # each spoken dialogue laid out this many times, every time with other draws
    lead_in_s: Range = Range(low=0.0, high=0.8)
    reply_delay_s: Seconds = 0.8
    next_turn_gap_s: Range = Range(low=0.5, high=3.0)
    tail_s: Seconds = 0.8
    reaction_delay_s: Range = Range(low=0.8, high=2.0)
    interruption_probability: Share = 1.0
    heard_before_barge_in_s: Seconds = 0.5
    longest_negative_delay_s: Seconds = 5.0
    fade_s: Annotated[float, Field(gt=0, le=0.2)] = 0.03


class Tokens(Section):
    speech_tokenizer: str = "melvq"
    text_tokenizer: str = "bpe"


class Layout(Section):
    name: str = "bayling"
    user_tokens: Positive = 10  # N: speech tokens a block a channel
    text_tokens: Positive = 5  # M: text tokens a block
    ast_offset: Annotated[int, Field(ge=-1, le=0)] = -1


class Output(Section):
    sample_rate: Positive = 16000
    audio: Literal["flac", "none"] = "flac"
    shard_mb: Positive = 500


class Recipe(Section):
    """Everything that changes the output of a build."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    license: str = "other"  # of the data set that is built, an SPDX-like name for the data card
    seed: Annotated[int, Field(ge=0)] = 0
    partition_size: Positive = 64  # transcripts a partition
    max_rejected_share: Share = 0.5  # a build that rejects more stops with an error
    sources: Annotated[list[Source], Field(min_length=1)]
    rewriting: Rewriting = Rewriting()
    speech: Speech
    timing: Timing
    tokens: Tokens = Tokens()
    layout: Layout = Layout()
    output: Output = Output()

    @field_validator("sources")
    @classmethod
    def distinct_names(cls, sources: list[Source]) -> list[Source]:
        names = [source.name for source in sources]
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"source names must differ, repeated: {', '.join(sorted(repeated))}")
        return sources
