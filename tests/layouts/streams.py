"""Tracks and vocabularies for the tests of layouts of parallel streams, small enough to read.

Codes tell their frame: the assistant's are the number of the frame, in all codebooks, and the user's 50 more.
"""

from collections.abc import Sequence

import numpy as np

from duplexgen.pipeline.dialogue import TURN, CodedTrack, Event, Role, Word
from duplexgen.pipeline.layouts.flm import FLM, FLMSection, FLMVocabulary, Format
from duplexgen.pipeline.layouts.moshi import Moshi, MoshiSection, MoshiVocabulary
from duplexgen.pipeline.layouts.stream_ids import AudioTable, Special

SPF = 1280
WAIT, ASR, ANSWER = 200, 201, 202
PAD, EPAD, INITIAL = 203, 204, 205
CODES, AUDIO_PAD, AUDIO_START = 100, 100, 101
TEXT_SIZE, END_OF_TEXT = 200, 206


def table(codebooks: int, start: int | None) -> AudioTable:
    return AudioTable(codebooks=codebooks, codes=CODES, pad=AUDIO_PAD, start=start)


def specials(ids: dict[str, int]) -> dict[str, Special]:
    return {name: Special(id=id_, token=f"<{name}>") for name, id_ in ids.items()}


def flm(format_: Format = "response_tts", codebooks: int = 2, lead: int = 2, delay: int = 1) -> FLM:
    special = specials({"wait": WAIT, "asr": ASR, "answer": ANSWER})
    vocabulary = FLMVocabulary(TEXT_SIZE, END_OF_TEXT, special, table(codebooks, AUDIO_START))
    return FLM(FLMSection(format=format_, text_lead=lead, acoustic_delay=delay), vocabulary, SPF)


def moshi(codebooks: int = 2, delay: int = 1, spaces: bool = True) -> Moshi:
    special = specials({"pad": PAD, "epad": EPAD, "initial": INITIAL})
    vocabulary = MoshiVocabulary(TEXT_SIZE, END_OF_TEXT, special, table(codebooks, None))
    return Moshi(MoshiSection(acoustic_delay=delay, spaces=spaces), vocabulary, SPF)


def event(
    channel: Role,
    first: float,
    past: float,
    *,
    whole: float | None = None,
    answers: int | None = None,
    cut_by: int | None = None,
    words: Sequence[Word] | None = None,
) -> Event:
    """An event from frame `first` to before frame `past`; both may lie within a frame."""
    start, end, whole_end = (round(frame * SPF) for frame in (first, past, past if whole is None else whole))
    return Event(0, channel, TURN, start, end, whole_end, answers, cut_by, None if words is None else tuple(words))


def word(text: str, first: float, past: float) -> Word:
    return Word(text, round(first * SPF), round(past * SPF))


def track(
    events: Sequence[Event], frames: int, codebooks: int = 2, margin: int = 2, texts: Sequence[str] = ()
) -> CodedTrack:
    codes = np.tile(np.arange(frames + margin, dtype=np.int16) % 50, (codebooks, 1))
    return CodedTrack(codes + 50, codes, margin, SPF, tuple(events), tuple(texts) or ("?",) * len(events))
