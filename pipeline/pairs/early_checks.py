"""What must hold for a pair whose rejected side is early: it stops for an aside, or answers into a pause."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layouts.layout import Layout
from .edits import LEAK_FRAMES
from .recipe import PairsRecipe
from .sides import Sides, among, later, whole_blocks

Row = Mapping[str, Any]


@dataclass(frozen=True)
class EarlyChecker:
    recipe: PairsRecipe
    layout: Layout
    block_frames: int
    sample_rate: int  # Hz

    def check(self, row: Row, sides: Sides) -> Iterator[str]:
        if row["event"] <= sides.number:
            yield f"event {row['event']} is not the wrong reply, which is the assistant's number {sides.number + 1}"
        if not sides.number + 1 == len(sides.chosen.replies) == len(sides.rejected.replies):
            yield "the wrong reply is not the last one on both sides"
            return
        left, _ = sides.replies
        ends = {whole_blocks(end + LEAK_FRAMES, self.block_frames) for end in left.end_frames}
        if sides.frames not in ends:
            yield f"the sides have {sides.frames} frames, and do not end with the wrong reply"
        yield from (self._check_false_stop if sides.stops else self._check_take_over)(row, sides)

    def _check_false_stop(self, row: Row, sides: Sides) -> Iterator[str]:
        left, right = sides.replies
        delays, frame_s = self.recipe.false_stop_delay_s, self.layout.samples_per_frame / self.sample_rate
        if not delays.low <= row["rejected_delay_s"] <= delays.high + frame_s:
            yield f"rejected_delay_s is {row['rejected_delay_s']:g}, outside [{delays.low:g}, {delays.high:g}]"
        if -sides.later < math.ceil(self.recipe.least_difference_s * self.sample_rate):
            yield f"the delays differ by {-sides.later} samples, less than least_difference_s"
        if left.text_ids[: len(right.text_ids)] != right.text_ids:
            yield "the text of the reply that stops is not the beginning of the chosen one"
        if not sides.differ_as_told:
            yield f"the reply does not stop {-sides.later} samples earlier"
        before, after = sides.chosen.assistant_codes, sides.rejected.assistant_codes
        first_shown = self.layout.first_assistant_frame
        talks = max(0, right.end_frames.start - first_shown)
        if not np.array_equal(before[:, :talks], after[:, :talks]):
            yield "the assistant's audio before the false stop differs"
        if not among(after[:, max(0, right.end_frames[-1] - first_shown) :], sides.silence):
            yield "the assistant is not silent after the false stop"

    def _check_take_over(self, row: Row, sides: Sides) -> Iterator[str]:
        left, right = sides.replies
        step = self.layout.step_frames * self.layout.samples_per_frame
        if row["rejected_delay_s"] >= 0 or sides.later % step:
            yield f"the reply starts {-sides.later} samples earlier, expected before the user's end, in steps of {step}"
        if left.text_ids != right.text_ids:
            yield "the text of the early reply differs"
        frames = -sides.later // self.layout.samples_per_frame
        expected = later(right.start_frames, frames), later(right.end_frames, frames)
        if (left.start_frames, left.end_frames) != expected:
            yield f"the early reply does not start and end {frames} frames earlier"
            return
        problems = [[*self._check_moved_back(sides, start, frames)] for start in left.start_frames]
        yield from min(problems, key=len)

    def _check_moved_back(self, sides: Sides, start: int, frames: int) -> Iterator[str]:
        """What is wrong with the assistant's codes if the reply starts with frame `start` on the chosen side."""
        before, after = sides.chosen.assistant_codes, sides.rejected.assistant_codes
        left, _ = sides.replies
        first = max(0, start - LEAK_FRAMES - self.layout.first_assistant_frame)
        end = min(left.end_frames.start + LEAK_FRAMES - self.layout.first_assistant_frame, before.shape[1])
        if not np.array_equal(before[:, : first - frames], after[:, : first - frames]):
            yield "the assistant's audio before the early reply differs"
        if not np.array_equal(before[:, first:end], after[:, first - frames : end - frames]):
            yield f"the early reply's audio is not that of the chosen side, {frames} frames earlier"
        if not among(after[:, end - frames :], sides.silence):
            yield "the assistant is not silent after the early reply"
