"""How two channels of codes and the assistant's text become one sequence of ids, and back."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..dialogue import Codes

Ids = NDArray[np.int32]  # [ids]


@dataclass(frozen=True, slots=True)
class Reply:
    """An assistant's utterance as a layout needs it.

    Samples count from the start of the track; `text_ids` are of the whole text, also of an interrupted reply.
    """

    text_ids: tuple[int, ...]
    start_sample: int
    end_sample: int
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Streams:
    """What goes into a sequence: codes not shifted, and the assistant's replies in order.

    The assistant's codes are one block longer than the user's: the block that follows the track, silence
    tokenized like any audio, fills the last block of the sequence.
    """

    user_codes: Codes  # [codebooks, frames]
    assistant_codes: Codes  # [codebooks, frames + block]
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class WrittenReply:
    """What a sequence says of one reply.

    Slots count text positions from the start. A slot may span several frames, so where the reply starts and
    ends is known as the range of frames (not shifted) that would have given these slots.
    """

    text_ids: tuple[int, ...]
    assistant_slot: int
    epad_slot: int
    start_frames: range
    end_frames: range  # one past the last frame


@dataclass(frozen=True, slots=True)
class SequenceStreams:
    """What comes out of a sequence; its codes are those of one codebook."""

    user_codes: Codes  # [1, frames], frame 0 first
    assistant_codes: Codes  # [1, frames], frame `block` first: the first block is never emitted
    replies: tuple[WrittenReply, ...]


class Layout(Protocol):
    name: ClassVar[str]

    @property
    def block_frames(self) -> int: ...

    @property
    def block_samples(self) -> int:
        """A track is a multiple of this."""
        ...

    @property
    def ids_per_block(self) -> int: ...

    def observed_samples(self, reply_start_sample: int) -> int:
        """How much of the user's channel has been observed when a reply is decided on, in samples."""
        ...

    def encode(self, streams: Streams) -> Ids:
        """The sequence; raises DialogueRejected if the dialogue does not fit the layout."""
        ...

    def decode(self, ids: Ids) -> SequenceStreams:
        """The inverse; raises ValueError, naming the position, if `ids` is no sequence of this layout."""
        ...
