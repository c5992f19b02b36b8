"""The plainest layout there is, to show that pairs know none: one column per frame, no shift, no blocks, any codebooks.

`streams` [1 + 2 · codebooks, frames]: text ids from where each reply starts, the user's codes, the assistant's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from duplexgen.pipeline.dialogue import CodedTrack
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.layouts.layout import Written, WrittenReply
from duplexgen.pipeline.layouts.section import LayoutSection
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.layouts.vocabulary import Vocabulary

NOTHING, GOES_ON = -1, -2


class PlainSection(LayoutSection):
    name: Literal["plain"]


@dataclass(frozen=True)
class Plain:
    section: PlainSection
    vocabulary: SharedVocabulary
    samples_per_frame: int

    name: ClassVar[str] = "plain"
    Spec: ClassVar[type[LayoutSection]] = PlainSection
    VOCABULARY: ClassVar[type[Vocabulary]] = SharedVocabulary
    KINDS: ClassVar[tuple[str, ...]] = ("text", "user", "assistant")
    COLUMNS: ClassVar[tuple[pa.Field, ...]] = (pa.field("streams", pa.list_(pa.list_(pa.int32())), nullable=False),)
    IDS: ClassVar[str] = "streams"
    step_frames: ClassVar[int] = 1

    def encode(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
        text = np.full(track.frames, NOTHING, np.int32)
        for event, ids in zip(track.events, texts, strict=True):
            if event.channel != "assistant":
                continue
            first, past = event.start_sample // self.samples_per_frame, -(-event.end_sample // self.samples_per_frame)
            if (text[first:past] != NOTHING).any() or past > track.frames:
                raise DialogueRejected("replies_collide", "two replies, or the end, in one frame")
            if len(ids) > past - first and not event.is_cut:
                raise DialogueRejected("text_overflow", f"{len(ids)} text ids in {past - first} frames")
            text[first:past] = GOES_ON
            text[first : first + min(len(ids), past - first)] = ids[: past - first]
        codes = (track.user_codes[:, : track.frames], track.assistant_codes[:, : track.frames])
        return {"streams": [*np.concatenate([text[np.newaxis], *codes]).astype(np.int32)]}

    def length(self, row: Mapping[str, Any]) -> int:
        return len(row["streams"][0])

    def written(self, row: Mapping[str, Any]) -> Written:
        if len(row["streams"]) % 2 != 1 or len({len(stream) for stream in row["streams"]}) != 1:
            raise ValueError("expected text and as many codebooks of either channel, of equal length")
        streams = np.asarray(row["streams"], np.int32)
        codes = streams[1:].astype(np.int16)
        user, assistant = codes[: len(codes) // 2], codes[len(codes) // 2 :]
        return Written(user, assistant, 0, tuple(self._replies(streams[0])))

    def _replies(self, text: Any) -> Iterator[WrittenReply]:
        says = np.concatenate([[False], text != NOTHING, [False]])
        for first, past in np.flatnonzero(says[1:] != says[:-1]).reshape(-1, 2).tolist():
            ids = tuple(int(id_) for id_ in text[first:past] if id_ != GOES_ON)
            yield WrittenReply(ids, past - first, range(first, first + 1), range(past, past + 1))

    def announces(self, frames: int, start_sample: int) -> bool:
        return start_sample // self.samples_per_frame < frames

    def may_follow(self, end_sample: int, start_sample: int) -> bool:
        return start_sample // self.samples_per_frame > -(-end_sample // self.samples_per_frame)
