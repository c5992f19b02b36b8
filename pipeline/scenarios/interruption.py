"""Interruption: the user speaks during a reply; the assistant stops and answers (BayLing-Duplex section 3)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ..dialogue import Event, Timeline
from ..errors import DialogueRejected
from ..recipe.sections import Range, Seconds, Share
from .scenario import Clock, Late, Lateness, Spoken
from .section import Timing
from .turn_taking import Cut, check_place, check_turns, measure_gaps, place, within

SILENCE_AFTER_STOP_S = 0.5
"""Ours: an interrupted assistant is silent at least this long before it answers the interrupting turn."""


class InterruptionTiming(Timing):
    scenario: Literal["interruption"] = "interruption"
    reaction_delay_s: Range = Range(low=0.8, high=2.0)
    interruption_probability: Share = 1.0
    heard_before_barge_in_s: Seconds = 0.5
    longest_negative_delay_s: Seconds = 5.0  # a reply that is long enough has so much audio after the barge-in


@dataclass(frozen=True)
class Interruption:
    """Some of the user's turns start during the reply before them."""

    timing: InterruptionTiming

    name: ClassVar[str] = "interruption"
    Spec: ClassVar[type[Timing]] = InterruptionTiming
    LATENESS: ClassVar[tuple[Lateness, ...]] = ("stops",)

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        """Raises DialogueRejected `nothing_to_interrupt` if no reply is long enough and followed by another turn."""
        return place(spoken, self.timing, clock, self._cuts(spoken, clock))

    def _cuts(self, spoken: Sequence[Spoken], clock: Clock) -> dict[int, Cut]:
        """Where replies are cut, by index. Ours: `interruption_probability` of the eligible ones, at least one."""
        eligible = {
            index: window
            for index, utterance in enumerate(spoken[:-1])
            if utterance.channel == "assistant" and (window := self._reaction_window(index, spoken, clock))
        }
        if not eligible:
            raise DialogueRejected(
                "nothing_to_interrupt",
                f"no reply is followed by a turn of the user and at least "
                f"{self.timing.heard_before_barge_in_s + self.timing.reaction_delay_s.low:g} s long",
            )
        indices = [index for index in eligible if clock.rng.random() < self.timing.interruption_probability]
        if not indices:
            indices = [list(eligible)[clock.rng.integers(len(eligible))]]
        return {index: self._draw_cut(spoken[index].num_samples, eligible[index], clock) for index in indices}

    def _reaction_window(self, index: int, spoken: Sequence[Spoken], clock: Clock) -> tuple[int, int] | None:
        """The shortest and the longest reaction delay that a reply allows, in samples; None if it allows none.

        The assistant must speak before the barge-in, must still have audio to cut when it stops, and must be silent
        for a moment before it answers.
        """
        timing, length, interrupting = self.timing, spoken[index].num_samples, spoken[index + 1].num_samples
        shortest = clock.samples(timing.reaction_delay_s.low)
        before_end = length - clock.samples(timing.heard_before_barge_in_s) - 1
        before_answer = interrupting + clock.samples(timing.reply_delay_s) - clock.samples(SILENCE_AFTER_STOP_S)
        longest = min(clock.samples(timing.reaction_delay_s.high), before_end, before_answer)
        return (shortest, longest) if longest >= shortest else None

    def _draw_cut(self, length: int, window: tuple[int, int], clock: Clock) -> Cut:
        """Draw the reaction, and then a barge-in with at least the reaction of the reply left after it.

        Ours: where the reply is long enough, `longest_negative_delay_s` is left, for preference pairs.
        """
        reaction = clock.draw_between(*window)
        earliest = clock.samples(self.timing.heard_before_barge_in_s)
        roomy = length - max(clock.samples(self.timing.longest_negative_delay_s), reaction + 1)
        latest = roomy if roomy >= earliest else length - reaction - 1
        return Cut(clock.draw_between(earliest, latest), reaction)

    def check(self, events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        yield from check_turns(events, self.timing, sample_rate)
        if not any(event.is_cut for event in events):
            yield "no reply is cut"
        for index, event in enumerate(events):
            if event.cut_by is not None:
                yield from self._check_cut(index, event, events, sample_rate)

    def _check_cut(self, index: int, event: Event, events: Sequence[Event], rate: int) -> Iterator[str]:
        if event.channel != "assistant" or event.cut_by != index + 1:
            yield f"event {index} is cut by event {event.cut_by}, expected a reply that the next turn cuts"
            return
        barge_in = events[event.cut_by].start_sample
        reaction = event.end_sample - barge_in
        if not within(reaction, self.timing.reaction_delay_s, rate):
            yield f"event {index} stops {reaction} samples after the barge-in, outside reaction_delay_s"
        if barge_in - event.start_sample < round(self.timing.heard_before_barge_in_s * rate):
            yield f"event {index} is cut before heard_before_barge_in_s"

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        yield from measure_gaps(events, sample_rate)
        for event in events:
            if event.cut_by is not None:
                yield "reaction_delay_s", (event.end_sample - events[event.cut_by].start_sample) / sample_rate

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """Each reply that is cut can stop late, at most at its own end."""
        lates = []
        for index, event in enumerate(events):
            if event.cut_by is not None:
                barge_in = events[event.cut_by].start_sample
                lates.append(Late(index, True, event.end_sample - barge_in, event.whole_end_sample - barge_in))
        return lates

    def check_late(self, late: Late, number: int, sample_rate: int) -> Iterator[str]:
        yield from check_place(late, number)
        if not late.stops:
            yield "a reply starts late: in this scenario, replies can only stop late"
        elif not within(late.delay_samples, self.timing.reaction_delay_s, sample_rate):
            yield f"chosen_delay_s is {late.delay_samples / sample_rate:g}, outside reaction_delay_s of the data set"
