"""The interleaved sequence of BayLing-Duplex (section 2.1).

Reconstructed from the paper and the public inference code. Block b is N user ids, M text ids and N assistant
ids; text and assistant run one block ahead of the user. In integers, for a reply with speech samples [S, E):

    F = S // spf - N                first assistant frame, shifted
    C = ceil(E / spf) - N           one past the last frame, shifted
    j_ast  = (F·M) // N - 1         slot of [ASSISTANT] (equation 2)
    j_epad = ceil(C·M / N)          slot of [EPAD] (equation 3)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DialogueRejected
from .streams import Ids, Reply, SequenceStreams, Streams, WrittenReply
from .vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class BaylingLayout:
    """N = `user_tokens`, M = `text_tokens`; `ast_offset` is -1 in the paper, 0 to never anticipate the user's end."""

    vocabulary: Vocabulary
    samples_per_frame: int
    user_tokens: int = 10
    text_tokens: int = 5
    ast_offset: int = -1

    name: ClassVar[str] = "bayling"

    @property
    def block_frames(self) -> int:
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
        return first_frame * self.text_tokens // self.user_tokens + self.ast_offset

    def epad_slot(self, end_sample: int) -> int:
        """Slot of [EPAD] for a reply whose audio stops at this sample."""
        end_frame = -(-end_sample // self.samples_per_frame) - self.user_tokens
        return -(-end_frame * self.text_tokens // self.user_tokens)

    def observed_samples(self, reply_start_sample: int) -> int:
        block = self.assistant_slot(reply_start_sample) // self.text_tokens
        return (block + 1) * self.block_samples

    def encode(self, streams: Streams) -> Ids:
        blocks = streams.user_codes.shape[1] // self.user_tokens
        frames = blocks * self.user_tokens
        expected = frames + self.user_tokens
        if streams.user_codes.shape[1] != frames or streams.assistant_codes.shape[1] != expected:
            raise ValueError(
                f"expected whole blocks of {self.user_tokens} frames and one more of the assistant's, "
                f"got {streams.user_codes.shape[1]} and {streams.assistant_codes.shape[1]} frames"
            )
        user = self.vocabulary.audio_ids(streams.user_codes[0])
        assistant = self.vocabulary.audio_ids(streams.assistant_codes[0, self.user_tokens :])
        text = self.text_channel(streams.replies, blocks * self.text_tokens)
        parts = [
            user.reshape(blocks, self.user_tokens),
            text.reshape(blocks, self.text_tokens),
            assistant.reshape(blocks, self.user_tokens),
        ]
        return np.concatenate(parts, axis=1).reshape(-1).astype(np.int32)

    def text_channel(self, replies: tuple[Reply, ...], slots: int) -> Ids:
        """The text channel, [slots] ids; raises DialogueRejected if a reply does not fit (section 2.1)."""
        vocabulary = self.vocabulary
        channel = np.full(slots, vocabulary.silence, dtype=np.int32)
        free = 0
        for number, reply in enumerate(replies, start=1):
            start, end = self.assistant_slot(reply.start_sample), self.epad_slot(reply.end_sample)
            if start < 0:
                raise DialogueRejected(
                    "starts_too_early",
                    f"reply {number} starts at sample {reply.start_sample}, before [ASSISTANT] can be written",
                )
            if start < free:
                raise DialogueRejected("replies_collide", f"reply {number} starts in a slot of the reply before it")
            if end >= slots:
                raise DialogueRejected("ends_too_late", f"reply {number} ends after the last slot, {slots - 1}")
            room = end - start - 1
            if room < 0 or (len(reply.text_ids) > room and not reply.interrupted):
                raise DialogueRejected(
                    "text_overflow",
                    f"reply {number} has {len(reply.text_ids)} text tokens for {max(room, 0)} slots",
                )
            text_end = start + 1 + min(len(reply.text_ids), room)
            channel[start] = vocabulary.assistant
            channel[start + 1 : text_end] = reply.text_ids[:room]
            channel[text_end:end] = vocabulary.pad
            channel[end] = vocabulary.epad
            free = end + 1
        return channel

    def decode(self, ids: Ids) -> SequenceStreams:
        if len(ids) == 0 or len(ids) % self.ids_per_block:
            raise ValueError(f"expected a multiple of {self.ids_per_block} ids, got {len(ids)}")
        blocks = np.asarray(ids, dtype=np.int32).reshape(-1, self.ids_per_block)
        text_end = self.user_tokens + self.text_tokens
        return SequenceStreams(
            self.vocabulary.audio_codes(blocks[:, : self.user_tokens].reshape(-1))[np.newaxis],
            self.vocabulary.audio_codes(blocks[:, text_end:].reshape(-1))[np.newaxis],
            tuple(self._written_replies(blocks[:, self.user_tokens : text_end].reshape(-1))),
        )

    def _written_replies(self, channel: Ids) -> list[WrittenReply]:
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
            replies.append(WrittenReply(text_ids, start, slot, self._start_frames(start), self._end_frames(slot)))
            slot += 1
        return replies

    @staticmethod
    def _run_of(channel: Ids, start: int, matches: Callable[[Ids], NDArray[np.bool_]]) -> int:
        """One past the last of the ids from `start` on that all match."""
        others = np.flatnonzero(~matches(channel[start:]))
        return start + int(others[0]) if len(others) else len(channel)

    def _start_frames(self, assistant_slot: int) -> range:
        slot = assistant_slot - self.ast_offset
        first, past = (-(-edge * self.user_tokens // self.text_tokens) for edge in (slot, slot + 1))
        return range(first + self.user_tokens, past + self.user_tokens)

    def _end_frames(self, epad_slot: int) -> range:
        first, past = (edge * self.user_tokens // self.text_tokens + 1 for edge in (epad_slot - 1, epad_slot))
        return range(first + self.user_tokens, past + self.user_tokens)
