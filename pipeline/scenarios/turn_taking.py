"""Turn-taking: each side speaks after the other has finished (BayLing-Duplex section 3)."""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from ..dialogue import BARGE_IN, TURN, Event, Timeline
from ..recipe.sections import Range
from .scenario import Clock, Late, Lateness, Spoken
from .section import Timing


class TurnTakingTiming(Timing):
    scenario: Literal["turn_taking"] = "turn_taking"


@dataclass(frozen=True)
class TurnTaking:
    """Nobody speaks while the other does."""

    timing: Timing

    name: ClassVar[str] = "turn_taking"
    Spec: ClassVar[type[Timing]] = TurnTakingTiming
    LATENESS: ClassVar[tuple[Lateness, ...]] = ("starts",)

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        return place(spoken, self.timing, clock, {})

    def check(self, events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        yield from check_turns(events, self.timing, sample_rate)
        yield from (f"event {index} is cut" for index, event in enumerate(events) if event.is_cut)

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        return measure_gaps(events, sample_rate)

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """Any reply may start late."""
        return [
            Late(index, False, event.start_sample - events[event.answers].end_sample, None)
            for index, event in enumerate(events)
            if event.channel == "assistant" and event.answers is not None
        ]

    def check_late(self, late: Late, number: int, sample_rate: int) -> Iterator[str]:
        yield from check_place(late, number)
        if late.stops:
            yield "a reply stops late: in turn-taking, replies can only start late"
        elif late.delay_samples != round(self.timing.reply_delay_s * sample_rate):
            delay_s, expected_s = late.delay_samples / sample_rate, self.timing.reply_delay_s
            yield f"chosen_delay_s is {delay_s:g}, expected reply_delay_s of the data set, {expected_s:g}"


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a reply is cut, in samples."""

    barge_in: int  # from the start of the reply to the barge-in
    reaction: int  # from the barge-in to the stop of the reply


def place(spoken: Sequence[Spoken], timing: Timing, clock: Clock, cuts: Mapping[int, Cut]) -> Timeline:
    """Place one turn after the other, each reply `reply_delay_s` after the turn that it answers.

    cuts: by the index of a reply, where the next turn interrupts it.
    """
    events: list[Event] = []
    cursor = clock.draw(timing.lead_in_s)
    for index, utterance in enumerate(spoken):
        start, whole_end = cursor, cursor + utterance.num_samples
        cut, cuts_in = cuts.get(index), index - 1 in cuts
        answers = index - 1 if index and utterance.channel == "assistant" else None
        kind = BARGE_IN if cuts_in else TURN
        if cut:
            stop = start + cut.barge_in + cut.reaction
            events.append(Event(index, utterance.channel, kind, start, stop, whole_end, answers, cut_by=index + 1))
            cursor = start + cut.barge_in
            continue
        events.append(Event(index, utterance.channel, kind, start, whole_end, whole_end, answers))
        asks = utterance.channel == "user"
        cursor = whole_end + (clock.samples(timing.reply_delay_s) if asks else clock.draw(timing.next_turn_gap_s))
    end = max(event.end_sample for event in events) + clock.samples(timing.tail_s)
    return Timeline(tuple(events), end)


def check_turns(events: Sequence[Event], timing: Timing, sample_rate: int) -> Iterator[str]:
    """What is wrong with the events of turns that alternate, in words; where a reply is cut is not checked."""
    if not events or [event.channel for event in events] != ["user", "assistant"] * (len(events) // 2):
        yield "turns do not alternate from user to assistant"
        return
    if not within(events[0].start_sample, timing.lead_in_s, sample_rate):
        yield f"the first turn starts at sample {events[0].start_sample}, outside lead_in_s"
    for index, event in enumerate(events):
        expected = index - 1 if event.channel == "assistant" else None
        if event.answers != expected:
            yield f"event {index} answers {event.answers}, expected {expected}"
        cuts_in = index > 0 and events[index - 1].cut_by is not None
        if event.kind != (BARGE_IN if cuts_in else TURN):
            yield f"event {index} is of the kind {reprlib.repr(event.kind)}, expected {BARGE_IN if cuts_in else TURN}"
    for index, (before, event) in enumerate(pairwise(events), start=1):
        gap = event.start_sample - before.end_sample
        if event.channel == "assistant":
            if gap != round(timing.reply_delay_s * sample_rate):
                yield f"event {index} starts {gap} samples after the user's end, not reply_delay_s"
        elif before.cut_by is None and not within(gap, timing.next_turn_gap_s, sample_rate):
            yield f"event {index} starts {gap} samples after the assistant's end, outside next_turn_gap_s"


def check_place(late: Late, number: int) -> Iterator[str]:
    """What is wrong with the index of a late reply if turns alternate, in words. number: as `check_late` has it."""
    if late.event % 2 == 0:
        yield f"event {late.event} is the user's"
    elif late.event != 2 * number + 1:
        yield f"event {late.event} is not the late reply, which is event {2 * number + 1}"


def measure_gaps(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
    """Gaps between turns, in seconds; a turn that interrupts has none before it."""
    for before, event in pairwise(events):
        gap_s = (event.start_sample - before.end_sample) / sample_rate
        if event.channel == "assistant":
            yield "reply_delay_s", gap_s
        elif before.cut_by is None:
            yield "next_turn_gap_s", gap_s


def within(samples: int, times: Range, sample_rate: int) -> bool:
    """Whether a number of samples lies in a range of seconds, both ends included."""
    return round(times.low * sample_rate) <= samples <= round(times.high * sample_rate)
