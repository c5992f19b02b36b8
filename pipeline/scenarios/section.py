"""What a recipe says of timing in every scenario; each scenario adds its own keys."""

from typing import Annotated, ClassVar

from pydantic import Field

from ..dialogue import CHANNELS, Role
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
    def channels(self) -> frozenset[Role]:
        """Those on which somebody speaks."""
        return frozenset(CHANNELS)

    @property
    def frames_after_transcript(self) -> int | None:
        """From the transcript of a turn to the reply's speech; None: replies do not wait for a transcript."""
        return None
