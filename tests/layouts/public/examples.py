"""Dialogues to lay out by hand, by our layouts, and by the public programs. Each code says where it stands in a track.

A code is 1000 · channel (0 for the user, 1 for the assistant) + 100 · codebook + frame: 1305 is frame 5 of the
assistant in codebook 3.
"""

from dataclasses import dataclass, replace

import numpy as np

from duplexgen.pipeline.dialogue import BARGE_IN, TURN, CodedTrack, Event, Role, Word
from duplexgen.pipeline.layouts.flm import Format

CODEBOOKS, CODES = 8, 2048
SPF, RATE = 1920, 24000  # samples per frame, 80 ms
MARGIN = 4
AUDIO_PAD, AUDIO_START = CODES, CODES + 1


def at(frame: int, samples: int = 0) -> int:
    """The sample so many samples after the start of a frame."""
    return frame * SPF + samples


def codes(channel: int, frames: int) -> np.ndarray:
    """[codebooks, frames]"""
    return (1000 * channel + 100 * np.arange(CODEBOOKS)[:, None] + np.arange(frames)).astype(np.int16)


def track(frames: int, *events: Event) -> CodedTrack:
    assert frames + MARGIN <= 100, "a code has two digits for its frame"
    stored = frames + MARGIN
    return CodedTrack(codes(0, stored), codes(1, stored), MARGIN, SPF, events, tuple(map(str, range(len(events)))))


def event(channel: Role, start: int, end: int, answers: int | None = None) -> Event:
    return Event(0, channel, TURN, start, end, end, answers)


def cut(whole: Event, end: int, by: int) -> Event:
    return replace(whole, end_sample=end, cut_by=by)


@dataclass(frozen=True)
class FlmExample:
    format: Format
    track: CodedTrack
    texts: tuple[tuple[int, ...], ...]  # ids of the whole text of each event


def ids(event: int, count: int) -> tuple[int, ...]:
    """Text ids that say whose they are: 1 + event in front, then which of its text."""
    return tuple(range(100 * (event + 1), 100 * (event + 1) + count))


FLM_TEXT, WAIT, ASR, ANSWER = 1000, 1000, 1001, 1002  # text ids are below 1000
FLM_SIZE = 1003

FLM: dict[str, FlmExample] = {
    # The first reply is cut in frame 36, with four of its 20 ids unwritten; the second starts and ends at borders of
    # frames, the third a sample before one.
    "response_tts": FlmExample(
        "response_tts",
        track(
            92,
            event("user", at(3, 500), at(12, 100)),
            cut(event("assistant", at(23, 700), at(48), 0), at(36, 1), by=2),
            replace(event("user", at(30), at(40, -1)), kind=BARGE_IN),
            event("assistant", at(50), at(60), 2),
            event("user", at(65), at(70)),
            event("assistant", at(80, -1), at(88, 3), 4),
        ),
        (ids(0, 7), ids(1, 20), ids(2, 8), ids(3, 5), ids(4, 3), ids(5, 3)),
    ),
    # The first reply starts as early as it may: its text follows <answer> at once. The others come later.
    "asr_response_tts": FlmExample(
        "asr_response_tts",
        track(
            90,
            event("user", at(2), at(8, 10)),
            event("assistant", at(17, 5), at(28), 0),
            event("user", at(33, 1), at(40)),
            event("assistant", at(50), at(58, 1), 2),
            event("user", at(64, 1919), at(66, 1)),
            event("assistant", at(74, 1919), at(83), 4),
        ),
        (ids(0, 4), ids(1, 6), ids(2, 3), ids(3, 4), ids(4, 1), ids(5, 2)),
    ),
    # The first piece starts in frame 2: no earlier one has room for its text. The second text runs to its last frame.
    "tts": FlmExample(
        "tts",
        track(48, event("assistant", at(2), at(15, 1)), event("assistant", at(25, 7), at(37, -5))),
        (ids(0, 5), ids(1, 14)),
    ),
    "asr": FlmExample(
        "asr",
        track(48, event("user", at(0), at(9)), event("user", at(20, 3), at(30, 1))),
        (ids(0, 6), ids(1, 3)),
    ),
}


