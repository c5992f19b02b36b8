"""What holds for every preference pair, checked from the pair alone (BayLing-Duplex sections 2.2 and 3)."""

import math
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dataset.recipe import Recipe
from ..layouts.bayling import BaylingLayout
from ..layouts.streams import SequenceStreams, WrittenReply
from .maker import moved_from
from .recipe import PairsRecipe

Row = dict[str, Any]
CAPPED = "capped"
"""Under which the ledger notes pairs whose delay is less than was drawn."""


@dataclass(frozen=True)
class PairChecker:
    """Checks pairs of one data set. Each check yields what is wrong, in words."""

    recipe: PairsRecipe
    made_of: Recipe  # of the data set the pairs were made from
    layout: BaylingLayout

    def before_rows(self) -> Iterator[str]:
        """The vocabulary is that of the data set they were made from, byte for byte."""
        yield from ()

    def check(self, row: Row) -> Iterator[str]:
        ids = row["num_blocks"] * self.layout.ids_per_block
        if row["scenario"] != self.made_of.timing.scenario:
            expected = self.made_of.timing.scenario
            yield f"scenario is {reprlib.repr(row['scenario'])}, that of the data set is {expected!r}"
            return
        if {len(row["chosen_ids"]), len(row["rejected_ids"])} != {ids}:
            yield f"{len(row['chosen_ids'])} and {len(row['rejected_ids'])} ids are not {row['num_blocks']} blocks each"
            return
        try:
            chosen, rejected = (self.layout.decode(np.asarray(row[f"{side}_ids"])) for side in ("chosen", "rejected"))
        except ValueError as error:
            yield f"a sequence cannot be taken apart: {error}"
            return
        if not np.array_equal(chosen.user_codes, rejected.user_codes):
            yield "the user's ids of the two sides differ"
        if len(chosen.replies) != len(rejected.replies) or not 0 <= row["turn"] // 2 < len(chosen.replies):
            yield f"the sides have {len(chosen.replies)} and {len(rejected.replies)} replies, and turn is {row['turn']}"
            return
        if row["turn"] % 2 != 1:
            yield f"turn {row['turn']} is the user's"
        track_s = row["num_blocks"] * self.layout.block_samples / self._rate
        delays = [row["chosen_delay_s"], row["rejected_delay_s"]]
        if not all(0 <= delay <= track_s for delay in delays):  # a NaN is none, too
            yield f"the delays are {delays[0]:g} and {delays[1]:g} s, in {track_s:g} s"
            return
        number = row["turn"] // 2
        for other, (left, right) in enumerate(zip(chosen.replies, rejected.replies, strict=True)):
            if other != number and left != right:
                yield f"reply {other + 1} differs, and it is not the one of turn {row['turn']}"
        yield from self._check_delays(row)
        check = self._check_late if row["scenario"] == "turn_taking" else self._check_talking_on
        yield from check(row, chosen, rejected)

    def _check_delays(self, row: Row) -> Iterator[str]:
        chosen, rejected = self._samples(row["chosen_delay_s"]), self._samples(row["rejected_delay_s"])
        turn_taking = row["scenario"] == "turn_taking"
        wanted = self.recipe.reply_delay_s if turn_taking else self.recipe.reaction_delay_s
        if rejected - chosen < math.ceil(self.recipe.least_difference_s * self._rate):
            yield f"the delays differ by {rejected - chosen} samples, less than least_difference_s"
        if rejected > self._samples(wanted.high) or (rejected < self._samples(wanted.low) and not row["capped"]):
            yield f"rejected_delay_s is {row['rejected_delay_s']:g}, outside [{wanted.low:g}, {wanted.high:g}]"
        timing = self.made_of.timing
        own = timing.reaction_delay_s
        if turn_taking and chosen != self._samples(timing.reply_delay_s):
            yield f"chosen_delay_s is {row['chosen_delay_s']:g}, not reply_delay_s of the data set"
        if not turn_taking and not self._samples(own.low) <= chosen <= self._samples(own.high):
            yield f"chosen_delay_s is {row['chosen_delay_s']:g}, outside reaction_delay_s of the data set"

    def _check_late(self, row: Row, chosen: SequenceStreams, rejected: SequenceStreams) -> Iterator[str]:
        left, right = chosen.replies[row["turn"] // 2], rejected.replies[row["turn"] // 2]
        if left.text_ids != right.text_ids:
            yield "the text of the late reply differs"
        if right is not rejected.replies[-1]:
            yield "the late reply is not the last of its side"
        if row["num_blocks"] != right.epad_slot // self.layout.text_tokens + 1:
            yield "the sides do not end with the block of the late reply's [EPAD]"
        frames, rest = divmod(self._samples(row["rejected_delay_s"] - row["chosen_delay_s"]), self._frame)
        slots, half = divmod(frames * self.layout.text_tokens, self.layout.user_tokens)
        if rest or half:
            yield "the delays do not differ by whole text slots"
            return
        if (right.assistant_slot - left.assistant_slot, right.epad_slot - left.epad_slot) != (slots, slots):
            yield f"[ASSISTANT] and [EPAD] are not both {slots} slots later"
            return
        if self.recipe.retokenize:
            return
        moved = moved_from(self.layout, left.assistant_slot)
        before, after = chosen.assistant_codes[0], rejected.assistant_codes[0]
        if not np.array_equal(before[:moved], after[:moved]):
            yield "the assistant's audio before the late reply differs"
        if not np.array_equal(before[moved : len(before) - frames], after[moved + frames :]):
            yield "the late reply's audio is not that of the chosen side, moved"
        if not set(after[moved : moved + frames].tolist()) <= set(self._silent(chosen)):
            yield "the assistant is not silent while the late reply is awaited"

    def _silent(self, streams: SequenceStreams) -> list[int]:
        """Codes of the assistant's frames outside its replies."""
        codes = streams.assistant_codes[0]
        silent = np.ones(len(codes), np.bool_)
        for reply in streams.replies:
            silent[self._shifted(reply.start_frames.start) : self._shifted(reply.end_frames.stop - 1)] = False
        return [int(code) for code in codes[silent]]

    def _check_talking_on(self, row: Row, chosen: SequenceStreams, rejected: SequenceStreams) -> Iterator[str]:
        left, right = chosen.replies[row["turn"] // 2], rejected.replies[row["turn"] // 2]
        if left.assistant_slot != right.assistant_slot:
            yield "the interrupted reply does not start where it does on the chosen side"
        if right.text_ids[: len(left.text_ids)] != left.text_ids:
            yield "the chosen side's text is not the beginning of the rejected side's"
        if left.epad_slot - left.assistant_slot - 1 > len(left.text_ids) and right.text_ids != left.text_ids:
            yield "the chosen side says the whole text, and the rejected side another"
        later = self._samples(row["rejected_delay_s"] - row["chosen_delay_s"])
        if not self._may_differ_by(left, right, later):
            yield f"[EPAD] does not stand {later} samples later"
        fade = -(-self._samples(self.made_of.timing.fade_s) // self._frame)
        first = self._shifted(left.end_frames.start - 1 - fade)
        past = self._shifted(right.end_frames.stop - 1)
        before, after = chosen.assistant_codes[0], rejected.assistant_codes[0]
        differs = np.flatnonzero(before != after)
        if not len(differs) or differs[-1] < self._shifted(left.end_frames.stop - 1):
            yield "the rejected side does not talk on"
        elif differs[0] < first or differs[-1] >= past:
            found = f"frames {differs[0]} to {differs[-1]}"
            yield f"the assistant's audio differs in {found}, outside {first} to {past - 1}"

    def _may_differ_by(self, left: WrittenReply, right: WrittenReply, samples: int) -> bool:
        """Whether two ends within the frames that [EPAD] leaves open may be this far apart."""
        least = (right.end_frames.start - left.end_frames.stop) * self._frame
        most = (right.end_frames.stop - left.end_frames.start) * self._frame
        return least < samples < most

    def _shifted(self, frame: int) -> int:
        return max(0, frame - self.layout.user_tokens)

    @property
    def _frame(self) -> int:
        return self.layout.samples_per_frame

    @property
    def _rate(self) -> int:
        return self.made_of.output.sample_rate

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._rate)
