"""What a speech engine is, and what it says about its voices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..dialogue import Waveform, Word
from ..errors import DialogueRejected
from ..recipe.file import Problem
from .guard import BadSpeechError
from .section import Speech


@dataclass(frozen=True, slots=True)
class Voice:
    name: str
    languages: tuple[str, ...]  # ISO 639-1, those that it speaks well enough to be understood
    sex: Literal["female", "male"] | None  # None: not known
    provenance: str  # where it comes from, in words
    split: Literal["train", "eval"] | None = None  # None: can be named in a recipe, never drawn


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an engine clones a voice from."""

    text: str  # its transcript
    samples: Waveform  # f32 [samples]
    sample_rate: int  # Hz
    sha256: str  # of the file


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """One utterance to be spoken."""

    text: str
    voice: str
    language: str  # ISO 639-1
    seed: int  # of the dialogue, the turn, the voice and the attempt; an engine may draw from nothing else


@dataclass(frozen=True, slots=True)
class RawSpeech:
    """The speech of an engine for a request, neither trimmed nor levelled."""

    waveform: Waveform  # f32 mono [samples], at the engine's rate
    # `words_of` the request's text, in order, in samples of the waveform; None: the engine does not know their times.
    words: tuple[Word, ...] | None = None


class SpeechEngine(Protocol):
    """Text to waveform. Made of a recipe's section and pickled to workers before `load`, which happens there.

    The command line and the planner use everything but `load` and `speak`, which therefore loads no model and imports
    nothing heavy. Two engines of one fingerprint give the same waveforms for the same requests, and for one request the
    same in any batch, but for rounding that the engine's own documentation states.
    """

    def __init__(self, spec: Speech) -> None: ...

    @property
    def name(self) -> str: ...

    @property
    def sample_rate(self) -> int:
        """Hz."""
        ...

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1, those whose text it can read."""
        ...

    @property
    def uses_seed(self) -> bool:
        """False: another seed gives the same waveform, so nothing is tried twice."""
        ...

    @property
    def times_words(self) -> bool:
        """Whether its speech comes with the times of its words."""
        ...

    @property
    def num_gpus(self) -> float:
        """GPUs, or the share of one, of an actor that speaks."""
        ...

    def check(self) -> list[Problem]:
        """Problems of the recipe's section that prevent speaking on this machine, such as missing files."""
        ...

    def voices(self) -> Mapping[str, Voice]: ...

    def prompt(self, voice: str) -> Prompt | None:
        """The recording that a voice is cloned from, if it is."""
        ...

    def fingerprint(self) -> Mapping[str, str]:
        """Versions and checksums of everything that shapes the waveforms: no path, a device only if it does."""
        ...

    def load(self) -> None:
        """Load the model, once, in the process that will speak."""
        ...

    def speak(self, requests: Sequence[SpeechRequest]) -> Sequence[RawSpeech | DialogueRejected | BadSpeechError]:
        """The speech of each request, in the order of the requests.

        All requests of a partition come at once; the engine decides which of them it speaks together. In the place of
        its speech, a text that cannot be spoken gives a DialogueRejected. Speech that another seed may mend gives a
        BadSpeechError.
        """
        ...
