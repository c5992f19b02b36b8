"""What a recipe says of timing in every scenario; each scenario adds its own keys."""

from typing import Annotated, ClassVar

from pydantic import Field

from ..recipe.sections import Many, Range, Seconds, Section


class Timing(Section):
    """Who speaks when. Defaults that a paper does not give are ours."""

    scenario: str
    takes: Many = 1  # each spoken dialogue is laid out this many times, with other draws each time
    lead_in_s: Range = Range(low=0.0, high=0.8)
    reply_delay_s: Seconds = 0.8
    next_turn_gap_s: Range = Range(low=0.5, high=3.0)
    tail_s: Seconds = 0.8
    fade_s: Annotated[float, Field(gt=0, le=0.2)] = 0.03  # at the end of an utterance that is cut

    PART: ClassVar[str | None] = "scenario"

    @property
    def lead_frames(self) -> int | None:
        """Frames between the transcript of a turn and the reply's speech; None: the scenario leaves none for it."""
        return None
