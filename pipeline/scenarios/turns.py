"""Turns that alternate: what the scenarios of such turns have in common."""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from ..dialogue import BARGE_IN, TURN, Event, Role, Timeline
from .scenario import Amount, Clock, Grid, Late, Spoken
from .section import Timing


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a reply is cut, in samples."""

    barge_in: int  # from the start of the reply to the barge-in
    reaction: int  # from the barge-in to the stop of the reply


@dataclass(frozen=True)
class Turns:
    """Turns that alternate, each on the channel of its speaker. When replies start is what such scenarios differ in."""

    timing: Timing

    RULE: ClassVar[str] = "reply_delay_s"
    """What decides when replies start, for messages."""
    needs_text_ids: ClassVar[bool] = False
    TAKES_EVENTS: ClassVar[bool] = False

    def reply_starts(self, end_sample: int, text_ids: int | None, grid: Grid) -> range:
        """The samples at which the reply to a turn may start, if the turn ends at `end_sample`.

        text_ids: how many the text of the turn has; None unless `needs_text_ids`.
        """
        start = end_sample + grid.samples(self.timing.reply_delay_s)
        return range(start, start + 1)

    def place(self, spoken: Sequence[Spoken], clock: Clock, cuts: Mapping[int, Cut]) -> Timeline:
        """Place one turn after the other. cuts: by the index of a reply, where the next turn interrupts it."""
        timing, events = self.timing, list[Event]()
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
            if utterance.channel == "user":
                cursor = clock.draw_from(self.reply_starts(whole_end, utterance.text_ids, clock))
            else:
                cursor = whole_end + clock.draw(timing.next_turn_gap_s)
        end = max(event.end_sample for event in events) + clock.samples(timing.tail_s)
        return Timeline(tuple(events), end)

    def check_turns(self, events: Sequence[Event], text_ids: Sequence[int] | None, grid: Grid) -> Iterator[str]:
        """What is wrong with the events, in words; where a reply is cut is not checked. text_ids: as in `check`."""
        if not events or [event.channel for event in events] != ["user", "assistant"] * (len(events) // 2):
            yield "turns do not alternate from user to assistant"
            return
        if not grid.within(events[0].start_sample, self.timing.lead_in_s):
            yield f"the first turn starts at sample {events[0].start_sample}, outside lead_in_s"
        for index, event in enumerate(events):
            expected = index - 1 if event.channel == "assistant" else None
            if event.answers != expected:
                yield f"event {index} answers {event.answers}, expected {expected}"
            kind = BARGE_IN if index and events[index - 1].cut_by is not None else TURN
            if event.kind != kind:
                yield f"event {index} is of the kind {reprlib.repr(event.kind)}, expected {kind}"
        for index, (before, event) in enumerate(pairwise(events), start=1):
            gap = event.start_sample - before.end_sample
            if event.channel == "assistant":
                ids = None if text_ids is None else text_ids[index - 1]
                if event.start_sample not in self.reply_starts(before.end_sample, ids, grid):
                    yield f"event {index} starts {gap} samples after the user's end, not {self.RULE}"
            elif before.cut_by is None and not grid.within(gap, self.timing.next_turn_gap_s):
                yield f"event {index} starts {gap} samples after the assistant's end, outside next_turn_gap_s"

    def speakers(self, events: Sequence[Event]) -> Sequence[Role]:
        return [event.channel for event in events]

    def pauses_s(self, amount: Amount) -> float:
        """What overlaps if a reply is cut is not taken off."""
        return amount.exchanges * (self.timing.reply_delay_s + self.timing.next_turn_gap_s.mean)

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        """Gaps between turns; a turn that interrupts has none before it."""
        for before, event in pairwise(events):
            gap_s = (event.start_sample - before.end_sample) / sample_rate
            if event.channel == "assistant":
                yield "reply_delay_s", gap_s
            elif before.cut_by is None:
                yield "next_turn_gap_s", gap_s

    def check_reply_delay(self, late: Late, grid: Grid) -> Iterator[str]:
        """What is wrong with a reply that starts late, if `reply_delay_s` decides when replies start, in words."""
        if late.delay_samples != grid.samples(self.timing.reply_delay_s):
            delay_s, expected_s = late.delay_samples / grid.sample_rate, self.timing.reply_delay_s
            yield f"chosen_delay_s is {delay_s:g}, expected reply_delay_s of the data set, {expected_s:g}"


def check_none_cut(events: Sequence[Event]) -> Iterator[str]:
    yield from (f"event {index} is cut" for index, event in enumerate(events) if event.is_cut)


def starting_late(events: Sequence[Event]) -> list[Late]:
    """The replies that may start late, by any time: those that are not cut."""
    return [
        Late(index, False, event.start_sample - events[event.answers].end_sample, None)
        for index, event in enumerate(events)
        if event.channel == "assistant" and event.answers is not None and event.cut_by is None
    ]


def check_place(late: Late, number: int) -> Iterator[str]:
    """What is wrong with the index of a late reply, in words. number: as `check_late` has it."""
    if late.event % 2 == 0:
        yield f"event {late.event} is the user's"
    elif late.event != 2 * number + 1:
        yield f"event {late.event} is not the late reply, which is event {2 * number + 1}"
