"""What a layout must offer: how a coded track and the texts of its events become a row that a model trains on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..dialogue import CodedTrack, Codes, Event
from .section import LayoutSection
from .vocabulary import Vocabulary

Row = Mapping[str, Any]
Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class WrittenReply:
    """What a row says of one reply.

    Its text may be placed more coarsely than its frames, so where it starts and ends is known as the range of frames
    of the track that would have given this row.
    """

    text_ids: tuple[int, ...]
    room: int  # how many text ids there was room for: as many as there are, and the text may have been cut
    start_frames: range
    end_frames: range  # one past the last frame


@dataclass(frozen=True, slots=True)
class Written:
    """What a row says of a track, as far as it says it: its codes may be those of the first codebooks alone."""

    user_codes: Codes  # [codebooks, frames], frame 0 first
    assistant_codes: Codes  # [codebooks, frames]
    replies: tuple[WrittenReply, ...]  # in order


class Layout(Protocol):
    """Made of its section of a recipe, a vocabulary, and how many samples of the track a frame has.

    It never moves audio, and it never needs any: whatever it writes, it writes from codes.
    """

    name: ClassVar[str]
    Spec: ClassVar[type[LayoutSection]]
    VOCABULARY: ClassVar[type[Vocabulary]]
    """What the ids of its rows mean."""
    KINDS: ClassVar[tuple[str, ...]]
    """Kinds of positions: weights of a loss are a mapping over them."""
    COLUMNS: ClassVar[tuple[pa.Field, ...]]
    """Of a row, beside those that all layouts have."""
    IDS: ClassVar[str]
    """Of COLUMNS, the one that a model reads: an id for each position, or for each position of each stream."""

    NEEDS_WORDS: ClassVar[bool]
    """Whether it needs the times of words."""

    def __init__(self, section: LayoutSection, vocabulary: Vocabulary, samples_per_frame: int) -> None: ...

    @property
    def samples_per_frame(self) -> int:
        """Of the track, at the rate that its events count in."""
        ...

    @property
    def step_frames(self) -> int:
        """The fewest frames that speech can be moved by without another code, and with its text beside it."""
        ...

    @property
    def first_assistant_frame(self) -> int:
        """Of the assistant's channel, the first frame that stands in a row."""
        ...

    @property
    def streams(self) -> int:
        """How many ids each position of a row has. If there are several, `IDS` is a list of streams, [streams, T]."""
        ...

    def texts(self, track: CodedTrack) -> Sequence[str]:
        """The texts whose ids `encode` needs, such as what each event says, whole.

        Raises DialogueRejected if the track does not have them.
        """
        ...

    def encode(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
        """The columns of a row. texts: the ids of each text of `texts`.

        Raises DialogueRejected if the track does not fit the layout.
        """
        ...

    def length(self, row: Row) -> int:
        """Frames of the track that a row tells: those that the track has, filled up to whole blocks."""
        ...

    def written(self, row: Row) -> Written:
        """The inverse of `encode`, as far as there is one; raises ValueError if it is no row of this layout."""
        ...

    def announces(self, frames: int, start_sample: int) -> bool:
        """Whether the row of a track of so many frames says something of a reply that starts at this sample."""
        ...

    def may_follow(self, end_sample: int, start_sample: int) -> bool:
        """Whether one reply may start at a sample if the one before it has stopped at another.

        It may, if the start is late enough.
        """
        ...

    def kinds(self, row: Row) -> NDArray[np.uint8]:
        """Index into KINDS of each position of a row, of the shape of its ids."""
        ...

    def check(self, row: Row, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Iterator[str]:
        """What of a row's columns is not what the track says, in words."""
        ...

    def measure(self, row: Row, events: Sequence[Event]) -> Iterator[tuple[str, float]]:
        """What a data card shows of a row: names of `dataset.statistics.QUANTITIES`, and values."""
        ...

    def show(self, row: Row, names: Callable[[int], str], events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        """A row for a person, line by line. names: what a text id stands for."""
        ...
