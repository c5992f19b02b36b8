"""What a speech engine is, and what it says about its voices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from pipeline.dialogue import Waveform
from pipeline.errors import DialogueRejected


@dataclass(frozen=True, slots=True)
class Voice:
    name: str
    languages: tuple[str, ...]  # ISO 639-1, those it can be understood in
    sex: Literal["female", "male"]
    provenance: str  # where it comes from, in words
    split: Literal["train", "eval"] | None = None  # None: can be named in a recipe, never drawn


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """One utterance to be spoken."""

    text: str
    voice: str
    language: str  # ISO 639-1
    seed: int  # a function of the dialogue, the turn, the voice and the attempt; any other randomness is wrong


class SpeechEngine(Protocol):
    """Text to waveform. The class is what travels to workers; what it holds is made there by `load`.

    `voices` and `fingerprint` are asked for by the command line and the planner: they load no model. Two
    engines of the same fingerprint give the same waveform for the same request, in whatever batch it stands.
    """

    name: ClassVar[str]
    sample_rate: ClassVar[int]  # Hz
    languages: ClassVar[frozenset[str]]  # ISO 639-1, those whose text it can read
    uses_seed: ClassVar[bool]  # False: another seed gives the same waveform, so nothing is tried twice

    @classmethod
    def voices(cls) -> Mapping[str, Voice]: ...

    @classmethod
    def fingerprint(cls) -> Mapping[str, str]:
        """Versions and checksums of everything that shapes the waveforms."""
        ...

    def load(self) -> None:
        """Load the model, once, in the process that will speak."""
        ...

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Waveform | DialogueRejected]:
        """Waveforms, f32 mono [samples] at `sample_rate`, one a request in the order of the requests.

        A text that cannot be spoken gives a `DialogueRejected` in its place, so that the rest of the batch is
        not lost.
        """
        ...
