"""A conversation as people have it: human timing, hesitation, asides that stop nobody, and interruptions of every kind.

Ours. Kinds are those of HumDial (arXiv 2604.21406); the papers' scenarios have none but turns and barge-ins. What the
script adds to a dialogue is placed where its words allow it: at the end of a clause, if there is one. An interruption
that has no place is a turn after the reply; an aside or a silence request without one is left out.
"""

import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from ..dialogue import ASIDES, BACKCHANNEL, SILENCE_REQUEST, STOPPING, TURN, Event, Role, Timeline
from .barge_in import stopping_late
from .placing import APART_S, NaturalTiming, Placing, largest_overlap
from .scenario import Amount, Clock, Grid, Late, Lateness, Spoken
from .section import Timing
from .turns import starting_late


@dataclass(frozen=True)
class Natural:
    """Turns alternate, but for silence requests, which nobody answers. What else happens, the kinds of turns say."""

    timing: NaturalTiming

    name: ClassVar[str] = "natural"
    Spec: ClassVar[type[Timing]] = NaturalTiming
    LATENESS: ClassVar[tuple[Lateness, ...]] = ("starts", "stops")
    TAKES_EVENTS: ClassVar[bool] = True
    needs_text_ids: ClassVar[bool] = False

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        floor = [index for index, one in enumerate(spoken) if one.kind not in ASIDES]
        asides = {
            index: [aside for aside in range(index + 1, following) if spoken[aside].channel != spoken[index].channel]
            for index, following in pairwise([*floor, len(spoken)])
        }
        return Placing(self.timing, clock, spoken, asides).run(floor)

    def check(self, events: Sequence[Event], text_ids: Sequence[int] | None, grid: Grid) -> Iterator[str]:
        floor = [(index, event) for index, event in enumerate(events) if event.kind not in ASIDES]
        if not floor or floor[0][0] != 0 or (floor[0][1].channel, floor[0][1].kind) != ("user", TURN):
            yield "the first event is no turn of the user's"
            return
        if not grid.within(events[0].start_sample, self.timing.lead_in_s):
            yield f"the first turn starts at sample {events[0].start_sample}, outside lead_in_s"
        for index, event in floor:
            yield from self._check_own(index, event, grid)
        for (before_index, before), (index, event) in pairwise(floor):
            if event.channel == "assistant":
                yield from self._check_reply(index, event, before_index, before, grid)
            else:
                yield from self._check_turn(index, event, before_index, before, events, grid)
        yield from _check_last(*floor[-1])
        for index, event in enumerate(events):
            if event.kind in ASIDES:
                yield from _check_aside(index, event, events)
        yield from _check_apart(events)

    def _check_own(self, index: int, event: Event, grid: Grid) -> Iterator[str]:
        if event.kind not in (TURN, *STOPPING) or (event.channel == "assistant" and event.kind != TURN):
            yield f"event {index} of the {event.channel} is of the kind {reprlib.repr(event.kind)}"
        if event.channel == "user" and (event.answers is not None or event.is_cut):
            yield f"event {index} is the user's, and answers another event or is cut"
        for pause in event.pauses:
            if not grid.within(pause.num_samples, self.timing.pause_s):
                yield f"event {index} has a pause of {pause.num_samples} samples, outside pause_s"
        if event.pauses and event.channel == "assistant":
            yield f"event {index} is the assistant's, and has a pause"

    def _check_reply(self, index: int, event: Event, before_index: int, before: Event, grid: Grid) -> Iterator[str]:
        if before.channel != "user" or before.kind == SILENCE_REQUEST:
            yield f"event {index} is a reply, and no turn that it could answer is before it"
            return
        if event.answers != before_index:
            yield f"event {index} answers {event.answers}, expected {before_index}"
        least = grid.samples(self.timing.reply_delay_s)
        most = max(least, grid.samples(self.timing.profile.offset.high_ms / 1000))
        if not least <= (gap := event.start_sample - before.end_sample) <= most:
            yield f"event {index} starts {gap} samples after the user's end, expected {least} to {most}"

    def _check_turn(
        self, index: int, event: Event, before_index: int, before: Event, events: Sequence[Event], grid: Grid
    ) -> Iterator[str]:
        """before: the turn or reply before it."""
        if before.channel == "user":
            yield from self._check_after_silence(index, event, before_index, events, grid)
            return
        if before.cut_by is None:
            if event.kind != TURN:
                yield f"event {index} is of the kind {reprlib.repr(event.kind)}, and interrupts nothing"
            yield from self._check_gap(index, event, before, events, grid)
            return
        if before.cut_by != index or event.kind not in STOPPING:
            yield f"event {index} is of the kind {reprlib.repr(event.kind)}, and follows a reply that is cut"
            return
        reaction = before.end_sample - event.start_sample
        if not grid.within(reaction, self.timing.reaction_delay_s):
            yield f"the reply before event {index} stops after {reaction} samples, outside reaction_delay_s"
        if event.start_sample - before.start_sample < grid.samples(self.timing.heard_before_barge_in_s):
            yield f"event {index} interrupts before heard_before_barge_in_s"

    def _check_after_silence(
        self, index: int, event: Event, request_index: int, events: Sequence[Event], grid: Grid
    ) -> Iterator[str]:
        if events[request_index].kind != SILENCE_REQUEST or event.kind != TURN:
            yield f"event {index} is a turn of the user's after another one, which is no silence request"
            return
        silenced = [other.end_sample for other in events if other.cut_by == request_index]
        gap = event.start_sample - max(events[request_index].end_sample, *silenced, 0)
        if not grid.within(gap, self.timing.next_turn_gap_s):
            yield f"event {index} starts {gap} samples after a silence request, outside next_turn_gap_s"

    def _check_gap(self, index: int, event: Event, reply: Event, events: Sequence[Event], grid: Grid) -> Iterator[str]:
        """Whether a turn starts as the profile says, or after the asides that follow the reply."""
        spoken = event.end_sample - event.start_sample - sum(pause.num_samples for pause in event.pauses)
        covered = largest_overlap(reply.end_sample - reply.start_sample, spoken)
        asides = [
            other.end_sample + grid.samples(APART_S) - reply.end_sample
            for other in events
            if other.channel == "user"
            and other.kind in ASIDES
            and reply.end_sample <= other.start_sample
            and other.end_sample <= event.start_sample
        ]
        most = max(0, grid.samples(self.timing.profile.offset.high_ms / 1000), *asides)
        if not -covered <= (gap := event.start_sample - reply.end_sample) <= most:
            yield f"event {index} starts {gap} samples after the reply's end, expected {-covered} to {most}"

    def speakers(self, events: Sequence[Event]) -> Sequence[Role]:
        return [event.channel for event in events]

    def pauses_s(self, amount: Amount) -> float:
        """Asides, and what overlaps, are not counted."""
        timing = self.timing
        offset_s = timing.profile.offset.mean_ms / 1000
        hesitation_s = timing.pause_share * timing.profile.pause.median_ms / 1000
        return amount.exchanges * (max(timing.reply_delay_s, offset_s) + offset_s + hesitation_s)

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        for event in events:
            if event.answers is not None:
                yield "reply_delay_s", (event.start_sample - events[event.answers].end_sample) / sample_rate
            if event.cut_by is not None:
                yield "reaction_delay_s", (event.end_sample - events[event.cut_by].start_sample) / sample_rate
            yield from (("hesitation_s", pause.num_samples / sample_rate) for pause in event.pauses)
        kinds = [event.kind for event in events if (event.channel, event.kind) != ("assistant", BACKCHANNEL)]
        yield from ((kind, kinds.count(kind)) for kind in (*STOPPING[1:], *ASIDES))
        yield "assistant_backchannel", len(events) - len(kinds)

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """Each reply that is cut can stop late, and any other can start late."""
        return sorted([*starting_late(events), *stopping_late(events)], key=lambda late: late.event)

    def check_late(self, late: Late, number: int, grid: Grid) -> Iterator[str]:
        """How many asides are before a reply cannot be known here."""
        timing = self.timing
        if late.event <= number:
            yield f"event {late.event} is not the late reply, which is the assistant's number {number + 1}"
        least_s, most_s, name = timing.reaction_delay_s.low, timing.reaction_delay_s.high, "reaction_delay_s"
        if not late.stops:
            least_s, name = timing.reply_delay_s, "reply_delay_s and the profile"
            most_s = max(least_s, timing.profile.offset.high_ms / 1000)
        if not grid.samples(least_s) <= late.delay_samples <= grid.samples(most_s):
            yield f"chosen_delay_s is {late.delay_samples / grid.sample_rate:g}, outside {name} of the data set"


