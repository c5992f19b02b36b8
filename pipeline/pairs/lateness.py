"""A track, and the same track with the assistant late (BayLing-Duplex sections 2.2 and 3).

Both sides have the same channel of the user and the same length. Speech moves by whole steps of the layout, and its
codes stay as they are. This is ours: to tokenize it again would change its content too. No layout is named here, and no
id is known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..dialogue import CodedTrack, Event
from ..errors import DialogueRejected
from ..recipe.sections import Range
from ..scenarios.scenario import Late, Scenario
from .edits import LEAK_FRAMES, Edits, of_assistant
from .pair import LATE_START, LATE_STOP, Pair
from .recipe import PairsRecipe

SILENCE_AFTER_LATE_STOP_S = 0.16
"""Ours: after a late stop, the assistant is silent at least this long before it answers."""
NEXT_REPLY, OWN_END = "next_reply_too_soon", "reply_ends_too_soon"


@dataclass(frozen=True, slots=True)
class Delay:
    """How much later a reply may be: a number of steps is drawn from low … high, and limited to most_samples."""

    late: Late
    low: int  # steps
    high: int  # steps
    most_samples: int | None  # the room that there is; None: any
    obstacle: str  # what limits it: the reason of a rejection


@dataclass(frozen=True)
class LatePairs:
    """Makes pairs of replies that are late, from the tracks of one data set."""

    recipe: PairsRecipe
    scenario: Scenario
    edits: Edits
    sample_rate: int  # Hz

    def possible(self, track: CodedTrack) -> list[Delay]:
        """The replies of a track that can be late enough; raises DialogueRejected if there are none."""
        lates = self.scenario.late(track.events, self.sample_rate)
        if not lates:
            raise DialogueRejected("nothing_late", f"the scenario {self.scenario.name} knows no reply that may be late")
        return self._possible([self._delay(track, late) for late in lates])

    def pair(self, track: CodedTrack, delay: Delay, rng: np.random.Generator) -> Pair:
        """delay: one of `possible`."""
        drawn = int(rng.integers(delay.low, delay.high, endpoint=True)) * self.edits.step_samples
        later = drawn if delay.most_samples is None else min(drawn, delay.most_samples)
        sides = self._stopping_late if delay.late.stops else self._starting_late
        chosen, rejected = sides(track, delay.late, later)
        own, mistake = delay.late.delay_samples, LATE_STOP if delay.late.stops else LATE_START
        return Pair(delay.late.event, mistake, chosen, rejected, own, own + later, capped=later < drawn)

    def _possible(self, delays: Sequence[Delay]) -> list[Delay]:
        """The delays that make sides differ enough; raises DialogueRejected, with the best one's obstacle, if none."""
        least = max(math.ceil(self.recipe.least_difference_s * self.sample_rate), self.edits.step_samples)
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
        following = of_assistant(track.events, late.event)[1 if late.stops else 0 :]
        most = None if late.most_samples is None else late.most_samples - late.delay_samples
        obstacle = OWN_END
        if following:
            event, frame = track.events[late.event], track.samples_per_frame
            room = self.edits.last_end(track, following[0]) - LEAK_FRAMES - -(-event.end_sample // frame)
            if most is None or room * frame < most:
                most, obstacle = room * frame, NEXT_REPLY
        if most is not None and not late.stops:
            most = most // self.edits.step_samples * self.edits.step_samples
        return Delay(late, *self._steps(delays, late.delay_samples), most, obstacle)

    def _steps(self, delays: Range, own_samples: int) -> tuple[int, int]:
        """The fewest and the most steps by which a reply with a delay of `own_samples` is to be later."""
        least = math.ceil(self.recipe.least_difference_s * self.sample_rate)
        earliest = max(least, round(delays.low * self.sample_rate) - own_samples)
        low = -(-earliest // self.edits.step_samples)
        high = (round(delays.high * self.sample_rate) - own_samples) // self.edits.step_samples
        return low, high

    def _starting_late(self, track: CodedTrack, late: Late, later: int) -> tuple[CodedTrack, CodedTrack]:
        """Put silence before the reply: it and all that the assistant says later moves. Both sides end after it."""
        frame, event = track.samples_per_frame, track.events[late.event]
        first, frames = max(0, event.start_sample // frame - LEAK_FRAMES), later // frame
        end = -(-event.end_sample // frame) + frames + LEAK_FRAMES
        chosen = self.edits.ending(track, end)
        silence = self.edits.silence(chosen, "assistant", end, frames)
        codes = track.assistant_codes
        moved = np.concatenate([codes[:, :first], silence, codes[:, first:]], axis=1)
        events = _moved(track.events, late.event, later)
        return chosen, self.edits.ending(replace(track, assistant_codes=moved, events=events), end)

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
        answers = of_assistant(track.events, late.event)
        resumes = track.events[answers[0]].start_sample if answers else total * frame
        pause = self._pause(stop, resumes) if answers else 0
        end = self._common_end(track, late, past + LEAK_FRAMES, pause)
        chosen = self.edits.ending(track, end)
        again = max(0, resumes // frame - LEAK_FRAMES) if answers else total
        codes = track.assistant_codes
        waiting = codes[:, past:again]
        missing = again + pause // frame - past - waiting.shape[1] if answers else 0
        silence = self.edits.silence(chosen, "assistant", end, missing)
        whole = np.concatenate([codes[:, : uncut.first_frame], talking, waiting, silence, codes[:, again:]], axis=1)
        cut_by = reply.cut_by if stop < reply.whole_end_sample else None
        events = [*_moved(track.events, answers[0], pause)] if answers else [*track.events]
        goes_on = replace(reply, end_sample=reply.whole_end_sample, words=uncut.words)
        events[late.event] = replace(goes_on.stopped(stop), cut_by=cut_by)
        return chosen, self.edits.ending(replace(track, assistant_codes=whole, events=tuple(events)), end)

    def _pause(self, stop: int, resumes: int) -> int:
        """By how many samples the answer after a late stop has to move: whole steps, 0 if there is enough time."""
        frame = self.edits.layout.samples_per_frame
        silent = stop + round(SILENCE_AFTER_LATE_STOP_S * self.sample_rate)
        earliest = max(silent, (-(-stop // frame) + LEAK_FRAMES) * frame)
        pause = max(0, -(-(earliest - resumes) // self.edits.step_samples)) * self.edits.step_samples
        while not self.edits.layout.may_follow(stop, resumes + pause):
            pause += self.edits.step_samples
        return pause

    def _common_end(self, track: CodedTrack, late: Late, stopped: int, pause: int) -> int:
        """How many frames both sides have, at least `stopped`, if the answer moves by `pause` samples."""
        frame, barge_in = track.samples_per_frame, track.events[late.event].cut_by
        assert barge_in is not None, "a reply that can stop late was cut"
        answers = of_assistant(track.events, late.event)
        if not answers:
            return stopped
        ends = [-(-(track.events[answers[0]].end_sample + pause) // frame) + LEAK_FRAMES]
        ends += [
            event.start_sample // frame
            for event in track.events[barge_in + 1 :]
            if event.channel == "user" and event.start_sample >= track.events[barge_in].end_sample
        ][:1]
        ends += [self.edits.last_end(track, answers[1])] if len(answers) > 1 else []
        return max(stopped, min(ends))


def _moved(events: Sequence[Event], first: int, later: int) -> tuple[Event, ...]:
    """Events of which the assistant's, from index `first` on, are later by so many samples."""
    return tuple(
        event.later(later) if index >= first and event.channel == "assistant" else event
        for index, event in enumerate(events)
    )
