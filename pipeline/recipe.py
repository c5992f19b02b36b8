"""What a recipe may say: everything that changes the output of a build, and nothing else.

Each number has a range, wide for whoever means it: what lies beyond would take more memory or time than there is.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from .paths import PathText


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _fit_for_files(name: str) -> str:
    if name.endswith(".") or name.partition(".")[0].upper() in RESERVED:
        raise ValueError("expected a name that every system takes for a file: not CON or NUL, and no dot at the end")
    return name


RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100), AfterValidator(_fit_for_files)
]  # of a folder
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Few = Annotated[int, Field(gt=0, le=100)]  # tries, exchanges
Many = Annotated[int, Field(gt=0, le=10_000)]  # words, renditions, requests
Rows = Annotated[int, Field(gt=0, le=10**12)]
Seconds = Annotated[float, Field(ge=0, le=600)]
Share = Annotated[float, Field(ge=0, le=1)]


def _shareable(gpus: float) -> float:
    if gpus > 1 and gpus % 1:
        raise ValueError("expected a share of one GPU (0 to 1) or a whole number of them")
    return gpus


GPUs = Annotated[float, Field(ge=0, le=64), AfterValidator(_shareable)]  # of an actor


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

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=100)]
    shape: Literal["ultrachat", "messages", "alpaca"]
    path: PathText | None = None  # relative to the recipe's folder
    hub: PathText | None = None  # a name on the Hub, or a folder that `datasets` reads, relative to the working folder
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    language: Literal["en", "zh"] = "en"
    limit: Rows | None = None
    join: Few = 1  # neighbouring dialogues of one exchange become one of this many
    license: str = "unknown"
    # A file of which no row, or none from some place on, can be read: stop the build, or go on without those rows.
    unreadable_files: Literal["stop", "skip"] = "stop"

    @model_validator(mode="after")
    def one_place(self) -> "Source":
        if (self.path is None) == (self.hub is None):
            raise ValueError("expected exactly one of `path` (file or folder) and `hub` (data set name)")
        return self


class LanguageModel(Section):
    """A language model behind an OpenAI-compatible endpoint; its key, if it wants one, is in OPENAI_API_KEY."""

    url: str  # up to and without /chat/completions
    model: str  # by the endpoint's name for it
    rewrites: Literal["dialogue", "replies"] = "dialogue"  # both roles (BayLing-Duplex), or replies alone (FLM-Audio)
    prompt: PathText | None = None  # a file of one's own, relative to the working folder; None: the one that ships
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    max_tokens: Annotated[int, Field(gt=0, le=1_000_000)] = 2048  # of an answer
    at_once: Many = 16  # requests under way at the same time, at most partition_size
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    attempts: Few = 3  # answers asked for before a dialogue is rejected


class Rewriting(Section):
    engine: str = "rules"
    llm: LanguageModel | None = None
    max_user_words: Many = 60  # a longer question is rejected; Chinese counts characters
    max_reply_words: Many = 60  # a longer reply is cut at the end of a sentence
    max_exchanges: Few = 6  # later exchanges are left out


class CosyVoice(Section):
    """CosyVoice v1, v2 or v3. Paths are relative to the working folder."""

    model: PathText  # a folder as it is published, such as models/CosyVoice2-0.5B
    bank: PathText  # a folder that `duplexgen voices prepare` made
    source: PathText | None = (
        None  # a clone of the CosyVoice repository; None: the package `cosyvoice` that is installed
    )
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    compile: bool = False  # torch.compile of the language model's steps (v2, v3) and the flow's blocks; slower to start
    tensorrt: bool = False  # the flow's estimator as a TensorRT engine, made on first use; needs a GPU and the package
    # Positions decoded together, which is what takes memory: utterances of a batch times the longest of them. 25 for
    # each second of an utterance and of its voice's clip (v1: 50), and one for each token of what is said in either.
    batch_tokens: Annotated[int, Field(gt=0, le=10_000_000)] = 8192
    num_gpus: GPUs = 1.0  # 0.5 puts two on a GPU, 0 runs on the processor


class Gate(Section):
    """What an utterance must pass before it is taken; otherwise it is spoken again with another seed."""

    # Word error rate of a transcript; Chinese counts characters. In a short text two words may be misheard all the same
    # (unless it is 0), if of all its letters no larger share than this is wrong, or one letter alone.
    max_wer: Share | None = None
    whisper: PathText = "large-v3"  # a size that faster-whisper knows, or a folder
    # For Whisper, in the actor of the engine: the larger of the two shares is asked for. None: the engine's; 0: Whisper
    # runs on the processor.
    num_gpus: GPUs | None = None
    min_dnsmos: Annotated[float, Field(ge=1, le=5)] | None = None  # overall (OVRL)
    min_similarity: Annotated[float, Field(ge=-1, le=1)] | None = None  # cosine of speaker embeddings, to the prompt
    max_silence_s: Annotated[float, Field(gt=0, le=600)] | None = None  # at the start, or between two words
    max_repeats: Many | None = None  # how often a phrase may be said again at once, beyond its text


class Speech(Section):
    engine: str = "kokoro"
    cosyvoice: CosyVoice | None = None
    gate: Gate | None = None
    assistant_voice: str
    user_voices: Literal["all", "held_out"] | list[str] = "all"  # every training voice, or every one kept from them
    renditions: Many = 1  # each transcript spoken by this many different user voices
    loudness_lufs: Annotated[float, Field(ge=-40, le=-12)] = -23.0
    max_attempts: Few = 3


class Timing(Section):
    """BayLing-Duplex section 3; what it leaves open is marked ours in the documentation."""

    scenario: Literal["turn_taking", "interruption"]
    takes: Many = 1  # each spoken dialogue laid out this many times, every time with other draws
    lead_in_s: Range = Range(low=0.0, high=0.8)
    reply_delay_s: Seconds = 0.8
    next_turn_gap_s: Range = Range(low=0.5, high=3.0)
    tail_s: Seconds = 0.8
    reaction_delay_s: Range = Range(low=0.8, high=2.0)
    interruption_probability: Share = 1.0
    heard_before_barge_in_s: Seconds = 0.5
    longest_negative_delay_s: Seconds = 5.0
    fade_s: Annotated[float, Field(gt=0, le=0.2)] = 0.03


class GLM4Voice(Section):
    """The speech tokenizer of GLM-4-Voice."""

    checkpoint: PathText  # a folder as it is published, glm-4-voice-tokenizer, relative to the working folder
    mode: Literal["offline", "streaming"] = "offline"  # streaming: a block's codes know nothing of what follows it
    block_frames: Annotated[int, Field(gt=0, le=1000)] = (
        10  # that streaming commits at a time; layout.user_tokens is a multiple of it
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_gpus: GPUs = 0.0


class Mimi(Section):
    checkpoint: PathText  # a folder or a name on the Hub that transformers' MimiModel loads
    codebooks: Annotated[int, Field(gt=0, le=32)] = 8
    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_gpus: GPUs = 0.0


class Pretrained(Section):
    """The text tokenizer of a language model."""

    folder: PathText  # with tokenizer.json, or GLM-4-Voice's tokenizer.model; relative to the working folder


class Tokens(Section):
    speech_tokenizer: str = "melvq"
    text_tokenizer: str = "bpe"
    glm4voice: GLM4Voice | None = None
    mimi: Mimi | None = None
    pretrained: Pretrained | None = None


class Layout(Section):
    name: str = "bayling"
    user_tokens: Annotated[int, Field(gt=0, le=1000)] = 10  # N: speech tokens a block a channel
    text_tokens: Annotated[int, Field(gt=0, le=1000)] = 5  # M: text tokens a block
    ast_offset: Annotated[int, Field(ge=-1, le=0)] = -1


class Output(Section):
    sample_rate: Annotated[int, Field(ge=8000, le=192_000)] = 16000
    audio: Literal["flac", "none"] = "flac"
    shard_mb: Annotated[int, Field(gt=0, le=100_000)] = 500


class Recipe(Section):
    """Everything that changes the output of a build."""

    name: Name
    description: str = ""
    license: str = "other"  # of the data set that is built, an SPDX-like name for the data card
    seed: Seed = 0
    partition_size: Annotated[int, Field(gt=0, le=100_000)] = 64  # transcripts a partition
    max_rejected_share: Share = 0.5  # a build that rejects more stops with an error
    sources: Annotated[list[Source], Field(min_length=1, max_length=1000)]
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
