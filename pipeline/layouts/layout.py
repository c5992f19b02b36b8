"""What a layout must offer: how a coded track and the texts of its events become a row that a model trains on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..dialogue import CodedTrack, Event
from .section import LayoutSection
from .vocabulary import Vocabulary

Row = Mapping[str, Any]
Ids = NDArray[np.int32]


class Layout(Protocol):
    """Made of its section of a recipe, a vocabulary, and how many samples of the track a frame has.

    It never moves audio, and it never needs any: whatever it writes, it writes from codes.
    """

    name: ClassVar[str]
    Spec: ClassVar[type[LayoutSection]]
    KINDS: ClassVar[tuple[str, ...]]
    """Kinds of positions: weights of a loss are a mapping over them."""
    COLUMNS: ClassVar[tuple[pa.Field, ...]]
    """Of a row, beside those that all layouts have."""

    def __init__(self, section: LayoutSection, vocabulary: Vocabulary, samples_per_frame: int) -> None: ...

    @property
    def samples_per_frame(self) -> int:
        """Of the track, at the rate that its events count in."""
        ...

    @property
    def step_frames(self) -> int:
        """The fewest frames that speech can be moved by without another code, and with its text beside it."""
        ...

    def encode(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
        """The columns of a row. texts: ids of what each event says, whole.

        Raises DialogueRejected if the track does not fit the layout.
        """
        ...

    def length(self, row: Row) -> int:
        """Frames of the track that a row tells, of at least as many as the track has."""
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
