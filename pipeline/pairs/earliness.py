"""A track, and the same track with the assistant too early: it stops for an aside, or it answers into a pause.

Ours. Both sides have the same channel of the user and the same length, and end after the reply. Speech moves by whole
steps of the layout or ends with a frame, and its codes stay as they are.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..dialogue import ASIDES, CodedTrack, Event
from ..errors import DialogueRejected
from ..recipe.sections import Range
from .edits import LEAK_FRAMES, Edits, of_assistant
from .pair import FALSE_STOP, TAKE_OVER, Pair
from .recipe import PairsRecipe


@dataclass(frozen=True, slots=True)
class Early:
    """A reply that can stop early, or start early: where, in frames of the track."""

    event: int  # index of the reply
    mistake: str
    since: int  # the sample from which the wrong delay counts: the start of the aside, or of the pause
    frames: range  # of the track: one past its last one, if it stops early; its first one, if it starts early
    cause: int | None = None  # index of the aside


@dataclass(frozen=True)
class EarlyPairs:
    """Makes pairs of replies that stop or start too early, from the tracks of one data set."""

    recipe: PairsRecipe
    edits: Edits
    sample_rate: int  # Hz

    def possible(self, track: CodedTrack, mistake: str) -> list[Early]:
        """The replies of a track that can make a mistake; raises DialogueRejected if there are none."""
        found = list(self._stops(track) if mistake == FALSE_STOP else self._starts(track))
        if not found:
            what = "no aside is said during a reply" if mistake == FALSE_STOP else "no turn with a pause is answered"
            raise DialogueRejected(f"no_{mistake}", f"{what}, or there is no room for the mistake")
        return found

    def pair(self, track: CodedTrack, early: Early, rng: np.random.Generator) -> Pair:
        """early: one of `possible`."""
        frame = early.frames[int(rng.integers(len(early.frames)))]
        reply, samples = track.events[early.event], frame * track.samples_per_frame
        if early.mistake == FALSE_STOP:
            chosen, rejected = self._stopping(track, early, frame)
            delays = reply.end_sample - early.since, samples - early.since
        else:
            chosen, rejected, earlier = self._starting(track, early, frame)
            own = reply.start_sample - track.events[_answered(reply)].end_sample
            delays = own, own - earlier
        return Pair(early.event, early.mistake, chosen, rejected, *delays, capped=False)

    def _stops(self, track: CodedTrack) -> Iterator[Early]:
        """Asides that are said during a reply, which goes on for long enough."""
        least = math.ceil(self.recipe.least_difference_s * self.sample_rate)
        for index, aside in enumerate(track.events):
            if aside.kind not in ASIDES or aside.channel != "user":
                continue
            for number, reply in _replies(track.events):
                if not reply.start_sample <= aside.start_sample < aside.end_sample <= reply.end_sample:
                    continue
                first, last = self._edges(aside.start_sample, self.recipe.false_stop_delay_s)
                last = min(last, (reply.end_sample - least) // track.samples_per_frame)
                if first <= last and self._end(track, number) is not None:
                    yield Early(number, FALSE_STOP, aside.start_sample, range(first, last + 1), index)

    def _starts(self, track: CodedTrack) -> Iterator[Early]:
        """Pauses of turns that are answered. A reply moves by whole steps, over silence alone."""
        frame, step = track.samples_per_frame, self.edits.layout.step_frames
        for number, reply in _replies(track.events):
            turn, start = track.events[_answered(reply)], reply.start_sample // frame
            quiet = self._quiet_from(track, number)
            for pause in turn.pauses:
                first, last = self._edges(pause.start_sample, self.recipe.take_over_delay_s)
                first, last = max(first, quiet), min(last, pause.end_sample // frame - 1)
                frames = range(start - (start - first) // step * step, last + 1, step) if first <= start else range(0)
                if len(frames) and self._end(track, number) is not None:
                    yield Early(number, TAKE_OVER, pause.start_sample, frames)

    def _edges(self, since: int, delays: Range) -> tuple[int, int]:
        """The first and the last frame within the delays after a sample."""
        frame = self.edits.layout.samples_per_frame
        low, high = (since + round(delay_s * self.sample_rate) for delay_s in (delays.low, delays.high))
        return -(-low // frame), high // frame

    def _quiet_from(self, track: CodedTrack, reply: int) -> int:
        """The first frame from which on the assistant says nothing before a reply, as its row can tell."""
        layout, frame = self.edits.layout, track.samples_per_frame
        before = [event for event in track.events[:reply] if event.channel == "assistant"]
        first = max([layout.first_assistant_frame + layout.step_frames, *(_past(event, frame) for event in before)])
        end = max((event.end_sample for event in before), default=None)
        while end is not None and not layout.may_follow(end, first * frame):
            first += 1
        return first + LEAK_FRAMES

    def _end(self, track: CodedTrack, reply: int) -> int | None:
        """How many frames both sides have: to the end of the reply. None if they would tell of a later one."""
        end = _past(track.events[reply], track.samples_per_frame) + LEAK_FRAMES
        following = of_assistant(track.events, reply)
        return None if following and self.edits.last_end(track, following[0]) < end else end

    def _stopping(self, track: CodedTrack, early: Early, stop: int) -> tuple[CodedTrack, CodedTrack]:
        """Let the reply stop after `stop` frames of the track; silence follows it."""
        end = self._end(track, early.event)
        assert end is not None, "it was looked for before"
        chosen, codes = self.edits.ending(track, end), track.assistant_codes
        silence = self.edits.silence(chosen, "assistant", end, end - stop)
        stopped = np.concatenate([codes[:, :stop], silence, codes[:, end:]], axis=1)
        events = list(track.events)
        heard = events[early.event].stopped(stop * track.samples_per_frame)
        events[early.event] = replace(heard, cut_by=early.cause)
        return chosen, self.edits.ending(replace(track, assistant_codes=stopped, events=tuple(events)), end)

    def _starting(self, track: CodedTrack, early: Early, start: int) -> tuple[CodedTrack, CodedTrack, int]:
        """Let the reply start with frame `start`; the silence before it comes after it. And by how many samples."""
        end, frame = self._end(track, early.event), track.samples_per_frame
        assert end is not None, "it was looked for before"
        chosen, codes, reply = self.edits.ending(track, end), track.assistant_codes, track.events[early.event]
        frames = reply.start_sample // frame - start
        first = reply.start_sample // frame - LEAK_FRAMES
        silence = self.edits.silence(chosen, "assistant", end, frames)
        moved = np.concatenate([codes[:, : first - frames], codes[:, first:end], silence, codes[:, end:]], axis=1)
        events = list(track.events)
        events[early.event] = replace(reply.later(-frames * frame), answers=None)
        return (
            chosen,
            self.edits.ending(replace(track, assistant_codes=moved, events=tuple(events)), end),
            frames * frame,
        )


def _replies(events: Sequence[Event]) -> Iterator[tuple[int, Event]]:
    return ((index, event) for index, event in enumerate(events) if event.answers is not None)


def _answered(reply: Event) -> int:
    assert reply.answers is not None, "only replies are asked for"
    return reply.answers


def _past(event: Event, frame_samples: int) -> int:
    """One past the last frame in which an event is heard."""
    return -(-event.end_sample // frame_samples)
