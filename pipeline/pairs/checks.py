"""What must hold for every preference pair, checked on the pair alone (BayLing-Duplex sections 2.2 and 3).

No tokenizer is loaded and no layout is named: `Layout.written` says what is in a row, in frames and text ids.
"""

import math
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from ..dataset.recipe import Recipe
from ..dataset.schema import SIDES
from ..layouts.layout import Layout
from ..scenarios.scenario import Grid, Late, Scenario
from ..scenarios.scenarios import make_scenario
from .early_checks import EarlyChecker
from .edits import LEAK_FRAMES
from .pair import FALSE_STOP, LATE_START, LATE_STOP, MISTAKES, TAKE_OVER
from .recipe import PairsRecipe
from .sides import Sides, among, later, whole_blocks

Row = dict[str, Any]
CAPPED = "capped"
"""The ledger's note for pairs whose delay is shorter than the drawn one."""


@dataclass(frozen=True)
class PairChecker:
    """Checks the pairs of one data set. Each check yields what is wrong, in words."""

    recipe: PairsRecipe
    made_of: Recipe  # of the data set that the pairs were made from
    layout: Layout

    def before_rows(self) -> Iterator[str]:
        """Nothing: the vocabulary was copied, and its checksums are in the key of the plan."""
        yield from ()

    def check_all(self, rows: Sequence[Row], most: int) -> Iterator[list[str]]:
        return ([*islice(self.check(row), most)] for row in rows)

    def check(self, row: Row) -> Iterator[str]:
        if row["scenario"] != (expected := self.made_of.timing.scenario):
            yield f"scenario is {reprlib.repr(row['scenario'])}, expected that of the data set, {expected!r}"
            return
        rows = [{field.name: row[f"{side}_{field.name}"] for field in self.layout.COLUMNS} for side in SIDES]
        try:
            chosen, rejected = map(self.layout.written, rows)
        except ValueError as error:
            yield f"a side cannot be taken apart: {error}"
            return
        lengths = [self.layout.length(side) for side in rows]
        if lengths[0] != lengths[1]:
            yield f"the sides have {lengths[0]} and {lengths[1]} frames, expected equal lengths"
            return
        if not np.array_equal(chosen.user_codes, rejected.user_codes):
            yield "the user's codes of the two sides differ"
        track_s = lengths[0] * self.layout.samples_per_frame / self._rate
        delays = [row["chosen_delay_s"], row["rejected_delay_s"]]
        if not all(abs(delay) <= track_s for delay in delays):  # a NaN fails, too
            yield f"the delays are {delays[0]:g} and {delays[1]:g} s, and the sides only {track_s:g} s"
            return
        replies = zip(chosen.replies, rejected.replies, strict=False)
        number = next((number for number, (left, right) in enumerate(replies) if left != right), None)
        if number is None:
            yield "no reply is wrong: the replies of the two sides are the same, or one side has none"
            return
        difference = self._samples(delays[1]) - self._samples(delays[0])
        yield from self._check_mistake(row, Sides(chosen, rejected, number, lengths[0], difference, self.layout))

    def _check_mistake(self, row: Row, sides: Sides) -> Iterator[str]:
        mistake = row["mistake"]
        if mistake not in self._mistakes or sides.stops != (mistake in (LATE_STOP, FALSE_STOP)):
            yield f"the mistake is {reprlib.repr(mistake)}, and the sides differ in how a reply {sides.how}"
            return
        if mistake in (FALSE_STOP, TAKE_OVER):
            yield from self._early.check(row, sides)
            return
        late = Late(row["event"], sides.stops, self._samples(row["chosen_delay_s"]), None)
        yield from self._scenario.check_late(late, sides.number, Grid(self._rate, self._frame))
        yield from self._check_delays(row, sides)
        yield from (self._check_talking_on if sides.stops else self._check_late)(sides)

    @cached_property
    def _early(self) -> EarlyChecker:
        return EarlyChecker(self.recipe, self.layout, self.made_of.layout.block_frames, self._rate)

    @cached_property
    def _mistakes(self) -> frozenset[str]:
        """Those that the recipe allows."""
        late = {LATE_START, LATE_STOP} if "late" in self.recipe.mistakes else set()
        return frozenset(late | (set(MISTAKES) & set(self.recipe.mistakes)))

    def _check_delays(self, row: Row, sides: Sides) -> Iterator[str]:
        rejected = self._samples(row["rejected_delay_s"])
        delays = self.recipe.reaction_delay_s if sides.stops else self.recipe.reply_delay_s
        if sides.later < math.ceil(self.recipe.least_difference_s * self._rate):
            yield f"the delays differ by {sides.later} samples, less than least_difference_s"
        if rejected > self._samples(delays.high) or (rejected < self._samples(delays.low) and not row["capped"]):
            yield f"rejected_delay_s is {row['rejected_delay_s']:g}, outside [{delays.low:g}, {delays.high:g}]"
        step = self.layout.step_frames * self._frame
        if sides.later % step and not (sides.stops and row["capped"]):
            yield f"the delays differ by {sides.later} samples, expected a multiple of {step}"

    def _check_late(self, sides: Sides) -> Iterator[str]:
        left, right = sides.replies
        if left.text_ids != right.text_ids:
            yield "the text of the late reply differs"
        if not sides.number + 1 == len(sides.chosen.replies) == len(sides.rejected.replies):
            yield "the late reply is not the last one on both sides"
        ends = {whole_blocks(end + LEAK_FRAMES, self.made_of.layout.block_frames) for end in right.end_frames}
        if sides.frames not in ends:
            yield f"the sides have {sides.frames} frames, and do not end with the late reply"
        frames = sides.later // self._frame
        expected = later(left.start_frames, frames), later(left.end_frames, frames)
        if (right.start_frames, right.end_frames) != expected:
            yield f"the late reply does not start and end {frames} frames later"
            return
        if self.recipe.retokenize:
            return
        problems = [[*self._check_moved(sides, start, frames)] for start in left.start_frames]
        yield from min(problems, key=len)

    def _check_moved(self, sides: Sides, start: int, frames: int) -> Iterator[str]:
        """What is wrong with the assistant's codes if the reply starts with frame `start` on the chosen side."""
        before, after = sides.chosen.assistant_codes, sides.rejected.assistant_codes
        _, right = sides.replies
        first = max(0, start - LEAK_FRAMES - self.layout.first_assistant_frame)
        end = min(right.end_frames.start + LEAK_FRAMES - self.layout.first_assistant_frame, after.shape[1])
        if not np.array_equal(before[:, :first], after[:, :first]):
            yield "the assistant's audio before the late reply differs"
        if not np.array_equal(before[:, first : end - frames], after[:, first + frames : end]):
            yield f"the late reply's audio is not that of the chosen side, {frames} frames later"
        silence = sides.silence
        if not among(after[:, first : first + frames], silence):
            yield "the assistant is not silent before the late reply"
        if not among(after[:, end:], silence):
            yield "the assistant is not silent after the late reply"

    def _check_talking_on(self, sides: Sides) -> Iterator[str]:
        left, right = sides.replies
        if right.text_ids[: len(left.text_ids)] != left.text_ids:
            yield "the late reply's text does not begin with that of the chosen side"
        if left.room > len(left.text_ids) and right.text_ids != left.text_ids:
            yield "the chosen side has the whole text of the reply, and the rejected side another text"
        if not sides.differ_as_told:
            yield f"the late reply does not stop {sides.later} samples later"
        first_shown = self.layout.first_assistant_frame
        before, after = sides.chosen.assistant_codes, sides.rejected.assistant_codes
        fade = -(-self._samples(self.made_of.timing.fade_s) // self._frame)
        first = max(0, left.end_frames.start - 1 - fade - first_shown)
        if not np.array_equal(before[:, :first], after[:, :first]):
            yield "the assistant's audio before the chosen side's stop differs"
        talks = slice(max(0, left.end_frames[-1] - first_shown), max(0, right.end_frames.start - first_shown))
        if np.array_equal(before[:, talks], after[:, talks]):
            yield "the rejected side does not go on after the chosen side's stop"
        yield from self._check_answer(sides)

    def _check_answer(self, sides: Sides) -> Iterator[str]:
        """What is wrong after the late stop, where the answer follows, or nothing."""
        after_it = sides.number + 1
        left, right = sides.chosen.replies[after_it:], sides.rejected.replies[after_it:]
        if len(right) > 1 or len(right) > len(left):
            yield f"after the late reply there are {len(right)} replies, and {len(left)} on the chosen side"
            return
        stop_frames = sides.replies[1].end_frames
        after, silence = sides.rejected.assistant_codes, sides.silence
        first_shown = self.layout.first_assistant_frame
        if not right:
            if not among(after[:, max(0, stop_frames[-1] - first_shown) :], silence):
                yield "the assistant is not silent after the late stop"
            return
        frames = right[0].start_frames.start - left[0].start_frames.start
        if frames < 0 or frames % self.layout.step_frames:
            yield f"the answer moves by {frames} frames, expected a multiple of {self.layout.step_frames}"
            return
        texts = sorted((left[0].text_ids, right[0].text_ids), key=len)
        if texts[1][: len(texts[0])] != texts[0]:
            yield "the answer has another text"
        problems = [[*self._check_answer_from(sides, start, frames)] for start in left[0].start_frames]
        yield from min(problems, key=len)

    def _check_answer_from(self, sides: Sides, start: int, frames: int) -> Iterator[str]:
        """What is wrong with the assistant's codes if the answer starts with frame `start` on the chosen side."""
        before, after = sides.chosen.assistant_codes, sides.rejected.assistant_codes
        first_shown, silence = self.layout.first_assistant_frame, sides.silence
        right = sides.rejected.replies[sides.number + 1]
        first = max(0, start - LEAK_FRAMES - first_shown)
        end = min(right.end_frames.start - first_shown, after.shape[1])
        stop = max(0, sides.replies[1].end_frames[-1] - first_shown)
        first = first if frames else min(first, stop)  # if the answer does not move, nor does the silence before it
        if not np.array_equal(before[:, first : end - frames], after[:, first + frames : end]):
            yield f"the answer's audio is not that of the chosen side, {frames} frames later"
        if not among(after[:, stop : first + frames], silence):
            yield "the assistant is not silent between the late stop and its answer"
        if not among(after[:, max(0, right.end_frames[-1] - first_shown) :], silence):
            yield "the assistant is not silent after its answer"

    @cached_property
    def _scenario(self) -> Scenario:
        return make_scenario(self.made_of.timing)

    @property
    def _frame(self) -> int:
        return self.layout.samples_per_frame

    @property
    def _rate(self) -> int:
        return self.made_of.output.sample_rate

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._rate)
