"""A track, and the same track with the assistant late (BayLing-Duplex sections 2.2 and 3).

Both sides have the same channel of the user and the same length. Speech moves by whole steps of the layout, and its
codes stay as they are. This is ours: to tokenize it again would change its content too. No layout is named here, and no
id is known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..dialogue import CodedTrack, Codes, Event, Role
from ..errors import DialogueRejected
from ..layouts.layout import Layout
from ..randomness import generator
from ..recipe.sections import Range
from ..scenarios.scenario import Late, Scenario
from .recipe import PairsRecipe

PURPOSE = "preferences"
LEAK_FRAMES = 1
"""A frame of silence next to speech may have codes of its own, so it is treated as part of the speech."""
SILENCE_AFTER_LATE_STOP_S = 0.16
"""Ours: after a late stop, the assistant is silent at least this long before it answers."""
NEXT_REPLY, OWN_END = "next_reply_too_soon", "reply_ends_too_soon"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tracks of equal length. They differ in when the assistant starts or stops one reply."""

    event: int  # index of that reply in the dialogue
    chosen: CodedTrack
    rejected: CodedTrack
    chosen_delay_samples: int  # user's end to the reply's start; if it was cut, barge-in to its stop
    rejected_delay_samples: int
    capped: bool  # the rejected delay is shorter than the drawn one: there was no room for more

    @property
    def difference_samples(self) -> int:
        return self.rejected_delay_samples - self.chosen_delay_samples


@dataclass(frozen=True, slots=True)
class Delay:
    """How much later a reply may be: a number of steps is drawn from low … high, and limited to most_samples."""

    late: Late
    low: int  # steps
    high: int  # steps
    most_samples: int | None  # the room that there is; None: any
    obstacle: str  # what limits it: the reason of a rejection


