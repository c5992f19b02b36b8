"""Turn-taking: each side speaks after the other has finished (BayLing-Duplex section 3)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ..dialogue import Event, Timeline
from .scenario import Clock, Grid, Late, Lateness, Spoken
from .section import Timing
from .turns import Turns, check_none_cut, check_place, starting_late


class TurnTakingTiming(Timing):
    scenario: Literal["turn_taking"] = "turn_taking"


@dataclass(frozen=True)
class TurnTaking(Turns):
    """Nobody speaks while the other does."""

    name: ClassVar[str] = "turn_taking"
    Spec: ClassVar[type[Timing]] = TurnTakingTiming
    LATENESS: ClassVar[tuple[Lateness, ...]] = ("starts",)

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        return self.place(spoken, clock, {})

    def check(self, events: Sequence[Event], text_ids: Sequence[int] | None, grid: Grid) -> Iterator[str]:
        yield from self.check_turns(events, text_ids, grid)
        yield from check_none_cut(events)

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """Any reply may start late."""
        return starting_late(events)

    def check_late(self, late: Late, number: int, grid: Grid) -> Iterator[str]:
        yield from check_place(late, number)
        if late.stops:
            yield "a reply stops late: in turn-taking, replies can only start late"
        else:
            yield from self.check_reply_delay(late, grid)
