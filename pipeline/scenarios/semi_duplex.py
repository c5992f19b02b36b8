"""Semi-duplex: the assistant writes down what the user said before it answers (FLM-Audio section 3.2.2).

The paper's ASR-Response-TTS style. After a turn of the user's, `<asr>`, its transcript and `<answer>` are written, one
id per frame. Then comes the text of the reply, and its speech some frames later. In integers, for a turn that ends at
sample E, with n ids, spf samples per frame and L = `text_lead_frames`:

    first frame of the reply = ceil(E / spf) + n + 2 + L
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..dialogue import Event, Timeline
from .scenario import Amount, Clock, Grid, Late, Lateness, Spoken
from .section import Timing
from .turns import Turns, check_none_cut, check_place, starting_late

AROUND_TRANSCRIPT = 2  # ids: <asr> before it, <answer> after it
Frames = Annotated[int, Field(ge=0, le=1000)]


class SemiDuplexTiming(Timing):
    scenario: Literal["semi_duplex"] = "semi_duplex"
    text_lead_frames: Frames = 2  # from the first id of a reply to its speech; the layout says the same
    extra_delay_frames: Frames = 0  # ours: so many more at most, drawn, before each reply

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"reply_delay_s", "fade_s"})

    @property
    def frames_after_transcript(self) -> int:
        return self.text_lead_frames


@dataclass(frozen=True)
class SemiDuplex(Turns):
    """Nobody speaks while the other does, and each reply waits for a transcript."""

    timing: SemiDuplexTiming

    name: ClassVar[str] = "semi_duplex"
    Spec: ClassVar[type[Timing]] = SemiDuplexTiming
    LATENESS: ClassVar[tuple[Lateness, ...]] = ("starts",)
    RULE: ClassVar[str] = "when its transcript has been written"
    needs_text_ids: ClassVar[bool] = True

    def reply_starts(self, end_sample: int, text_ids: int | None, grid: Grid) -> range:
        if text_ids is None:
            raise ValueError("the number of text ids of a turn is not known")
        first = grid.frames(end_sample) + self._least_frames(text_ids)
        return range(
            first * grid.frame_samples,
            (first + self.timing.extra_delay_frames) * grid.frame_samples + 1,
            grid.frame_samples,
        )

    def _least_frames(self, text_ids: int) -> int:
        """From the user's last frame to the reply."""
        return text_ids + AROUND_TRANSCRIPT + self.timing.text_lead_frames

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        return self.place(spoken, clock, {})

    def check(self, events: Sequence[Event], text_ids: Sequence[int] | None, grid: Grid) -> Iterator[str]:
        yield from self.check_turns(events, text_ids, grid)
        yield from check_none_cut(events)

    def pauses_s(self, amount: Amount) -> float:
        timing = self.timing
        per_reply = AROUND_TRANSCRIPT + timing.text_lead_frames + timing.extra_delay_frames / 2 + 0.5
        frames = amount.exchanges * per_reply + amount.text_ids["user"]
        return frames * amount.frame_s + amount.exchanges * timing.next_turn_gap_s.mean

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """Any reply may start late."""
        return starting_late(events)

    def check_late(self, late: Late, number: int, grid: Grid) -> Iterator[str]:
        """How long the transcript is cannot be known here, only that it has an id at least."""
        yield from check_place(late, number)
        least = self._least_frames(1) * grid.frame_samples
        if late.stops:
            yield "a reply stops late: in this scenario, replies can only start late"
        elif late.delay_samples < least:
            delay_s, least_s = late.delay_samples / grid.sample_rate, least / grid.sample_rate
            yield f"chosen_delay_s is {delay_s:g}, expected at least {least_s:g}, for a transcript before the reply"
