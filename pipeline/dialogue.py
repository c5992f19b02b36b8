"""The records that flow through the pipeline, from written text to two channels of audio."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["user", "assistant"]
Scenario = Literal["turn_taking", "interruption"]
CHANNELS: tuple[Role, Role] = ("user", "assistant")
"""Channel 0 is the user, channel 1 the assistant, everywhere."""

Waveform = NDArray[np.float32]  # [samples], in [-1, 1]
Codes = NDArray[np.int16]  # [codebooks, frames]


@dataclass(frozen=True, slots=True)
class Turn:
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue as text: written as the source has it, or spoken once it has been rewritten."""

    id: str
    source: str
    language: str  # ISO 639-1, lower case: en, zh
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a dialogue is not in the data set: one row of the rejected table."""

    dialogue_id: str
    stage: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Word:
    """One word of an utterance, and where it is heard: samples from the start of its waveform or track."""

    text: str
    start_sample: int
    end_sample: int  # not before its start; a sign that stands alone, such as a dash, may take no time


_HAN = r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNIT = rf"(?:[{_HAN}]|(?:(?![{_HAN}])\w)+(?:['’](?:(?![{_HAN}])\w)+)*)"
_UNSPACED = {"zh": re.compile(rf"[^\w\s]*{_UNIT}[^\w\s]*|\S+")}
"""Languages that part no words by spaces: a character of theirs is a word, and so is a run of other letters and digits;
signs belong to what is before them, at the start of a text or after a space to what is after them."""


def words_of(text: str, language: str) -> list[str]:
    """What the words of a text are, wherever words have times; without its spaces, the text is what they add up to.

    language: ISO 639-1.
    """
    unspaced = _UNSPACED.get(language)
    return unspaced.findall(text) if unspaced else text.split()


FIGURES = (
    *("wer", "dnsmos", "similarity", "seconds_per_character"),
    *("leading_silence_s", "longest_pause_s", "repeats"),
)
"""What may be measured of an utterance."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One turn as speech: trimmed to speech, levelled, at the voice engine's own rate."""

    role: Role
    text: str
    voice: str
    waveform: Waveform  # [samples]
    sample_rate: int  # Hz
    words: tuple[Word, ...] | None = None  # in order, on the waveform; None: nobody knows when words are heard
    quality: Mapping[str, float] | None = None  # those of FIGURES that were measured; None: nothing was


@dataclass(frozen=True, slots=True)
class SpokenDialogue:
    id: str
    source: str
    language: str
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one utterance stands. All positions are samples from the start of the track."""

    role: Role
    start_sample: int
    end_sample: int  # where its audio stops; before `natural_end_sample` if it was interrupted
    natural_end_sample: int  # where it would have stopped
    reaction_samples: int | None = None  # barge-in to stop; only of an interrupted reply

    @property
    def interrupted(self) -> bool:
        return self.reaction_samples is not None


@dataclass(frozen=True, slots=True)
class Timeline:
    """Who speaks from which sample to which, in order of turns."""

    placements: tuple[Placement, ...]
    num_samples: int  # length of both channels


@dataclass(frozen=True, slots=True)
class Track:
    """Two channels of equal length, 16 bit: what is kept as audio and what is tokenized."""

    samples: NDArray[np.int16]  # [2, samples]; 0 = user, 1 = assistant
    sample_rate: int
