"""The plainest layout: a column of ids per frame, in one flat list, with no blocks.

A column has the user's codes, the assistant's codes `shift` frames later, and one id of the reply: its text from the
first frame on, then GOES_ON to its end.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from duplexgen.pipeline.dialogue import CodedTrack, Event
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.layouts.layout import Row, Written, WrittenReply
from duplexgen.pipeline.layouts.section import LayoutSection
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.layouts.vocabulary import Vocabulary

NO_REPLY, GOES_ON, FIRST_TEXT_ID = 0, 1, 2


class PlainSection(LayoutSection):
    name: Literal["plain"]
    codebooks: int = 1  # of each channel
    shift: int = 1  # frames that the assistant's codes run ahead

    @property
    def margin_frames(self) -> int:
        return self.shift


@dataclass(frozen=True)
class Plain:
    section: PlainSection
    vocabulary: SharedVocabulary
    samples_per_frame: int

    name: ClassVar[str] = "plain"
    Spec: ClassVar[type[LayoutSection]] = PlainSection
    VOCABULARY: ClassVar[type[Vocabulary]] = SharedVocabulary
    KINDS: ClassVar[tuple[str, ...]] = ("user", "audio", "reply")
    COLUMNS: ClassVar[tuple[pa.Field, ...]] = (pa.field("plain_ids", pa.list_(pa.int32()), nullable=False),)
    IDS: ClassVar[str] = "plain_ids"
    NEEDS_WORDS: ClassVar[bool] = False
    streams: ClassVar[int] = 1
    step_frames: ClassVar[int] = 1

    @property
    def kinds_of_column(self) -> list[int]:
        return [0] * self.section.codebooks + [1] * self.section.codebooks + [2]

    @property
    def first_assistant_frame(self) -> int:
        return self.section.shift

    def texts(self, track: CodedTrack) -> Sequence[str]:
        return track.texts

    def encode(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
        frames, shift, codebooks = track.frames, self.section.shift, self.section.codebooks
        replies = np.full(frames, NO_REPLY, np.int32)
        for event, ids in zip(track.events, texts, strict=True):
            if event.channel == "assistant":
                self._write(replies, event, ids)
        user, assistant = track.user_codes[:codebooks, :frames], track.assistant_codes[:codebooks, shift:][:, :frames]
        return {"plain_ids": np.concatenate([user, assistant, replies[np.newaxis]]).T.reshape(-1).astype(np.int32)}

    def _write(self, replies: NDArray[np.int32], event: Event, ids: Sequence[int]) -> None:
        first, past = event.start_sample // self.samples_per_frame, -(-event.end_sample // self.samples_per_frame)
        if (replies[first:past] != NO_REPLY).any() or past > len(replies):
            raise DialogueRejected("replies_collide", "two replies, or the end, in one frame")
        if len(ids) > past - first and not event.is_cut:
            raise DialogueRejected("text_overflow", f"{len(ids)} text ids in {past - first} frames")
        replies[first:past] = GOES_ON
        replies[first : first + min(len(ids), past - first)] = np.add(ids[: past - first], FIRST_TEXT_ID)

    def length(self, row: Row) -> int:
        return len(row["plain_ids"]) // len(self.kinds_of_column)

    def written(self, row: Row) -> Written:
        ids, codebooks = np.asarray(row["plain_ids"], np.int32), self.section.codebooks
        if len(ids) % len(self.kinds_of_column):
            raise ValueError(f"expected whole columns of {len(self.kinds_of_column)} ids")
        columns = ids.reshape(-1, len(self.kinds_of_column)).T
        user, assistant = columns[:codebooks].astype(np.int16), columns[codebooks:-1].astype(np.int16)
        return Written(user, assistant, tuple(self._replies(columns[-1])))

    def _replies(self, ids: NDArray[np.int32]) -> Iterator[WrittenReply]:
        edges = np.flatnonzero(np.diff(np.pad(ids != NO_REPLY, 1).astype(np.int8)))
        for first, past in edges.reshape(-1, 2).tolist():
            text = tuple(int(id_) - FIRST_TEXT_ID for id_ in ids[first:past] if id_ != GOES_ON)
            yield WrittenReply(text, past - first, range(first, first + 1), range(past, past + 1))

    def announces(self, frames: int, start_sample: int) -> bool:
        return start_sample // self.samples_per_frame < frames

    def may_follow(self, end_sample: int, start_sample: int) -> bool:
        return start_sample // self.samples_per_frame > -(-end_sample // self.samples_per_frame)

    def kinds(self, row: Row) -> NDArray[np.uint8]:
        return np.resize(self.kinds_of_column, len(row["plain_ids"])).astype(np.uint8)

    def check(self, row: Row, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Iterator[str]:
        if not np.array_equal(row["plain_ids"], self.encode(track, texts)["plain_ids"]):
            yield "plain_ids are not those of the track"

    def measure(self, row: Row, events: Sequence[Event]) -> Iterator[tuple[str, float]]:
        yield "sequence_ids", len(row["plain_ids"])

    def show(self, row: Row, names: Callable[[int], str], events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        yield f"{self.length(row)} plain columns"