@dataclass(frozen=True)
class PairMaker:
    """Makes pairs from the tracks of one data set."""

    recipe: PairsRecipe
    scenario: Scenario
    layout: Layout
    sample_rate: int  # Hz

    def pair(self, dialogue_id: str, track: CodedTrack) -> Pair:
        """The pair of one track.

        Raises DialogueRejected if no reply can be late enough, and ValueError if the track breaks what `verify` checks.
        """
        if track.user_codes.shape != track.assistant_codes.shape or track.frames <= 0:
            raise ValueError(
                f"the codes have the shapes {track.user_codes.shape} and {track.assistant_codes.shape}, expected equal "
                "ones, longer than the margin"
            )
        rng = generator(self.recipe.seed, dialogue_id, PURPOSE)
        lates = self.scenario.late(track.events, self.sample_rate)
        if not lates:
            raise DialogueRejected("nothing_late", f"the scenario {self.scenario.name} knows no reply that may be late")
        delays = self._possible([self._delay(track, late) for late in lates])
        delay = delays[-1] if self.recipe.turn == "last" else delays[int(rng.integers(len(delays)))]
        drawn = int(rng.integers(delay.low, delay.high, endpoint=True)) * self.step_samples
        later = drawn if delay.most_samples is None else min(drawn, delay.most_samples)
        sides = self._stopping_late if delay.late.stops else self._starting_late
        chosen, rejected = sides(track, delay.late, later)
        own = delay.late.delay_samples
        return Pair(delay.late.event, chosen, rejected, own, own + later, capped=later < drawn)

    @property
    def step_samples(self) -> int:
        return self.layout.step_frames * self.layout.samples_per_frame

    def _possible(self, delays: Sequence[Delay]) -> list[Delay]:
        """The delays that make sides differ enough; raises DialogueRejected, with the best one's obstacle, if none."""
        least = max(math.ceil(self.recipe.least_difference_s * self.sample_rate), self.step_samples)
        drawable = [delay for delay in delays if delay.low <= delay.high]
        if not drawable:
            raise DialogueRejected("delays_out_of_range", "no delay of the recipe's range is later than the row's own")
        possible = [delay for delay in drawable if delay.most_samples is None or delay.most_samples >= least]
        if not possible:
            best = max(drawable, key=lambda delay: delay.most_samples or 0)
            most_s = max(0, best.most_samples or 0) / self.sample_rate
            raise DialogueRejected(
                best.obstacle,
                f"event {best.late.event} can be {most_s:.2f} s later at most, least_difference_s is "
                f"{self.recipe.least_difference_s:g}",
            )
        return possible

    def _delay(self, track: CodedTrack, late: Late) -> Delay:
        """How much later a reply can be.

        Both sides must leave out the reply after a late start, and of a late stop the reply after its answer.
        """
        delays = self.recipe.reaction_delay_s if late.stops else self.recipe.reply_delay_s
        following = _of_assistant(track.events, late.event)[1 if late.stops else 0 :]
        most = None if late.most_samples is None else late.most_samples - late.delay_samples
        obstacle = OWN_END
        if following:
            event, frame = track.events[late.event], track.samples_per_frame
            room = self._last_end(track, following[0]) - LEAK_FRAMES - -(-event.end_sample // frame)
            if most is None or room * frame < most:
                most, obstacle = room * frame, NEXT_REPLY
        if most is not None and not late.stops:
            most = most // self.step_samples * self.step_samples
        return Delay(late, *self._steps(delays, late.delay_samples), most, obstacle)

    def _steps(self, delays: Range, own_samples: int) -> tuple[int, int]:
        """The fewest and the most steps by which a reply with a delay of `own_samples` is to be later."""
        least = math.ceil(self.recipe.least_difference_s * self.sample_rate)
        earliest = max(least, round(delays.low * self.sample_rate) - own_samples)
        low = -(-earliest // self.step_samples)
        high = (round(delays.high * self.sample_rate) - own_samples) // self.step_samples
        return low, high

    def _last_end(self, track: CodedTrack, event: int) -> int:
        """The most frames that a side may have if its row is to tell nothing of an event of the assistant's."""
        start = track.events[event].start_sample
        frames = start // track.samples_per_frame - LEAK_FRAMES
        while frames > 0 and self.layout.announces(frames, start):
            frames -= 1
        return frames

    def _starting_late(self, track: CodedTrack, late: Late, later: int) -> tuple[CodedTrack, CodedTrack]:
        """Put silence before the reply: it and all that the assistant says later moves. Both sides end after it."""
        frame, event = track.samples_per_frame, track.events[late.event]
        first, frames = max(0, event.start_sample // frame - LEAK_FRAMES), later // frame
        end = -(-event.end_sample // frame) + frames + LEAK_FRAMES
        chosen = self._ending(track, end)
        silence = self._silence(chosen, "assistant", end, frames)
        codes = track.assistant_codes
        moved = np.concatenate([codes[:, :first], silence, codes[:, first:]], axis=1)
        events = _moved(track.events, late.event, later)
        return chosen, self._ending(replace(track, assistant_codes=moved, events=events), end)

    def _stopping_late(self, track: CodedTrack, late: Late, later: int) -> tuple[CodedTrack, CodedTrack]:
        """Let the reply go on as if it had not been cut. What the assistant says later moves if there is no room.

        Both sides end after the answer, or before the user's next turn, but not before the late stop.
        """
        frame, reply = track.samples_per_frame, track.events[late.event]
        stop = reply.end_sample + later
        past, total = -(-stop // frame), track.assistant_codes.shape[1]
        uncut = next(uncut for uncut in track.uncut if uncut.event == late.event)
        talking = uncut.codes[:, : past - uncut.first_frame]
        if talking.shape[1] < past - uncut.first_frame:
            raise ValueError(f"event {late.event} is to stop in frame {past}, and its uncut codes end before it")
        answers = _of_assistant(track.events, late.event)
        resumes = track.events[answers[0]].start_sample if answers else total * frame
        pause = self._pause(stop, resumes) if answers else 0
        end = self._common_end(track, late, past + LEAK_FRAMES, pause)
        chosen = self._ending(track, end)
        again = max(0, resumes // frame - LEAK_FRAMES) if answers else total
        codes = track.assistant_codes
        waiting = codes[:, past:again]
        missing = again + pause // frame - past - waiting.shape[1] if answers else 0
        silence = self._silence(chosen, "assistant", end, missing)
        whole = np.concatenate([codes[:, : uncut.first_frame], talking, waiting, silence, codes[:, again:]], axis=1)
        cut_by = reply.cut_by if stop < reply.whole_end_sample else None
        events = [*_moved(track.events, answers[0], pause)] if answers else [*track.events]
        goes_on = replace(reply, end_sample=reply.whole_end_sample, words=uncut.words)
        events[late.event] = replace(goes_on.stopped(stop), cut_by=cut_by)
        return chosen, self._ending(replace(track, assistant_codes=whole, events=tuple(events)), end)

    def _pause(self, stop: int, resumes: int) -> int:
        """By how many samples the answer after a late stop has to move: whole steps, 0 if there is enough time."""
        frame = self.layout.samples_per_frame
        silent = stop + round(SILENCE_AFTER_LATE_STOP_S * self.sample_rate)
        earliest = max(silent, (-(-stop // frame) + LEAK_FRAMES) * frame)
        pause = max(0, -(-(earliest - resumes) // self.step_samples)) * self.step_samples
        while not self.layout.may_follow(stop, resumes + pause):
            pause += self.step_samples
        return pause

    def _common_end(self, track: CodedTrack, late: Late, stopped: int, pause: int) -> int:
        """How many frames both sides have, at least `stopped`, if the answer moves by `pause` samples."""
        frame, barge_in = track.samples_per_frame, track.events[late.event].cut_by
        assert barge_in is not None, "a reply that can stop late was cut"
        answers = _of_assistant(track.events, late.event)
        if not answers:
            return stopped
        ends = [-(-(track.events[answers[0]].end_sample + pause) // frame) + LEAK_FRAMES]
        ends += [
            event.start_sample // frame
            for event in track.events[barge_in + 1 :]
            if event.channel == "user" and event.start_sample >= track.events[barge_in].end_sample
        ][:1]
        ends += [self._last_end(track, answers[1])] if len(answers) > 1 else []
        return max(stopped, min(ends))

    def _ending(self, track: CodedTrack, end: int) -> CodedTrack:
        """A track of `end` frames: its first ones, and its own silence if it has fewer.

        Later events are dropped, and an event that goes on is cut. The margin has the user's codes as they are, and the
        assistant's up to its next reply.
        """
        frame, stop, length = track.samples_per_frame, end * track.samples_per_frame, end + track.margin_frames
        of_assistant = [event for event in track.events if event.channel == "assistant" and event.end_sample > stop]
        own = min([length, *(max(end, event.start_sample // frame - LEAK_FRAMES) for event in of_assistant)])
        indices = sorted(
            (index for index, event in enumerate(track.events) if event.start_sample < stop),
            key=lambda index: track.events[index].start_sample,
        )
        place: dict[int | None, int] = {index: new for new, index in enumerate(indices)}
        events = (track.events[index] for index in indices)
        return replace(
            track,
            user_codes=self._filled(track, "user", end, length, length),
            assistant_codes=self._filled(track, "assistant", end, own, length),
            events=tuple(
                replace(event.stopped(stop), answers=place.get(event.answers), cut_by=place.get(event.cut_by))
                for event in events
            ),
            texts=tuple(track.texts[index] for index in indices),
            uncut=(),
        )

    def _filled(self, track: CodedTrack, channel: Role, end: int, own: int, length: int) -> Codes:
        """The first `own` frames of a channel, or as many as it has, and then silence up to `length` frames."""
        codes = (track.user_codes if channel == "user" else track.assistant_codes)[:, :own]
        missing = length - codes.shape[1]
        return codes if missing <= 0 else np.append(codes, self._silence(track, channel, end, missing), axis=1)

    def _silence(self, track: CodedTrack, channel: Role, end: int, frames: int) -> Codes:
        """Codes [codebooks, frames] of silence: the silent frames of a channel before `end`, repeated in order.

        Frames that a row leaves out are not used, because a check of the row alone must find each silent frame in it.
        """
        codes = (track.user_codes if channel == "user" else track.assistant_codes)[:, :end]
        if frames <= 0:
            return codes[:, :0]
        silent: NDArray[np.bool_] = np.ones(codes.shape[1], np.bool_)
        silent[: self.layout.first_assistant_frame if channel == "assistant" else 0] = False
        for event in track.events:
            if event.channel == channel:
                first = event.start_sample // track.samples_per_frame - LEAK_FRAMES
                past = -(-event.end_sample // track.samples_per_frame) + LEAK_FRAMES
                silent[max(first, 0) : max(past, 0)] = False
        places = np.flatnonzero(silent)
        if not len(places):
            raise DialogueRejected(
                "no_silence", f"the {channel} speaks in every frame, so that silence cannot be added"
            )
        return codes[:, np.resize(places, frames)]


def _of_assistant(events: Sequence[Event], after: int) -> list[int]:
    """Indices of the assistant's events after one of them."""
    return [index for index in range(after + 1, len(events)) if events[index].channel == "assistant"]


def _moved(events: Sequence[Event], first: int, later: int) -> tuple[Event, ...]:
    """Events of which the assistant's, from index `first` on, are later by so many samples."""
    return tuple(
        event.later(later) if index >= first and event.channel == "assistant" else event
        for index, event in enumerate(events)
    )
