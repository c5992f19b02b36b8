"""Free input: the user speaks whenever he likes, also during replies (FLM-Audio section 3.2.2).

The paper's Response-TTS style with free user inputs. Replies come as early as that style allows: their text starts in
the frame after the user's last one, and their speech two frames later.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ..dialogue import Event, Timeline
from ..recipe.sections import Range, Seconds, Share
from .barge_in import BargeIns, BargeInTiming, stopping_late
from .scenario import Clock, Grid, Late, Lateness, Spoken
from .section import Timing
from .turns import check_place, starting_late


class FreeInputTiming(BargeInTiming):
    scenario: Literal["free_input"] = "free_input"
    # Three frames of 80 ms: with two, text that leads by two frames could start in the frame in which the user ends.
    reply_delay_s: Seconds = 0.24
    reaction_delay_s: Range = Range(low=0.5, high=0.5)
    interruption_probability: Share = 0.7
    longest_negative_delay_s: Seconds = 0.0  # ours: the paper has barge-ins at any time, and makes no pairs


@dataclass(frozen=True)
class FreeInput(BargeIns):
    """Each reply that can be cut is cut by chance, so in some dialogues none is."""

    name: ClassVar[str] = "free_input"
    Spec: ClassVar[type[Timing]] = FreeInputTiming
    LATENESS: ClassVar[tuple[Lateness, ...]] = ("starts", "stops")

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        eligible = self.eligible(spoken, clock)
        return self.place_cut(spoken, clock, {index: eligible[index] for index in self.chosen(eligible, clock)})

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """Each reply that is cut can stop late, and any other can start late."""
        return sorted([*starting_late(events), *stopping_late(events)], key=lambda late: late.event)

    def check_late(self, late: Late, number: int, grid: Grid) -> Iterator[str]:
        yield from check_place(late, number)
        yield from self.check_stop(late, grid) if late.stops else self.check_reply_delay(late, grid)
