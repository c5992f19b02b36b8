"""A layout of one row of codes: per frame, the user's code, the assistant's, and whether a reply has begun."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duplexgen.pipeline.dialogue import CodedTrack, Event
from duplexgen.pipeline.layouts.layout import Row, Written, WrittenReply
from duplexgen.pipeline.layouts.section import LayoutSection
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.layouts.vocabulary import Vocabulary


class TriplesSection(LayoutSection):
    name: Literal["triples"]
    shift: int = 1  # frames that the assistant runs ahead

    @property
    def margin_frames(self) -> int:
        return self.shift


@dataclass(frozen=True)
class Triples:
    section: TriplesSection
    vocabulary: SharedVocabulary
    samples_per_frame: int

    name: ClassVar[str] = "triples"
    Spec: ClassVar[type[LayoutSection]] = TriplesSection
    VOCABULARY: ClassVar[type[Vocabulary]] = SharedVocabulary
    KINDS: ClassVar[tuple[str, ...]] = ("user", "audio", "state")
    COLUMNS: ClassVar[tuple[pa.Field, ...]] = (pa.field("triples", pa.list_(pa.int32()), nullable=False),)
    IDS: ClassVar[str] = "triples"
    step_frames: ClassVar[int] = 1

    def encode(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
        frames, shift = track.frames, self.section.shift
        says = np.zeros(frames, np.int32)
        for event in track.events:
            if event.channel == "assistant":
                says[event.start_sample // self.samples_per_frame : -(-event.end_sample // self.samples_per_frame)] = 1
        triples: list[NDArray[Any]] = [
            track.user_codes[0, :frames],
            track.assistant_codes[0, shift : frames + shift],
            says,
        ]
        return {"triples": np.stack(triples, axis=1).reshape(-1).astype(np.int32)}

    def length(self, row: Row) -> int:
        return len(row["triples"]) // 3

    def written(self, row: Row) -> Written:
        triples = np.asarray(row["triples"], np.int16).reshape(-1, 3)
        edges = np.flatnonzero(np.diff(np.pad(triples[:, 2], 1))).tolist()
        replies = [
            WrittenReply((), 0, range(first, first + 1), range(past, past + 1))
            for first, past in zip(edges[::2], edges[1::2], strict=True)
        ]
        user, assistant = triples[np.newaxis, :, 0], triples[np.newaxis, :, 1]
        return Written(user, assistant, self.section.shift, tuple(replies))

    def announces(self, frames: int, start_sample: int) -> bool:
        return start_sample < frames * self.samples_per_frame

    def may_follow(self, end_sample: int, start_sample: int) -> bool:
        return start_sample >= end_sample + self.samples_per_frame

    def kinds(self, row: Row) -> NDArray[np.uint8]:
        return (np.arange(len(row["triples"])) % 3).astype(np.uint8)

    def check(self, row: Row, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Iterator[str]:
        if not np.array_equal(row["triples"], self.encode(track, texts)["triples"]):
            yield "the triples are not those of the track"

    def measure(self, row: Row, events: Sequence[Event]) -> Iterator[tuple[str, float]]:
        yield "sequence_ids", len(row["triples"])

    def show(self, row: Row, names: Callable[[int], str], events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        yield f"{self.length(row)} triples"
