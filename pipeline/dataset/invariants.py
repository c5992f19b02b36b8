"""What holds for every row of `data/`, checked from the row alone."""

import math
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ..audio import flac
from ..dialogue import CHANNELS
from ..layouts.streams import Layout, SequenceStreams
from ..recipe.sections import Range
from ..sources.section import Source
from ..tokens.protocols import SpeechTokenizer, TextTokenizer
from ..tokens.track import tokenize
from .recipe import Recipe

Row = dict[str, Any]
ROUNDED_SHARE = 0.02
"""Of a codebook's codes of a channel's speech, how many another machine may give otherwise, if they are a network's.

Two entries of a codebook can be about equally near, and float32 is not rounded alike everywhere. Measured on small
networks of random weights, 30 s a signal, over all codebooks: none with another number of threads, at most 0.4 % with
weights off by 1e-5. In lower precision (weights off by 1e-3) it was 13 to 19 % of Mimi's, of a signal moved by one
frame at least 20 %.
"""

LONGEST_TRACK_S = 4 * 3600


@dataclass(frozen=True)
class Checker:
    """Checks rows of one data set. Each check yields what is wrong, in words."""

    recipe: Recipe
    layout: Layout
    text_tokenizer: TextTokenizer
    speech_tokenizer: SpeechTokenizer

    def check(self, row: Row) -> Iterator[str]:
        """What is wrong with a row of the right columns, whatever they hold; lists hold no null."""
        if row["scenario"] != self.recipe.timing.scenario:
            yield f"scenario is {reprlib.repr(row['scenario'])}, the recipe says {self.recipe.timing.scenario!r}"
        if len(row["input_ids"]) != row["num_blocks"] * self.layout.ids_per_block:
            yield f"{len(row['input_ids'])} ids are not {row['num_blocks']} blocks of {self.layout.ids_per_block}"
            return
        try:
            streams = self.layout.decode(np.asarray(row["input_ids"], dtype=np.int32))
        except ValueError as error:
            yield f"the sequence cannot be taken apart: {error}"
            return
        yield from self._check_turns(row)
        misshapen = [*self._misshapen_codes(row)]
        yield from misshapen or self._check_codes(row, streams)
        yield from self._check_replies(row, streams)
        if (row.get("audio") is not None) != (self.recipe.output.audio == "flac"):
            yield "audio and the recipe's output.audio disagree"
        if row.get("audio") is not None and not misshapen:
            yield from self._check_audio(row, streams)

    def _check_turns(self, row: Row) -> Iterator[str]:
        turns, timing, rate = row["turns"], self.recipe.timing, self.recipe.output.sample_rate
        end = row["num_blocks"] * self.layout.block_samples
        if not turns or [turn["role"] for turn in turns] != [*CHANNELS] * (len(turns) // 2):
            yield "turns do not alternate from user to assistant"
            return
        user_voice = turns[0]["voice"]
        if not _within(turns[0]["start_sample"], timing.lead_in_s, rate):
            yield f"the first turn starts at sample {turns[0]['start_sample']}, outside lead_in_s"
        for index, turn in enumerate(turns):
            if not 0 <= turn["start_sample"] < turn["end_sample"] <= end:
                yield f"turn {index} lies at [{turn['start_sample']}, {turn['end_sample']}) of {end} samples"
            if turn["interrupted"] != (turn["reaction_samples"] is not None):
                yield f"turn {index}: interrupted and reaction_samples disagree"
            yield from self._check_uncut_end(index, turn, end)
            if turn["interrupted"] and (turn["role"] == "user" or turn is turns[-1]):
                yield f"turn {index} is interrupted, but is no reply that a turn of the user follows"
            if not turn["text"].strip():
                yield f"turn {index} says nothing"
            heard = turn["text"][: len(turn["spoken_text"])] if turn["interrupted"] else turn["text"]
            if turn["spoken_text"] != heard:
                yield f"turn {index}: spoken_text is not what is heard of its text"
            if turn["voice"] != (self.recipe.speech.assistant_voice if turn["role"] == "assistant" else user_voice):
                yield f"turn {index} has the voice {reprlib.repr(turn['voice'])}"
        if max(turn["end_sample"] for turn in turns) + round(timing.tail_s * rate) > end:
            yield "the last turn leaves less silence than tail_s"
        for index, (before, turn) in enumerate(pairwise(turns), start=1):
            yield from self._check_gap(index, before, turn)
        if (timing.scenario == "interruption") != any(turn["interrupted"] for turn in turns):
            yield f"interrupted turns do not fit the scenario {timing.scenario!r}"

    def _check_uncut_end(self, index: int, turn: Row, end: int) -> Iterator[str]:
        uncut = turn.get("uncut_end_sample")
        if turn["interrupted"] != (uncut is not None):
            yield f"turn {index}: interrupted and uncut_end_sample disagree"
        elif uncut is not None and not turn["end_sample"] <= uncut <= end:
            yield f"turn {index}: uncut_end_sample {uncut} does not lie between its end and the track's"

    def _check_gap(self, index: int, before: Row, turn: Row) -> Iterator[str]:
        timing, rate = self.recipe.timing, self.recipe.output.sample_rate
        gap = turn["start_sample"] - before["end_sample"]
        if turn["role"] == "assistant":
            if gap != round(timing.reply_delay_s * rate):
                yield f"turn {index} starts {gap} samples after the user's end, not reply_delay_s"
        elif before["reaction_samples"] is None:
            if not _within(gap, timing.next_turn_gap_s, rate):
                yield f"turn {index} starts {gap} samples after the assistant's end, outside next_turn_gap_s"
        else:
            if -gap != before["reaction_samples"]:
                yield f"turn {index - 1} stops {-gap} samples after the barge-in, not reaction_samples"
            if not _within(before["reaction_samples"], timing.reaction_delay_s, rate):
                yield f"turn {index - 1}: reaction_samples {before['reaction_samples']} is outside reaction_delay_s"
            if turn["start_sample"] - before["start_sample"] < round(timing.heard_before_barge_in_s * rate):
                yield f"turn {index - 1} is interrupted before heard_before_barge_in_s"

    def _misshapen_codes(self, row: Row) -> Iterator[str]:
        frames, tokenizer = row["num_blocks"] * self.layout.block_frames, self.speech_tokenizer
        for column in ("user_codes", "assistant_codes", "assistant_uncut_codes"):
            if row[column] is None:
                continue
            lengths = {len(codebook) for codebook in row[column]}
            if lengths != {frames} or len(row[column]) != tokenizer.codebooks:
                yield f"{column} is not [{tokenizer.codebooks}, {frames}]"
                return
            codes = np.asarray(row[column])
            if codes.min() < 0 or codes.max() >= tokenizer.codebook_size:
                yield f"{column} has codes {codes.min()} … {codes.max()}, expected 0 … {tokenizer.codebook_size - 1}"

    def _check_codes(self, row: Row, streams: SequenceStreams) -> Iterator[str]:
        if not np.array_equal(streams.user_codes[0], row["user_codes"][0]):
            yield "the user's ids are not user_codes"
        shift = self.layout.block_frames
        if not np.array_equal(streams.assistant_codes[0, :-shift], row["assistant_codes"][0][shift:]):
            yield "the assistant's ids are not assistant_codes, one block ahead"
        if (row["assistant_uncut_codes"] is None) == any(turn["interrupted"] for turn in row["turns"]):
            yield "assistant_uncut_codes and the interrupted turns disagree"

    def _check_replies(self, row: Row, streams: SequenceStreams) -> Iterator[str]:
        turns = [turn for turn in row["turns"] if turn["role"] == "assistant"]
        if len(turns) != len(streams.replies):
            yield f"the sequence has {len(streams.replies)} replies for {len(turns)} assistant turns"
            return
        frame = self.layout.block_samples // self.layout.block_frames
        for number, (turn, reply) in enumerate(zip(turns, streams.replies, strict=True), start=1):
            if turn["start_sample"] // frame not in reply.start_frames:
                yield f"reply {number}: [ASSISTANT] does not fit start_sample"
            if -(-turn["end_sample"] // frame) not in reply.end_frames:
                yield f"reply {number}: [EPAD] does not fit end_sample"
            ids = tuple(self.text_tokenizer.encode(turn["text"]))
            room = reply.epad_slot - reply.assistant_slot - 1
            if reply.text_ids != (ids[:room] if turn["interrupted"] else ids):
                yield f"reply {number}: the text channel does not say its text"

    def _check_audio(self, row: Row, streams: SequenceStreams) -> Iterator[str]:
        rate = self.recipe.output.sample_rate
        expected = (row["num_blocks"] * self.layout.block_samples, len(CHANNELS))
        if (name := row["audio"]["path"]) != (own := audio_name(row["dialogue_id"])):
            yield f"audio.path is {reprlib.repr(name)}, expected {own!r}"
        try:
            samples = read_audio(row["audio"]["bytes"], rate, expected[0])
        except ValueError as error:
            yield f"audio {error}"
            return
        for channel, role in enumerate(CHANNELS):
            heard = samples[:, channel]
            silent = np.ones(len(heard), dtype=np.bool_)
            for turn in row["turns"]:
                if turn["role"] == role:
                    silent[turn["start_sample"] : turn["end_sample"]] = False
                    if not heard[turn["start_sample"] : turn["end_sample"]].any():
                        yield f"the {role}'s turn at sample {turn['start_sample']} is silent"
            if heard[silent].any():
                yield f"the {role}'s channel is not silent between turns"
        codes = tokenize(samples.T, rate, self.speech_tokenizer, self.layout.block_samples)
        block = self.layout.block_frames
        for channel, (role, column) in enumerate(zip(CHANNELS, ("user_codes", "assistant_codes"), strict=True)):
            kept = np.asarray(row[column])
            yield from self._differing(
                f"{column} are not the codes of the audio",
                kept,
                codes[channel, :, :-block],
                self._spoken_frames(row, role),
            )
        yield from self._differing(
            "the assistant's last block is not the silence after the track",
            streams.assistant_codes[:1, -block:],
            codes[1, :1, -block:],
            block,
        )

    def _differing(self, says: str, kept: NDArray[Any], found: NDArray[Any], spoken_frames: int) -> Iterator[str]:
        """says: what is wrong if two [codebooks, frames] are not the same codes, but for rounding."""
        if kept.shape != found.shape:
            yield says
            return
        differing = int(np.count_nonzero(kept != found, axis=1).max(initial=0))  # of the codebook with the most
        exact = self.speech_tokenizer.frame_by_frame
        most = 0 if exact else math.ceil(ROUNDED_SHARE * spoken_frames)
        if differing > most:
            yield says if exact else f"{says}: {differing} of {kept.shape[1]} differ in a codebook, at most {most} may"

    def _spoken_frames(self, row: Row, role: str) -> int:
        frame = self.layout.block_samples // self.layout.block_frames
        turns = (turn for turn in row["turns"] if turn["role"] == role)
        return sum(-(-turn["end_sample"] // frame) - turn["start_sample"] // frame for turn in turns)


@dataclass
class RowOrder:
    """Checks rows in order: those of a source stand together, the sources in the order of the recipe."""

    checker: Checker
    sources: Sequence[Source]
    at: int = 0  # the source of the last row

    def check(self, row: Row) -> Iterator[str]:
        """Call it with each row of a data set, in order."""
        names = [source.name for source in self.sources]
        if row["source"] not in names:
            yield f"source is {reprlib.repr(row['source'])}, the recipe names {', '.join(names)}"
        else:
            number = names.index(row["source"])
            if number < self.at:
                yield f"stands after rows of {names[self.at]}, and the recipe names {names[number]} before it"
            self.at = max(self.at, number)
            if row["language"] != (language := self.sources[number].language):
                yield f"language is {reprlib.repr(row['language'])}, that of its source is {language!r}"
        yield from self.checker.check(row)


def read_audio(data: bytes | None, rate: int, num_samples: int | None = None) -> NDArray[np.int16]:
    """Samples [samples, channels] of the FLAC of a row, which is decoded only if it says that it is what is expected.

    num_samples: of each channel; None: any length up to LONGEST_TRACK_S. Raises ValueError otherwise.
    """
    return flac.decode_checked(data, rate, len(CHANNELS), LONGEST_TRACK_S, num_samples)


def audio_name(dialogue_id: str) -> str:
    """How a reader that writes the audio to a folder would call it."""
    return f"{quote(dialogue_id, safe='')}.flac"


def _within(samples: int, times: Range, sample_rate: int) -> bool:
    return round(times.low * sample_rate) <= samples <= round(times.high * sample_rate)
