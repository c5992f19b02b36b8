"""Interruption: the user speaks during a reply; the assistant stops and answers (BayLing-Duplex section 3)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ..dialogue import Event, Timeline
from ..errors import DialogueRejected
from .barge_in import BargeIns, BargeInTiming, stopping_late
from .scenario import Clock, Grid, Late, Lateness, Spoken
from .section import Timing
from .turns import check_place


class InterruptionTiming(BargeInTiming):
    scenario: Literal["interruption"] = "interruption"


@dataclass(frozen=True)
class Interruption(BargeIns):
    """In each dialogue, at least one of the user's turns starts during the reply before it."""

    name: ClassVar[str] = "interruption"
    Spec: ClassVar[type[Timing]] = InterruptionTiming
    LATENESS: ClassVar[tuple[Lateness, ...]] = ("stops",)

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        """Raises DialogueRejected `nothing_to_interrupt` if no reply is long enough and followed by another turn."""
        eligible = self.eligible(spoken, clock)
        if not eligible:
            raise DialogueRejected(
                "nothing_to_interrupt",
                f"no reply is followed by a turn of the user and at least "
                f"{self.timing.heard_before_barge_in_s + self.timing.reaction_delay_s.low:g} s long",
            )
        indices = self.chosen(eligible, clock)
        if not indices:  # ours: one is cut in any case
            indices = [list(eligible)[clock.rng.integers(len(eligible))]]
        return self.place_cut(spoken, clock, {index: eligible[index] for index in indices})

    def check(self, events: Sequence[Event], text_ids: Sequence[int] | None, grid: Grid) -> Iterator[str]:
        yield from super().check(events, text_ids, grid)
        if not any(event.is_cut for event in events):
            yield "no reply is cut"

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """Each reply that is cut can stop late, at most at its own end."""
        return stopping_late(events)

    def check_late(self, late: Late, number: int, grid: Grid) -> Iterator[str]:
        yield from check_place(late, number)
        if not late.stops:
            yield "a reply starts late: in this scenario, replies can only stop late"
        else:
            yield from self.check_stop(late, grid)
