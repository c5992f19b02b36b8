"""A scenario of overlapping speech: each reply starts at a share of the turn that it answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from duplexgen.pipeline.dialogue import TURN, Event, Role, Timeline
from duplexgen.pipeline.scenarios.scenario import Amount, Clock, Grid, Late, Lateness, Spoken
from duplexgen.pipeline.scenarios.section import Timing


class OverlappingTiming(Timing):
    scenario: Literal["overlapping"]
    share: float = 0.5


@dataclass(frozen=True)
class Overlapping:
    timing: OverlappingTiming

    name: ClassVar[str] = "overlapping"
    Spec: ClassVar[type[Timing]] = OverlappingTiming
    LATENESS: ClassVar[tuple[Lateness, ...]] = ("starts",)
    needs_text_ids: ClassVar[bool] = False
    TAKES_EVENTS: ClassVar[bool] = False

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        events: list[Event] = []
        start = clock.samples(3.0)
        for index, utterance in enumerate(spoken):
            end = start + utterance.num_samples
            answers = index - 1 if utterance.channel == "assistant" else None
            events.append(Event(index, utterance.channel, TURN, start, end, end, answers))
            until_reply = round(utterance.num_samples * self.timing.share)
            is_user = utterance.channel == "user"
            start = start + until_reply if is_user else max(event.end_sample for event in events) + 16000
        return Timeline(tuple(events), max(event.end_sample for event in events) + clock.samples(self.timing.tail_s))

    def check(self, events: Sequence[Event], text_ids: Sequence[int] | None, grid: Grid) -> Iterator[str]:
        for index, event in enumerate(events):
            if event.answers is not None and not event.start_sample < events[event.answers].end_sample:
                yield f"event {index} does not start during the event that it answers"

    def speakers(self, events: Sequence[Event]) -> Sequence[Role]:
        return [event.channel for event in events]

    def pauses_s(self, amount: Amount) -> float:
        return amount.exchanges * 1.0

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        return iter(())

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        return [
            Late(index, False, event.start_sample - events[event.answers].end_sample, None)
            for index, event in enumerate(events)
            if event.answers is not None
        ]

    def check_late(self, late: Late, number: int, grid: Grid) -> Iterator[str]:
        if late.stops or late.delay_samples >= 0:
            yield "the chosen reply does not start during the event that it answers"
