"""What a recipe may say of speech: engine, voices, the gate."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..recipe.sections import Few, GPUs, Many, Section, Share
from ..storage.paths import PathText


class CosyVoice(Section):
    """CosyVoice v1, v2 or v3. Paths are relative to the working folder."""

    model: PathText  # a folder as it is published, such as models/CosyVoice2-0.5B
    bank: PathText  # a folder that `duplexgen voices prepare` made
    source: PathText | None = (
        None  # a clone of the CosyVoice repository; None: the package `cosyvoice` that is installed
    )
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    # Positions that are decoded together and take memory: the utterances of a batch times the longest of them, rounded
    # up. A second of an utterance or of its voice's clip has 25 (v1: 50), and each token of the texts of both has one.
    # None: as many as the memory of the actor's share of a GPU allows.
    batch_tokens: Annotated[int, Field(gt=0, le=10_000_000)] | None = None
    num_gpus: GPUs = 1.0  # of an actor: 0.5 puts two on a GPU, 0 runs on the processor


class Gate(Section):
    """What an utterance must pass before it is taken; otherwise it is spoken again with another seed."""

    # Word error rate of a transcript; Chinese counts characters. Above it, up to two misheard words are allowed if
    # their wrong letters are few: one, or no larger share of the text's letters than this. With 0, none is.
    max_wer: Share | None = None
    whisper: PathText = "large-v3"  # a size that faster-whisper knows, or a folder
    # For Whisper, in the actor of the engine: the larger of the two shares is asked for. None: the engine's; 0: Whisper
    # runs on the processor.
    num_gpus: GPUs | None = None
    min_dnsmos: Annotated[float, Field(ge=1, le=5)] | None = None  # overall (OVRL)
    min_similarity: Annotated[float, Field(ge=-1, le=1)] | None = None  # cosine of speaker embeddings, to the prompt
    max_silence_s: Annotated[float, Field(gt=0, le=600)] | None = None  # at the start, or between two words
    max_repeats: Many | None = None  # how often a phrase may follow itself, beyond the text

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"whisper", "num_gpus"})


class Speech(Section):
    engine: str = "kokoro"
    cosyvoice: CosyVoice | None = None
    gate: Gate | None = None
    assistant_voice: str
    user_voices: Literal["all", "held_out"] | list[str] = "all"  # every training voice, or every held-out one
    renditions: Many = 1  # of each dialogue, each by another user voice
    loudness_lufs: Annotated[float, Field(ge=-40, le=-12)] = -23.0
    max_attempts: Few = 3

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"cosyvoice", "gate"})
