"""Preference pairs: a row of a data set, and the same row with the assistant late (BayLing-Duplex sections 2.2 and 3).

Both sides have the same user ids, as many blocks and the same reply text. What moves, moves by whole text slots
(N / gcd(N, M) frames: 160 ms at 10 and 5), so that its codes stay as they are: ours, as tokenizing anew would change
what is said beside when. Positions are samples of the track or, where so named, frames of the sequence's assistant
channel, which runs one block ahead.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DialogueRejected
from ..layouts.bayling import BaylingLayout
from ..layouts.streams import Ids
from ..randomness import generator
from ..recipe.sections import Range
from .recipe import PairsRecipe

PURPOSE = "preferences"
LEAK_FRAMES = 1
"""Next to speech, a frame of silence may have codes of its own: it is not taken as silence elsewhere."""
NEXT_REPLY, OWN_END = "next_reply_too_soon", "reply_ends_too_soon"
Turn = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sequences, [ids] each, that differ in when the assistant starts or stops one reply."""

    turn: int  # index of that reply among the dialogue's turns
    chosen_ids: Ids
    rejected_ids: Ids
    chosen_delay_samples: int  # user's end to the reply's start; of an interrupted reply, barge-in to its stop
    rejected_delay_samples: int
    capped: bool  # less than was drawn, as the reply ends or the next one starts

    @property
    def difference_samples(self) -> int:
        return self.rejected_delay_samples - self.chosen_delay_samples


@dataclass(frozen=True, slots=True)
class Delay:
    """How late a reply may be: steps are drawn from low … high, and cut to the most there is room for."""

    turn: int
    low: int
    high: int
    most_samples: int | None  # None: nothing is in the way
    obstacle: str  # what is: the reason of a rejection


@dataclass(frozen=True, slots=True)
class Channels:
    """The three channels of one sequence, each flat."""

    user: Ids
    text: Ids
    assistant: Ids


