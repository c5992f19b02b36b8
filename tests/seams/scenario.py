"""A scenario of two who speak over each other: every reply starts half way through what it answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from duplexgen.pipeline.dialogue import TURN, Event, Timeline
from duplexgen.pipeline.scenarios.scenario import Clock, Late, Lateness, Spoken
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

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        events: list[Event] = []
        start = clock.samples(3.0)
        for index, one in enumerate(spoken):
            end = start + one.num_samples
            answers = index - 1 if one.channel == "assistant" else None
            events.append(Event(index, one.channel, TURN, start, end, end, answers))
            over = round(one.num_samples * self.timing.share)
            start = start + over if one.channel == "user" else max(event.end_sample for event in events) + 16000
        return Timeline(tuple(events), max(event.end_sample for event in events) + clock.samples(self.timing.tail_s))

    def check(self, events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        for index, event in enumerate(events):
            if event.answers is not None and not event.start_sample < events[event.answers].end_sample:
                yield f"event {index} does not start in what it answers"

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        return iter(())

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        return [
            Late(index, False, event.start_sample - events[event.answers].end_sample, None)
            for index, event in enumerate(events)
            if event.answers is not None
        ]

    def check_late(self, late: Late, number: int, sample_rate: int) -> Iterator[str]:
        if late.stops or late.delay_samples >= 0:
            yield "no reply that starts in what it answers"
