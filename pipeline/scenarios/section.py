"""What a recipe may say of timing."""

from typing import Annotated, Literal

from pydantic import Field

from ..recipe.sections import Many, Range, Seconds, Section, Share


class Timing(Section):
    """BayLing-Duplex section 3; what it leaves open is marked ours in the documentation."""

    scenario: Literal["turn_taking", "interruption"]
    takes: Many = 1  # each spoken dialogue laid out this many times, every time with other draws
    lead_in_s: Range = Range(low=0.0, high=0.8)
    reply_delay_s: Seconds = 0.8
    next_turn_gap_s: Range = Range(low=0.5, high=3.0)
    tail_s: Seconds = 0.8
    reaction_delay_s: Range = Range(low=0.8, high=2.0)
    interruption_probability: Share = 1.0
    heard_before_barge_in_s: Seconds = 0.5
    longest_negative_delay_s: Seconds = 5.0
    fade_s: Annotated[float, Field(gt=0, le=0.2)] = 0.03