@dataclass(frozen=True)
class PairMaker:
    """Makes pairs of the rows of one data set."""

    recipe: PairsRecipe
    layout: BaylingLayout
    sample_rate: int
    fade_samples: int  # at the end of an interrupted reply, what is changed of its last audio
    encode_text: Callable[[str], list[int]]

    def pair(self, row: dict[str, Any]) -> Pair:
        """The pair of one row of `data/`; raises DialogueRejected if no reply can be late enough.

        row: dialogue_id, scenario, turns and, as arrays, input_ids [ids] and uncut_codes [frames], which are the first
        codebook of assistant_uncut_codes or None.
        """
        rng = generator(self.recipe.seed, row["dialogue_id"], PURPOSE)
        interrupted = row["scenario"] == "interruption"
        turns: Sequence[Turn] = row["turns"]
        find = self._stopping_late if interrupted else self._starting_late
        delays = self._possible(
            [
                find(turns, index)
                for index, turn in enumerate(turns)
                if turn["role"] == "assistant" and turn["interrupted"] == interrupted
            ]
        )
        delay = delays[-1] if self.recipe.turn == "last" else delays[int(rng.integers(len(delays)))]
        drawn = int(rng.integers(delay.low, delay.high, endpoint=True)) * self.step_samples
        later = drawn if delay.most_samples is None else min(drawn, delay.most_samples)
        make = self._talking_on if interrupted else self._late
        return replace(make(row, delay.turn, later), capped=later < drawn)

    def _possible(self, delays: Sequence[Delay]) -> list[Delay]:
        """Those that differ enough; raises DialogueRejected, with what is most in the way of the best, if none does."""
        least = max(math.ceil(self.recipe.least_difference_s * self.sample_rate), self.step_samples)
        drawable = [delay for delay in delays if delay.low <= delay.high]
        if not drawable:
            raise DialogueRejected("delays_out_of_range", "no delay of the recipe's range is later than the row's own")
        possible = [delay for delay in drawable if delay.most_samples is None or delay.most_samples >= least]
        if not possible:
            best = max(drawable, key=lambda delay: delay.most_samples or 0)
            most_s = max(0, best.most_samples or 0) / self.sample_rate
            raise DialogueRejected(
                best.obstacle,
                f"turn {best.turn} can be {most_s:.2f} s later at most, least_difference_s is "
                f"{self.recipe.least_difference_s:g}",
            )
        return possible

    @cached_property
    def step_frames(self) -> int:
        """The fewest frames that are whole text slots."""
        return self.layout.user_tokens // math.gcd(self.layout.user_tokens, self.layout.text_tokens)

    @property
    def step_samples(self) -> int:
        return self.step_frames * self.layout.samples_per_frame

    @cached_property
    def _step_slots(self) -> int:
        return self.step_frames * self.layout.text_tokens // self.layout.user_tokens

    def _starting_late(self, turns: Sequence[Turn], index: int) -> Delay:
        """Neither side may hold anything of the next reply: both end with the last block before its [ASSISTANT]."""
        gap = turns[index]["start_sample"] - turns[index - 1]["end_sample"]
        most = None
        if index + 2 < len(turns):
            slots = self.layout.text_tokens
            past = self.layout.assistant_slot(turns[index + 2]["start_sample"]) // slots * slots
            free = past - 1 - self.layout.epad_slot(turns[index]["end_sample"])
            most = free // self._step_slots * self.step_samples
        return Delay(index, *self._steps(self.recipe.reply_delay_s, gap), most, NEXT_REPLY)

    def _stopping_late(self, turns: Sequence[Turn], index: int) -> Delay:
        """The reply talks on until it ends by itself, or its [EPAD] would stand where the next reply starts."""
        end = turns[index]["end_sample"]
        reaction = end - turns[index + 1]["start_sample"]
        latest = turns[index]["uncut_end_sample"]
        if index + 2 < len(turns):
            last_slot = self.layout.assistant_slot(turns[index + 2]["start_sample"]) - 1
            frame = last_slot * self.layout.user_tokens // self.layout.text_tokens + self.layout.user_tokens
            latest = min(latest, frame * self.layout.samples_per_frame)
        obstacle = NEXT_REPLY if latest < turns[index]["uncut_end_sample"] else OWN_END
        return Delay(index, *self._steps(self.recipe.reaction_delay_s, reaction), latest - end, obstacle)

    def _steps(self, wanted: Range, now_samples: int) -> tuple[int, int]:
        """The fewest and the most steps later that a reply which is `now_samples` late is to be."""
        least = math.ceil(self.recipe.least_difference_s * self.sample_rate)
        earliest = max(least, round(wanted.low * self.sample_rate) - now_samples)
        low = -(-earliest // self.step_samples)
        high = (round(wanted.high * self.sample_rate) - now_samples) // self.step_samples
        return low, high

    def _late(self, row: dict[str, Any], index: int, later: int) -> Pair:
        """The reply starts and ends `later` samples later, both sides ending with the block of its last [EPAD]."""
        turns, layout = row["turns"], self.layout
        frames = later // layout.samples_per_frame
        slots = frames * layout.text_tokens // layout.user_tokens
        start, epad = (
            layout.assistant_slot(turns[index]["start_sample"]),
            layout.epad_slot(turns[index]["end_sample"]),
        )
        blocks = (epad + slots) // layout.text_tokens + 1
        chosen = self._cut(row, blocks)
        late_text = np.full_like(chosen.text, layout.vocabulary.silence)
        late_text[:start] = chosen.text[:start]
        late_text[start + slots : epad + slots + 1] = chosen.text[start : epad + 1]
        moved = moved_from(layout, start)
        silence = np.resize(self._silence(row, "assistant"), frames)
        kept = chosen.assistant[moved : len(chosen.assistant) - frames]
        late = replace(chosen, text=late_text, assistant=np.concatenate([chosen.assistant[:moved], silence, kept]))
        gap = turns[index]["start_sample"] - turns[index - 1]["end_sample"]
        return Pair(index, self._join(chosen), self._join(late), gap, gap + later, capped=False)

    def _cut(self, row: dict[str, Any], blocks: int) -> Channels:
        """The first blocks of a row, silence of its own after its end."""
        whole = self._split(row["input_ids"][: blocks * self.layout.ids_per_block])
        missing = blocks - len(row["input_ids"]) // self.layout.ids_per_block
        if missing <= 0:
            return whole
        frames, slots = missing * self.layout.user_tokens, missing * self.layout.text_tokens
        return Channels(
            np.append(whole.user, np.resize(self._silence(row, "user"), frames)),
            np.append(whole.text, np.full(slots, self.layout.vocabulary.silence, np.int32)),
            np.append(whole.assistant, np.resize(self._silence(row, "assistant"), frames)),
        )

    def _silence(self, row: dict[str, Any], role: str) -> Ids:
        """Ids of the frames of a row in which somebody does not speak, in order."""
        channels = self._split(row["input_ids"])
        frames, shift = (channels.user, 0) if role == "user" else (channels.assistant, self.layout.user_tokens)
        silent: NDArray[np.bool_] = np.ones(len(frames), np.bool_)
        for turn in row["turns"]:
            if turn["role"] == role:
                first = turn["start_sample"] // self.layout.samples_per_frame - shift - LEAK_FRAMES
                past = -(-turn["end_sample"] // self.layout.samples_per_frame) - shift + LEAK_FRAMES
                silent[max(first, 0) : max(past, 0)] = False
        if not silent.any():
            raise DialogueRejected("no_silence", f"the {role} speaks in every frame, so that silence cannot be added")
        return frames[silent]

    def _talking_on(self, row: dict[str, Any], index: int, later: int) -> Pair:
        """The reply stops `later` samples later; its text goes on as if it had been cut there."""
        turns, layout = row["turns"], self.layout
        end = turns[index]["end_sample"]
        stop = end + later
        chosen = self._split(row["input_ids"])
        start, epad, late_epad = (
            layout.assistant_slot(turns[index]["start_sample"]),
            layout.epad_slot(end),
            layout.epad_slot(stop),
        )
        written = self._whole_text(chosen.text[start + 1 : epad], turns[index]["text"])[: late_epad - start - 1]
        text = chosen.text.copy()
        text[start + 1 : late_epad] = layout.vocabulary.pad
        text[start + 1 : start + 1 + len(written)] = written
        text[late_epad] = layout.vocabulary.epad
        first = max(turns[index]["start_sample"], end - self.fade_samples) // layout.samples_per_frame
        past = -(-stop // layout.samples_per_frame)
        assistant = chosen.assistant.copy()
        assistant[first - layout.user_tokens : past - layout.user_tokens] = layout.vocabulary.audio_ids(
            row["uncut_codes"][first:past]
        )
        reaction = end - turns[index + 1]["start_sample"]
        late = replace(chosen, text=text, assistant=assistant)
        return Pair(index, row["input_ids"], self._join(late), reaction, reaction + later, capped=False)

    def _whole_text(self, written: Ids, text: str) -> Ids:
        """Ids of a whole reply, of which a sequence may have had room for the first ones only."""
        is_pad = written == self.layout.vocabulary.pad
        return written[~is_pad] if is_pad.any() else np.array(self.encode_text(text), np.int32)

    def _split(self, ids: Ids) -> Channels:
        blocks = ids.reshape(-1, self.layout.ids_per_block)
        text = self.layout.user_tokens
        assistant = text + self.layout.text_tokens
        return Channels(
            blocks[:, :text].reshape(-1), blocks[:, text:assistant].reshape(-1), blocks[:, assistant:].reshape(-1)
        )

    def _join(self, channels: Channels) -> Ids:
        blocks = len(channels.text) // self.layout.text_tokens
        parts = [channel.reshape(blocks, -1) for channel in (channels.user, channels.text, channels.assistant)]
        return np.concatenate(parts, axis=1).reshape(-1)


def moved_from(layout: BaylingLayout, assistant_slot: int) -> int:
    """First frame of the assistant channel that moves with a reply: that of the slot before its first audio."""
    slot = assistant_slot - layout.ast_offset - 1
    return max(0, -(-slot * layout.user_tokens // layout.text_tokens))
