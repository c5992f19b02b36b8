"""The interleaved sequence of BayLing-Duplex (section 2.1).

Reconstructed from the paper and the public inference code. Block b is N user ids, M text ids and N assistant
ids; text and assistant run one block ahead of the user. In integers, for a reply with speech samples [S, E):

    F = S // spf - N                first assistant frame, shifted
    C = ceil(E / spf) - N           one past the last frame, shifted
    j_ast  = (F·M) // N - 1         slot of [ASSISTANT] (equation 2)
    j_epad = ceil(C·M / N)          slot of [EPAD] (equation 3)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import gcd
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from ..dialogue import CHANNELS, CodedTrack, Event
from ..errors import DialogueRejected
from .layout import Ids, Row, Written, WrittenReply
from .section import LayoutSection
from .shared import STATES, SharedVocabulary
from .vocabulary import Vocabulary

STATE_SIGNS = {"silence": "·", "assistant": "[A]", "pad": "[P]", "epad": "[E]"}
LEGEND = "[A] assistant starts, [P] text is written and speech goes on, [E] text and speech are complete, · silence"
SPEECH, SILENCE = "█", "·"
BEFORE_END = "assistant_before_user_end"
EARLY = """In {share} of the replies, [ASSISTANT] stands before the user's last audio has been observed. With
`ast_offset` -1 and a reply delay near one block, it can be up to two frames early."""
PER_BLOCK = Field(gt=0, le=1000)


class BaylingSection(LayoutSection):
    name: Literal["bayling"] = "bayling"
    user_tokens: Annotated[int, PER_BLOCK] = 10  # N: speech tokens per block and channel
    text_tokens: Annotated[int, PER_BLOCK] = 5  # M: text tokens per block
    ast_offset: Annotated[int, Field(ge=-1, le=0)] = -1  # 0: [ASSISTANT] never anticipates the user's end

    @property
    def columns_in_words(self) -> str:
        n, m = self.user_tokens, self.text_tokens
        return (
            f"`input_ids`, `num_blocks`: the interleaved sequence of BayLing-Duplex, in blocks of {n} user ids,\n"
            f"  {m} text ids and {n} assistant ids. Text and assistant run one block ahead of the user (reconstructed\n"
            "  from the paper and the public inference code)."
        )

    def remark(self, means: Mapping[str, float]) -> str:
        return EARLY.format(share=f"{means[BEFORE_END]:.1%}") if BEFORE_END in means else ""

    @property
    def block_frames(self) -> int:
        return self.user_tokens

    @property
    def margin_frames(self) -> int:
        """To fill up the last block of the user's, and for the block of the assistant's that follows it."""
        return 2 * self.user_tokens - 1


@dataclass(frozen=True, slots=True)
class SlottedReply(WrittenReply):
    """With its slots, which count text positions from the start. A slot may span several frames."""

    assistant_slot: int
    epad_slot: int


@dataclass(frozen=True, slots=True)
class SlottedText(Written):
    replies: tuple[SlottedReply, ...]


@dataclass(frozen=True)
class Bayling:
    """N = `user_tokens`, M = `text_tokens`."""

    section: BaylingSection
    vocabulary: SharedVocabulary
    samples_per_frame: int

    name: ClassVar[str] = "bayling"
    Spec: ClassVar[type[LayoutSection]] = BaylingSection
    VOCABULARY: ClassVar[type[Vocabulary]] = SharedVocabulary
    KINDS: ClassVar[tuple[str, ...]] = ("user", *STATES, "text", "audio")
    """The user's audio, the four states, the assistant's text and the assistant's audio."""
    COLUMNS: ClassVar[tuple[pa.Field, ...]] = (
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("num_blocks", pa.int32(), nullable=False),
    )
    IDS: ClassVar[str] = "input_ids"
    NEEDS_WORDS: ClassVar[bool] = False
    streams: ClassVar[int] = 1

    @property
    def user_tokens(self) -> int:
        return self.section.user_tokens

    @property
    def text_tokens(self) -> int:
        return self.section.text_tokens

    @property
    def step_frames(self) -> int:
        """The fewest frames that are whole text slots: N / gcd(N, M)."""
        return self.user_tokens // gcd(self.user_tokens, self.text_tokens)

    @property
    def first_assistant_frame(self) -> int:
        """The first block of the assistant's is in no row: nothing can be said before a block is heard."""
        return self.user_tokens

    @property
    def block_samples(self) -> int:
        return self.user_tokens * self.samples_per_frame

    @property
    def ids_per_block(self) -> int:
        return 2 * self.user_tokens + self.text_tokens

    def assistant_slot(self, start_sample: int) -> int:
        """Slot of [ASSISTANT] for a reply that starts at this sample; negative if it cannot be emitted."""
        first_frame = start_sample // self.samples_per_frame - self.user_tokens
        return first_frame * self.text_tokens // self.user_tokens + self.section.ast_offset

    def epad_slot(self, end_sample: int) -> int:
        """Slot of [EPAD] for a reply whose audio stops at this sample."""
        end_frame = -(-end_sample // self.samples_per_frame) - self.user_tokens
        return -(-end_frame * self.text_tokens // self.user_tokens)

    def observed_samples(self, reply_start_sample: int) -> int:
        """How much of the user's channel has been observed when a reply is decided on."""
        block = self.assistant_slot(reply_start_sample) // self.text_tokens
        return (block + 1) * self.block_samples

    def texts(self, track: CodedTrack) -> Sequence[str]:
        return track.texts

    def encode(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
        n = self.user_tokens
        blocks = -(-track.frames // n)
        if (blocks + 1) * n > track.frames + track.margin_frames:
            raise ValueError(
                f"expected a margin of {(blocks + 1) * n - track.frames} frames after {track.frames}, "
                f"got {track.margin_frames}"
            )
        text = self.text_channel(track.events, texts, blocks * self.text_tokens)
        parts = [
            self.vocabulary.audio_ids(track.user_codes[0, : blocks * n]).reshape(blocks, n),
            text.reshape(blocks, self.text_tokens),
            self.vocabulary.audio_ids(track.assistant_codes[0, n : (blocks + 1) * n]).reshape(blocks, n),
        ]
        return {"input_ids": np.concatenate(parts, axis=1).reshape(-1).astype(np.int32), "num_blocks": blocks}

    def text_channel(self, events: Sequence[Event], texts: Sequence[Sequence[int]], slots: int) -> Ids:
        """The text channel, [slots] ids; raises DialogueRejected if a reply does not fit (section 2.1)."""
        vocabulary = self.vocabulary
        channel = np.full(slots, vocabulary.silence, dtype=np.int32)
        free = 0
        replies = [(event, ids) for event, ids in zip(events, texts, strict=True) if event.channel == "assistant"]
        for number, (event, ids) in enumerate(replies, start=1):
            start, end = self.assistant_slot(event.start_sample), self.epad_slot(event.end_sample)
            if start < 0:
                raise DialogueRejected(
                    "starts_too_early",
                    f"reply {number} starts at sample {event.start_sample}, before [ASSISTANT] can be written",
                )
            if start < free:
                raise DialogueRejected("replies_collide", f"reply {number} starts in a slot of the reply before it")
            if end >= slots:
                raise DialogueRejected("ends_too_late", f"reply {number} ends after the last slot, {slots - 1}")
            room = end - start - 1
            if room < 0 or (len(ids) > room and not event.is_cut):
                raise DialogueRejected(
                    "text_overflow", f"reply {number} has {len(ids)} text tokens for {max(room, 0)} slots"
                )
            text_end = start + 1 + min(len(ids), room)
            channel[start] = vocabulary.assistant
            channel[start + 1 : text_end] = ids[:room]
            channel[text_end:end] = vocabulary.pad
            channel[end] = vocabulary.epad
            free = end + 1
        return channel

    def length(self, row: Row) -> int:
        return int(row["num_blocks"]) * self.user_tokens

    def kinds(self, row: Row) -> NDArray[np.uint8]:
        ids = np.asarray(row["input_ids"])
        slot = np.arange(len(ids)) % self.ids_per_block
        kinds: NDArray[np.uint8] = self._kind_by_id[ids]
        kinds[slot >= self.user_tokens + self.text_tokens] = self.KINDS.index("audio")
        kinds[slot < self.user_tokens] = self.KINDS.index("user")
        return kinds

    @cached_property
    def _kind_by_id(self) -> NDArray[np.uint8]:
        """Kind of each id where it stands in the text channel."""
        kinds = np.full(self.vocabulary.size, self.KINDS.index("text"), np.uint8)
        for state in STATES:
            kinds[self.vocabulary.state[state]] = self.KINDS.index(state)
        return kinds

    def announces(self, frames: int, start_sample: int) -> bool:
        return self.assistant_slot(start_sample) < -(-frames // self.user_tokens) * self.text_tokens

    def may_follow(self, end_sample: int, start_sample: int) -> bool:
        return self.assistant_slot(start_sample) > self.epad_slot(end_sample)

    def written(self, row: Row) -> Written:
        ids = np.asarray(row["input_ids"], dtype=np.int32)
        if len(ids) != row["num_blocks"] * self.ids_per_block:
            raise ValueError(f"{len(ids)} ids are not {row['num_blocks']} blocks of {self.ids_per_block}")
        return self.decode(ids)

    def decode(self, ids: Ids) -> SlottedText:
        """What ids say, codes of one codebook; raises ValueError, naming the position, if they are no sequence."""
        if len(ids) == 0 or len(ids) % self.ids_per_block:
            raise ValueError(f"expected a multiple of {self.ids_per_block} ids, got {len(ids)}")
        blocks = np.asarray(ids, dtype=np.int32).reshape(-1, self.ids_per_block)
        text_end = self.user_tokens + self.text_tokens
        return SlottedText(
            self.vocabulary.audio_codes(blocks[:, : self.user_tokens].reshape(-1))[np.newaxis],
            self.vocabulary.audio_codes(blocks[:, text_end:].reshape(-1))[np.newaxis],
            tuple(self._written_replies(blocks[:, self.user_tokens : text_end].reshape(-1))),
        )

    def _written_replies(self, channel: Ids) -> list[SlottedReply]:
        vocabulary = self.vocabulary
        replies = []
        slot = 0
        while slot < len(channel):
            if channel[slot] == vocabulary.silence:
                slot += 1
                continue
            start = slot
            if channel[start] != vocabulary.assistant:
                raise ValueError(f"text slot {start}: expected [SILENCE] or [ASSISTANT], got id {channel[start]}")
            slot = text_end = self._run_of(channel, start + 1, vocabulary.is_text)
            slot = self._run_of(channel, slot, lambda ids: ids == vocabulary.pad)
            if slot == len(channel) or channel[slot] != vocabulary.epad:
                raise ValueError(f"text slot {slot}: expected [EPAD] to end the reply of slot {start}")
            text_ids = tuple(int(token) for token in channel[start + 1 : text_end])
            frames = self._start_frames(start), self._end_frames(slot)
            replies.append(SlottedReply(text_ids, slot - start - 1, *frames, start, slot))
            slot += 1
        return replies

    @staticmethod
    def _run_of(channel: Ids, start: int, matches: Callable[[Ids], NDArray[np.bool_]]) -> int:
        """One past the last of the ids from `start` on that all match."""
        others = np.flatnonzero(~matches(channel[start:]))
        return start + int(others[0]) if len(others) else len(channel)

    def _start_frames(self, assistant_slot: int) -> range:
        slot = assistant_slot - self.section.ast_offset
        first, past = (-(-edge * self.user_tokens // self.text_tokens) for edge in (slot, slot + 1))
        return range(first + self.user_tokens, past + self.user_tokens)

    def _end_frames(self, epad_slot: int) -> range:
        first, past = (edge * self.user_tokens // self.text_tokens + 1 for edge in (epad_slot - 1, epad_slot))
        return range(first + self.user_tokens, past + self.user_tokens)

    def check(self, row: Row, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Iterator[str]:
        ids, n = np.asarray(row["input_ids"], dtype=np.int32), self.user_tokens
        blocks = -(-track.frames // n)
        if row["num_blocks"] != blocks:
            yield f"num_blocks is {row['num_blocks']}, that of {track.frames} frames is {blocks}"
            return
        if len(ids) != blocks * self.ids_per_block:
            yield f"{len(ids)} ids are not {blocks} blocks of {self.ids_per_block}"
            return
        try:
            written = self.decode(ids)
        except ValueError as error:
            yield f"the sequence cannot be taken apart: {error}"
            return
        if not np.array_equal(written.user_codes[0], track.user_codes[0, : blocks * n]):
            yield "the user's ids are not user_codes"
        if not np.array_equal(written.assistant_codes[0], track.assistant_codes[0, n : (blocks + 1) * n]):
            yield "the assistant's ids are not assistant_codes, one block ahead"
        yield from self._check_replies(written, track, texts)

    def _check_replies(self, written: Written, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Iterator[str]:
        said = [(event, ids) for event, ids in zip(track.events, texts, strict=True) if event.channel == "assistant"]
        if len(said) != len(written.replies):
            yield f"the sequence has {len(written.replies)} replies for {len(said)} of the assistant's events"
            return
        frame = self.samples_per_frame
        for number, ((event, ids), reply) in enumerate(zip(said, written.replies, strict=True), start=1):
            if event.start_sample // frame not in reply.start_frames:
                yield f"reply {number}: [ASSISTANT] does not fit start_sample"
            if -(-event.end_sample // frame) not in reply.end_frames:
                yield f"reply {number}: [EPAD] does not fit end_sample"
            if reply.text_ids != tuple(ids[: reply.room] if event.is_cut else ids):
                yield f"reply {number}: the text channel does not say its text"

    def measure(self, row: Row, events: Sequence[Event]) -> Iterator[tuple[str, float]]:
        ids = np.asarray(row["input_ids"])
        yield "sequence_ids", len(ids)
        text = self._text(ids).reshape(-1)
        edges = np.flatnonzero((text == self.vocabulary.assistant) | (text == self.vocabulary.epad))
        written = np.cumsum(self.vocabulary.is_text(text))
        for first, past in zip(edges[::2], edges[1::2], strict=True):
            yield "text_tokens", float(written[past] - written[first])
        for before, event in pairwise(events):
            if event.channel == "assistant":
                early = self.observed_samples(event.start_sample) < before.end_sample
                yield BEFORE_END, float(early)

    def show(self, row: Row, names: Callable[[int], str], events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        """Block by block what each channel carries (figure 1): the assistant's frames are those of one block later."""
        n, blocks = self.user_tokens, len(row["input_ids"]) // self.ids_per_block
        texts = self._text_lines(np.asarray(row["input_ids"]), names)
        user, assistant = (self._speaking(events, channel, (blocks + 1) * n) for channel in CHANNELS)
        yield f"block   user{'':{n}}  text{'':{len(texts[0]) + 1}}assistant, one block later"
        for block, text in enumerate(texts):
            start_s = block * self.block_samples / sample_rate
            heard, said = user[block * n : (block + 1) * n], assistant[(block + 1) * n : (block + 2) * n]
            yield f"{block:5}  {start_s:6.1f} s {heard}   {text}   {said}"
        yield ""
        yield LEGEND

    def _speaking(self, events: Sequence[Event], channel: str, frames: int) -> str:
        signs, frame = np.full(frames, SILENCE), self.samples_per_frame
        for event in events:
            if event.channel == channel:
                signs[event.start_sample // frame : -(-event.end_sample // frame)] = SPEECH
        return "".join(signs)

    def _text(self, ids: Ids) -> Ids:
        """The text channel, [blocks, M]."""
        return ids.reshape(-1, self.ids_per_block)[:, self.user_tokens : self.user_tokens + self.text_tokens]

    def _text_lines(self, ids: Ids, names: Callable[[int], str]) -> list[str]:
        """The text channel, one line per block, a readable sign per slot, slots below each other."""
        states = {id_: STATE_SIGNS[name] for name, id_ in self.vocabulary.state.items()}
        signs = [[states.get(int(id_)) or names(int(id_)) or "␣" for id_ in block] for block in self._text(ids)]
        widths = [max(map(len, column)) for column in zip(*signs, strict=True)]
        return [" ".join(f"{sign:{width}}" for sign, width in zip(block, widths, strict=True)) for block in signs]
