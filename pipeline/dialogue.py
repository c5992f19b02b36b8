"""The records that flow through the pipeline, from written text to two channels of audio."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["user", "assistant"]
CHANNELS: tuple[Role, Role] = ("user", "assistant")
"""Channel 0 is the user, channel 1 the assistant, everywhere."""

Waveform = NDArray[np.float32]  # [samples], in [-1, 1]
Codes = NDArray[np.int16]  # [codebooks, frames]


TURN, BARGE_IN = "turn", "barge_in"
FOLLOW_UP, NEGATION, REPETITION = "follow_up", "negation", "repetition"
TOPIC_SWITCH, SILENCE_REQUEST = "topic_switch", "silence_request"
BACKCHANNEL, BYSTANDER, SIDE_TALK = "backchannel", "bystander", "side_talk"
STOPPING = (BARGE_IN, FOLLOW_UP, NEGATION, REPETITION, TOPIC_SWITCH, SILENCE_REQUEST)
"""Turns of the user's that start while the assistant speaks, and stop it. After a silence request, nobody answers.

All but the first, of which nothing more is known, are those of HumDial (arXiv 2604.21406).
"""
ASIDES = (BACKCHANNEL, BYSTANDER, SIDE_TALK)
"""What is said without taking the floor: nobody stops, and nobody answers. A bystander is a third voice on the user's
channel; side talk is the user's, to somebody else."""
KINDS = (TURN, *STOPPING, *ASIDES)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says. An aside follows the turn during which it is said."""

    role: Role  # whose channel it is on
    text: str
    kind: str = TURN  # one of KINDS; one of STOPPING is an ordinary turn where it cannot interrupt
    at_word: int | None = None  # after which word of the turn it interrupts or accompanies, from 0; None: any

    @property
    def takes_floor(self) -> bool:
        return self.kind not in ASIDES


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
    end_sample: int  # at or after its start; a sign that stands alone, such as a dash, may take no time


_HAN = r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNIT = rf"(?:[{_HAN}]|(?:(?![{_HAN}])\w)+(?:['’](?:(?![{_HAN}])\w)+)*)"
_UNSPACED = {"zh": re.compile(rf"[^\w\s]*{_UNIT}[^\w\s]*|\S+")}
"""Languages without spaces between words. Each of their characters is a word, and so is a run of other letters and
digits. A sign belongs to the word before it; at the start of a text, or after a space, to the word after it."""


def words_of(text: str, language: str) -> list[str]:
    """The words of a text, as every part of the pipeline that knows their times splits it. Joined, they are the text
    without its spaces.

    language: ISO 639-1.
    """
    unspaced = _UNSPACED.get(language)
    return unspaced.findall(text) if unspaced else text.split()


FIGURES = (
    *("wer", "dnsmos", "similarity", "seconds_per_character"),
    *("leading_silence_s", "longest_pause_s", "repeats"),
)
"""Names of the figures that an utterance may have."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One turn as speech: trimmed to speech, levelled, at the voice engine's own rate."""

    role: Role
    text: str
    voice: str
    waveform: Waveform  # [samples]
    sample_rate: int  # Hz
    words: tuple[Word, ...] | None = None  # in order, in samples of the waveform; None: their times are not known
    quality: Mapping[str, float] | None = None  # those of FIGURES that were measured; None: none was measured
    kind: str = TURN  # as `Turn` has it
    at_word: int | None = None


@dataclass(frozen=True, slots=True)
class SpokenDialogue:
    """A dialogue as speech: one utterance per turn, asides included."""

    id: str
    source: str
    language: str
    utterances: tuple[Utterance, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence between two words of one utterance: its speaker hesitates and goes on."""

    start_sample: int
    end_sample: int

    @property
    def num_samples(self) -> int:
        return self.end_sample - self.start_sample


@dataclass(frozen=True, slots=True)
class Event:
    """Where one utterance is heard. All positions are samples from the start of the track."""

    utterance: int  # its index among the utterances of the dialogue
    channel: Role
    kind: str  # what happens: one of KINDS
    start_sample: int
    end_sample: int  # where its audio stops; before `whole_end_sample` if it was cut
    whole_end_sample: int  # where its audio would have stopped without a cut
    answers: int | None = None  # index of the event that it replies to
    cut_by: int | None = None  # index of the event at which its speaker stops
    words: tuple[Word, ...] | None = None  # that are heard, on the track; None: their times are not known, or not yet
    pauses: tuple[Pause, ...] = ()  # on the track, in order, within the event; an event that is cut has none

    @property
    def is_cut(self) -> bool:
        return self.end_sample < self.whole_end_sample

    def later(self, samples: int) -> "Event":
        """The event, moved by so many samples."""
        words = self.words and tuple(
            Word(word.text, word.start_sample + samples, word.end_sample + samples) for word in self.words
        )
        pauses = (Pause(pause.start_sample + samples, pause.end_sample + samples) for pause in self.pauses)
        return replace(
            self,
            start_sample=self.start_sample + samples,
            end_sample=self.end_sample + samples,
            whole_end_sample=self.whole_end_sample + samples,
            words=words,
            pauses=tuple(pauses),
        )

    def stopped(self, sample: int) -> "Event":
        """The event, heard up to this sample at most."""
        words = self.words and tuple(
            Word(word.text, word.start_sample, min(word.end_sample, sample))
            for word in self.words
            if word.start_sample < sample
        )
        pauses = (
            Pause(pause.start_sample, min(pause.end_sample, sample))
            for pause in self.pauses
            if pause.start_sample < sample
        )
        return replace(self, end_sample=min(self.end_sample, sample), words=words, pauses=tuple(pauses))


@dataclass(frozen=True, slots=True)
class Timeline:
    """The events of a dialogue, in order of start."""

    events: tuple[Event, ...]
    num_samples: int  # of each channel


@dataclass(frozen=True, slots=True)
class Track:
    """Two channels of 16 bit samples, which are stored as audio and tokenized."""

    samples: NDArray[np.int16]  # [2, samples]; 0 = user, 1 = assistant
    sample_rate: int  # Hz


@dataclass(frozen=True, slots=True)
class Uncut:
    """Codes of the assistant's channel from one frame on, as they would be if one reply had not been cut."""

    event: int  # index of the reply among the events
    first_frame: int
    codes: Codes  # [codebooks, frames], to the end of the whole reply, or of the part that is stored
    words: tuple[Word, ...] | None = None  # of the whole reply, on the track; None: their times are not known


@dataclass(frozen=True, slots=True)
class CodedTrack:
    """A track as codes, not shifted, with its events. It knows no layout.

    After the last frame come `margin_frames` frames of tokenized silence, for layouts that run ahead of the track or
    fill up its last block.
    """

    user_codes: Codes  # [codebooks, frames + margin_frames]
    assistant_codes: Codes  # [codebooks, frames + margin_frames]
    margin_frames: int
    samples_per_frame: int  # at the rate that events count in
    events: tuple[Event, ...]
    texts: tuple[str, ...]  # the whole text of each event
    uncut: tuple[Uncut, ...] = ()

    @property
    def frames(self) -> int:
        """Frames of the track, without the margin."""
        return int(self.user_codes.shape[1]) - self.margin_frames