def _check_last(index: int, event: Event) -> Iterator[str]:
    """event: the last one that is no aside."""
    if event.cut_by is not None:
        yield f"event {index} is cut, and no turn of the user's follows it"
    if event.channel == "user" and event.kind != SILENCE_REQUEST:
        yield f"event {index} is a turn of the user's, and nobody answers it"


def _check_aside(index: int, event: Event, events: Sequence[Event]) -> Iterator[str]:
    """An aside is said while the other speaks, or, but for a backchannel, after a reply; nobody heeds it."""
    if event.answers is not None or event.is_cut or event.pauses:
        yield f"event {index} is an aside, and answers another event, is cut, or has a pause"
    if any(index in (other.answers, other.cut_by) for other in events):
        yield f"event {index} is an aside, and another event answers it or is cut by it"
    if event.channel == "assistant" and event.kind != BACKCHANNEL:
        yield f"event {index} is the assistant's, and of the kind {reprlib.repr(event.kind)}"
    others = [other for other in events if other.channel != event.channel and other.kind not in ASIDES]
    during = any(other.start_sample <= event.start_sample and event.end_sample <= other.end_sample for other in others)
    alone = all(other.end_sample <= event.start_sample or event.end_sample <= other.start_sample for other in others)
    before = [other for other in events if other.start_sample < event.start_sample and other.kind not in ASIDES]
    after_reply = bool(before) and alone and before[-1].channel == "assistant" and before[-1].cut_by is None
    if not during and (event.kind == BACKCHANNEL or not after_reply):
        yield f"event {index} is an aside, and is not said during one turn of the other side's, or after a reply"


def _check_apart(events: Sequence[Event]) -> Iterator[str]:
    """Nobody says two things at once."""
    for channel in ("user", "assistant"):
        own = [(index, event) for index, event in enumerate(events) if event.channel == channel]
        for (_, before), (index, event) in pairwise(own):
            if event.start_sample < before.end_sample:
                yield f"event {index} starts before the {channel} has finished the event before it"
