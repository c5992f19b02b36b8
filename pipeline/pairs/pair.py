"""What a pair is, and which mistakes its rejected side makes."""

from dataclasses import dataclass

from ..dialogue import CodedTrack

LATE_START, LATE_STOP = "late_start", "late_stop"
FALSE_STOP, TAKE_OVER = "false_stop", "take_over"
MISTAKES = (LATE_START, LATE_STOP, FALSE_STOP, TAKE_OVER)
"""A reply starts or stops late (BayLing-Duplex section 3); ours: it stops for what it should have ignored, or it starts
while the user only hesitates."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tracks of equal length. They differ in when the assistant starts or stops one reply."""

    event: int  # index of that reply in the dialogue
    mistake: str  # one of MISTAKES
    chosen: CodedTrack
    rejected: CodedTrack
    # Of a start, from the user's end. Of a stop, from the barge-in or the aside.
    chosen_delay_samples: int
    rejected_delay_samples: int
    capped: bool  # the rejected side is less wrong than drawn: there was no room for more

    @property
    def difference_samples(self) -> int:
        return self.rejected_delay_samples - self.chosen_delay_samples