@dataclass(frozen=True)
class MoshiExample:
    track: CodedTrack  # its events have words
    tokens: dict[str, tuple[int, ...]]  # ids of each word

    def swapped(self) -> CodedTrack:
        """The track as the user sees it: each is the other."""
        other: dict[Role, Role] = {"user": "assistant", "assistant": "user"}
        events = tuple(replace(event, channel=other[event.channel]) for event in self.track.events)
        user, assistant = self.track.assistant_codes, self.track.user_codes
        return replace(self.track, events=events, user_codes=user, assistant_codes=assistant)


MOSHI_TEXT, PAD, EPAD = 200, 3, 0
INITIAL = MOSHI_TEXT


def said(channel: Role, *words: tuple[str, int, int], end: int | None = None, answers: int | None = None) -> Event:
    """An event of these words: text, first sample, one past the last."""
    last = max(word[2] for word in words)
    whole = Event(0, channel, TURN, words[0][1], last, last, answers, words=tuple(Word(*word) for word in words))
    return whole if end is None else whole.stopped(end)


MOSHI: dict[str, MoshiExample] = {
    # A word in frame 0; three words that start in one frame, of which the last stays; a word of five ids, of which the
    # next leaves two; a sign without a duration; words right at a border of frames.
    "words": MoshiExample(
        track(
            72,
            said(
                "assistant",
                ("zero", at(0), at(3)),
                ("one", at(5, 1919), at(6, 300)),
                ("two", at(6, 400), at(6, 900)),
                ("three", at(6, 900), at(6, 1800)),
                ("four", at(6, 1900), at(8)),
                ("five", at(11, 1), at(13)),
                ("–", at(13, 50), at(13, 50)),
                ("six", at(13, 60), at(15)),
                ("seven", at(29), at(31)),
                ("eight", at(57), at(58, -1)),
            ),
            said("user", ("well", at(34, 5), at(36)), ("then", at(36), at(37, 3))),
        ),
        {
            "zero": (10,),
            "one": (11,),
            "two": (12, 13),
            "three": (14,),
            "four": (15, 16),
            "five": (20, 21, 22, 23, 24),
            "–": (30,),
            "six": (31, 32),
            "seven": (33,),
            "eight": (34, 35),
            "well": (40, 41),
            "then": (42,),
        },
    ),
    # A reply that is cut inside a word: its last word has more ids than frames are left, and the next reply takes over.
    # A turn of the user begins where another has just ended, and a reply's last word is in the last frame.
    "cut": MoshiExample(
        track(
            64,
            said("user", ("stop", at(2, 3), at(5)), ("now", at(5), at(6, 1))),
            said(
                "assistant",
                ("a", at(16, 7), at(17)),
                ("long", at(17, 1), at(20)),
                ("story", at(22, 9), at(30)),
                ("never", at(30), at(33)),
                end=at(24, 1),
                answers=0,
            ),
            said("user", ("wait", at(20, 9), at(22)), ("please", at(22, 1), at(24))),
            said("user", ("go", at(24), at(25))),
            said("assistant", ("fine", at(27, 1), at(28)), ("done", at(63, 5), at(64)), answers=3),
        ),
        {
            "stop": (50,),
            "now": (51, 52, 53),
            "a": (54,),
            "long": (55, 56),
            "story": (57, 58, 59, 60, 61, 62, 63),
            "never": (70,),
            "wait": (71, 72),
            "please": (73, 74),
            "go": (75,),
            "fine": (76,),
            "done": (77, 78),
        },
    ),
    "silent": MoshiExample(track(20, said("user", ("hello", at(4, 2), at(7)))), {"hello": (80, 81)}),
}
