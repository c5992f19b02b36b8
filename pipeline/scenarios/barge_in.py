"""Barge-ins: the user speaks during a reply; the assistant stops and answers. What such scenarios have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..dialogue import Event, Timeline
from ..recipe.sections import Range, Seconds, Share
from .scenario import Clock, Grid, Late, Spoken
from .section import Timing
from .turns import Cut, Turns

SILENCE_AFTER_STOP_S = 0.5
"""Ours: an interrupted assistant is silent at least this long before it answers the interrupting turn."""


class BargeInTiming(Timing):
    reaction_delay_s: Range = Range(low=0.8, high=2.0)
    interruption_probability: Share = 1.0
    heard_before_barge_in_s: Seconds = 0.5
    longest_negative_delay_s: Seconds = 5.0  # a reply that is long enough has so much audio after the barge-in


Window = tuple[int, int]
"""The shortest and the longest reaction delay that a reply allows, in samples."""


@dataclass(frozen=True)
class BargeIns(Turns):
    """Some of the user's turns start during the reply before them."""

    timing: BargeInTiming

    def eligible(self, spoken: Sequence[Spoken], clock: Clock) -> dict[int, Window]:
        """The replies that can be cut, by index."""
        return {
            index: window
            for index, utterance in enumerate(spoken[:-1])
            if utterance.channel == "assistant" and (window := self._reaction_window(index, spoken, clock))
        }

    def chosen(self, eligible: Mapping[int, Window], clock: Clock) -> list[int]:
        """Of the replies that can be cut, `interruption_probability` of them: each is drawn by itself."""
        return [index for index in eligible if clock.rng.random() < self.timing.interruption_probability]

    def _reaction_window(self, index: int, spoken: Sequence[Spoken], clock: Clock) -> Window | None:
        """None if a reply cannot be cut.

        The assistant must speak before the barge-in, must still have audio to cut when it stops, and must be silent
        for a moment before it answers.
        """
        timing, length, interrupting = self.timing, spoken[index].num_samples, spoken[index + 1].num_samples
        shortest = clock.samples(timing.reaction_delay_s.low)
        before_end = length - clock.samples(timing.heard_before_barge_in_s) - 1
        before_answer = interrupting + clock.samples(timing.reply_delay_s) - clock.samples(SILENCE_AFTER_STOP_S)
        longest = min(clock.samples(timing.reaction_delay_s.high), before_end, before_answer)
        return (shortest, longest) if longest >= shortest else None

    def place_cut(self, spoken: Sequence[Spoken], clock: Clock, windows: Mapping[int, Window]) -> Timeline:
        """Place turns, of which some are cut. windows: of the replies to cut, by index."""
        cuts = {index: self._draw_cut(spoken[index].num_samples, window, clock) for index, window in windows.items()}
        return self.place(spoken, clock, cuts)

    def _draw_cut(self, length: int, window: Window, clock: Clock) -> Cut:
        """Draw the reaction, and then a barge-in with at least the reaction of the reply left after it.

        Ours: where the reply is long enough, `longest_negative_delay_s` is left, for preference pairs.
        """
        reaction = clock.draw_between(*window)
        earliest = clock.samples(self.timing.heard_before_barge_in_s)
        roomy = length - max(clock.samples(self.timing.longest_negative_delay_s), reaction + 1)
        latest = roomy if roomy >= earliest else length - reaction - 1
        return Cut(clock.draw_between(earliest, latest), reaction)

    def check(self, events: Sequence[Event], text_ids: Sequence[int] | None, grid: Grid) -> Iterator[str]:
        yield from self.check_turns(events, text_ids, grid)
        for index, event in enumerate(events):
            if event.cut_by is not None:
                yield from self._check_cut(index, event, events, grid)

    def _check_cut(self, index: int, event: Event, events: Sequence[Event], grid: Grid) -> Iterator[str]:
        if event.channel != "assistant" or event.cut_by != index + 1:
            yield f"event {index} is cut by event {event.cut_by}, expected a reply that the next turn cuts"
            return
        barge_in = events[event.cut_by].start_sample
        reaction = event.end_sample - barge_in
        if not grid.within(reaction, self.timing.reaction_delay_s):
            yield f"event {index} stops {reaction} samples after the barge-in, outside reaction_delay_s"
        if barge_in - event.start_sample < grid.samples(self.timing.heard_before_barge_in_s):
            yield f"event {index} is cut before heard_before_barge_in_s"

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        yield from Turns.measure(events, sample_rate)
        for event in events:
            if event.cut_by is not None:
                yield "reaction_delay_s", (event.end_sample - events[event.cut_by].start_sample) / sample_rate

    def check_stop(self, late: Late, grid: Grid) -> Iterator[str]:
        """What is wrong with the stop of a late reply in its row, in words."""
        if not grid.within(late.delay_samples, self.timing.reaction_delay_s):
            delay_s = late.delay_samples / grid.sample_rate
            yield f"chosen_delay_s is {delay_s:g}, outside reaction_delay_s of the data set"


def stopping_late(events: Sequence[Event]) -> list[Late]:
    """The replies that can stop late, at most at their own ends: those that are cut."""
    lates = []
    for index, event in enumerate(events):
        if event.cut_by is not None:
            barge_in = events[event.cut_by].start_sample
            lates.append(Late(index, True, event.end_sample - barge_in, event.whole_end_sample - barge_in))
    return lates
