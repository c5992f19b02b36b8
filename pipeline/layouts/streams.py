"""Parallel streams at the frame rate of the speech tokenizer: what the layouts of FLM-Audio and Moshi have in common.

A row is a matrix [2Q + 1, T] of ids, with Q codebooks per channel: stream 0 is text, 1 … Q are the assistant's
codebooks ("speak"), Q + 1 … 2Q the user's ("listen"). Column 0 is initial. Frame f of codebook 0 stands in column
f + 1, and of the other codebooks `acoustic_delay` columns later. So a track of F frames has 1 + F + `acoustic_delay`
columns. A model predicts the text and the speak codes of a column from the columns before it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from ..dialogue import CodedTrack, Codes, Event, Role
from ..errors import DialogueRejected
from ..tokens.described import Id
from .layout import Ids, Row, Written, WrittenReply
from .section import LayoutSection
from .stream_ids import StreamVocabulary
from .vocabulary import Vocabulary

STREAMS, REPLIES = "streams", "reply_frames"
SIGNS_PER_LINE = 75  # columns of a row, 6 s at 12.5 Hz
SPEECH, SILENCE, NOTHING = "█", "·", " "
TEXT = 0  # the stream of text


class StreamsSection(LayoutSection):
    acoustic_delay: Annotated[int, Field(ge=0, le=100)] = 1  # columns, of all codebooks but the first
    audio_pad: Id | None = None  # where there is no code; null: the first id after the codes

    @property
    def margin_frames(self) -> int:
        """The last columns hold codebook 0 of the frames after the track."""
        return self.acoustic_delay

    @property
    def columns_in_words(self) -> str:
        return (
            f"`streams`: parallel streams of {self.name}, one column per frame after the initial one: text, then the\n"
            "  assistant's codebooks, then the user's. All codebooks but the first come "
            f"{self.acoustic_delay} columns later.\n"
            "  `reply_frames`: the first frame of each reply, and the frame after its last one."
        )


@dataclass(frozen=True)
class Streams(ABC):
    """Text is what layouts of this kind differ in."""

    section: StreamsSection
    vocabulary: StreamVocabulary
    samples_per_frame: int

    name: ClassVar[str]
    Spec: ClassVar[type[LayoutSection]]
    VOCABULARY: ClassVar[type[Vocabulary]]
    KINDS: ClassVar[tuple[str, ...]]
    """The user's codes first; `empty` are initial cells and those without a code: no model learns them."""
    SIGNS: ClassVar[dict[str, str]]
    """What `show` prints for each special token."""
    LONGEST_PAUSE: ClassVar[int]
    """The most columns without text between two ids of one reply."""
    COLUMNS: ClassVar[tuple[pa.Field, ...]] = (
        pa.field(STREAMS, pa.list_(pa.list_(pa.int32())), nullable=False),
        pa.field(REPLIES, pa.list_(pa.list_(pa.int32())), nullable=False),
    )
    IDS: ClassVar[str] = STREAMS
    NEEDS_WORDS: ClassVar[bool] = False
    step_frames: ClassVar[int] = 1
    first_assistant_frame: ClassVar[int] = 0

    @abstractmethod
    def texts(self, track: CodedTrack) -> list[str]:
        """The texts whose ids `encode` gets."""

    @abstractmethod
    def text_stream(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Ids:
        """Stream 0 of a track, [T]. Raises DialogueRejected if a text does not fit."""

    @abstractmethod
    def announces(self, frames: int, start_sample: int) -> bool: ...

    @abstractmethod
    def may_follow(self, end_sample: int, start_sample: int) -> bool: ...

    @abstractmethod
    def _written_reply(self, text: Ids, first_frame: int, past_frame: int, limit: int) -> WrittenReply:
        """A reply whose speech has these frames.

        text: stream 0. limit: the column in which the next reply is first heard, or one past the last column.
        """

    @property
    @abstractmethod
    def initial_text(self) -> int:
        """The id of the text stream in column 0."""

    @property
    def streams(self) -> int:
        return self.vocabulary.streams

    @property
    def codebooks(self) -> int:
        return self.vocabulary.audio.codebooks

    def columns(self, frames: int) -> int:
        return 1 + frames + self.section.acoustic_delay

    def first_frame(self, event: Event) -> int:
        return event.start_sample // self.samples_per_frame

    def past_frame(self, event: Event) -> int:
        """One past the last frame in which an event is heard."""
        return -(-event.end_sample // self.samples_per_frame)

    def encode(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> dict[str, Any]:
        text = self.text_stream(track, texts)
        channels = [self._delayed(track, "assistant"), self._delayed(track, "user")]
        replies = [event for event in track.events if event.channel == "assistant"]
        return {
            STREAMS: list(np.concatenate([text[np.newaxis], *channels])),
            REPLIES: [[self.first_frame(event), self.past_frame(event)] for event in replies],
        }

    def is_left_out(self, channel: Role) -> bool:
        """Whether a row has no codes of a channel at all."""
        return False

    def _delayed(self, track: CodedTrack, channel: Role) -> Ids:
        """The streams of one channel, [Q, T]."""
        delay, columns = self.section.acoustic_delay, self.columns(track.frames)
        ids = np.full((self.codebooks, columns), self.vocabulary.audio.pad, np.int32)
        if self.is_left_out(channel):
            return ids
        codes = track.user_codes if channel == "user" else track.assistant_codes
        if len(codes) < self.codebooks or track.margin_frames < delay:
            raise ValueError(
                f"expected {self.codebooks} codebooks and a margin of {delay} frames, got {len(codes)} and "
                f"{track.margin_frames}"
            )
        ids[0, 1:] = codes[0, : columns - 1]
        ids[1:, 1 + delay :] = codes[1 : self.codebooks, : track.frames]
        return ids

    def length(self, row: Row) -> int:
        return len(row[STREAMS][TEXT]) - self.columns(0)

    def matrix(self, row: Row) -> Ids:
        """The streams of a row, [2Q + 1, T]; raises ValueError if they are none."""
        lengths = {len(stream) for stream in row[STREAMS]}
        if len(row[STREAMS]) != self.streams or len(lengths) != 1 or min(lengths) < self.columns(0):
            raise ValueError(
                f"expected {self.streams} streams of equal length, at least {self.columns(0)} columns, got "
                f"{len(row[STREAMS])} of {sorted(lengths)[:3]}"
            )
        return np.stack([np.asarray(stream, np.int32) for stream in row[STREAMS]])

    def written(self, row: Row) -> Written:
        matrix, frames = self.matrix(row), self.length(row)
        speak, listen = matrix[1 : 1 + self.codebooks], matrix[1 + self.codebooks :]
        for reply in row[REPLIES]:
            if len(reply) != 2 or not 0 <= reply[0] < reply[1] <= frames:
                raise ValueError(f"{REPLIES} has {reply}, expected the first frame and one past the last of {frames}")
        return Written(self._codes(listen, frames), self._codes(speak, frames), tuple(self._replies(matrix[TEXT], row)))

    def _replies(self, text: Ids, row: Row) -> Iterator[WrittenReply]:
        replies = row[REPLIES]
        limits = [*(1 + int(first) for first, _ in replies[1:]), len(text)]
        for (first, past), limit in zip(replies, limits, strict=False):  # a row without replies has one limit
            yield self._written_reply(text, int(first), int(past), limit)

    def _codes(self, ids: Ids, frames: int) -> Codes:
        """Codes [Q, frames] of the streams of one channel, which may have none: then they are -1."""
        delay, audio = self.section.acoustic_delay, self.vocabulary.audio
        codes = np.concatenate([ids[:1, 1 : 1 + frames], ids[1:, 1 + delay : 1 + delay + frames]])
        if (ids == audio.pad).all():
            return np.full(codes.shape, -1, np.int16)
        if codes.min(initial=0) < 0 or codes.max(initial=0) >= audio.codes:
            raise ValueError(f"a stream has an id outside 0 … {audio.codes - 1} where it has to be a code")
        return codes.astype(np.int16)

    def kinds(self, row: Row) -> NDArray[np.uint8]:
        matrix = np.asarray(row[STREAMS])
        kinds = np.full(matrix.shape, self.KINDS.index("acoustic"), np.uint8)
        kinds[1] = self.KINDS.index("semantic")
        kinds[matrix == self.vocabulary.audio.pad] = self.KINDS.index("empty")
        kinds[TEXT] = self._kind_of_text(matrix[TEXT])
        kinds[:, 0] = self.KINDS.index("empty")
        kinds[1 + self.codebooks :] = self.KINDS.index("user")
        return kinds

    def _kind_of_text(self, text: Ids) -> NDArray[np.uint8]:
        """Special tokens that have a kind of their own, by their names; all else is text."""
        kinds = np.full(text.shape, self.KINDS.index("text"), np.uint8)
        for name, special in self.vocabulary.special.items():
            if name in self.KINDS:
                kinds[text == special.id] = self.KINDS.index(name)
        return kinds

    def check(self, row: Row, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Iterator[str]:
        try:
            matrix, expected = self.matrix(row), self.encode(track, texts)
        except (ValueError, DialogueRejected) as error:
            yield f"the streams are not those of the track: {error}"
            return
        if [list(map(int, reply)) for reply in row[REPLIES]] != expected[REPLIES]:
            yield f"{REPLIES} are not the frames of the assistant's events"
        if matrix.shape[1] != (columns := self.columns(track.frames)):
            yield f"the streams have {matrix.shape[1]} columns, those of {track.frames} frames are {columns}"
            return
        for number, (stream, own) in enumerate(zip(matrix, expected[STREAMS], strict=True)):
            if (differs := np.flatnonzero(stream != own)).size:
                column = int(differs[0])
                yield (
                    f"{self._name(number)} has {stream[column]} in column {column}, expected {own[column]}; "
                    f"{differs.size} of {len(own)} columns differ"
                )

    def _name(self, stream: int) -> str:
        if stream == TEXT:
            return "the text stream"
        channel, codebook = divmod(stream - 1, self.codebooks)
        return f"the stream of the {('assistant', 'user')[channel]}'s codebook {codebook}"

    def measure(self, row: Row, events: Sequence[Event]) -> Iterator[tuple[str, float]]:
        yield "columns", len(row[STREAMS][TEXT])
        for reply in self._replies(np.asarray(row[STREAMS][TEXT]), row):
            yield "text_tokens", float(len(reply.text_ids))

    def show(self, row: Row, names: Callable[[int], str], events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        """All streams over time, one sign per column, and below them what the text stream writes."""
        matrix = self.matrix(row)
        lines = {"text": self._text_signs(matrix[TEXT])}
        for number, channel, name in ((1, "assistant", "speak"), (1 + self.codebooks, "user", "listen")):
            lines[f"{name} 0"] = self._audio_signs(matrix[number], events, channel, 0)
            if self.codebooks > 1:
                delayed = self._audio_signs(matrix[number + 1], events, channel, self.section.acoustic_delay)
                lines[f"{name} 1…{self.codebooks - 1}"] = delayed
        width = max(map(len, lines))
        for start in range(0, matrix.shape[1], SIGNS_PER_LINE):
            end = min(start + SIGNS_PER_LINE, matrix.shape[1])
            seconds = (max(0, column - 1) * self.samples_per_frame / sample_rate for column in (start, end))
            yield "columns {} … {}, {:.2f} s to {:.2f} s".format(start, end - 1, *seconds)
            for name, signs in lines.items():
                yield f"  {name:{width}}  {signs[start:end]}"
            yield from (f"  {line}" for line in self._written_lines(matrix[TEXT], names, start, end))
            yield ""
        yield self.legend

    @property
    def legend(self) -> str:
        signs = (f"{sign} {name}" for name, sign in self.SIGNS.items())
        return f"text: t text, {', '.join(signs)}; audio: {SPEECH} speech, {SILENCE} silence, blank: no code"

    def _text_signs(self, text: Ids) -> str:
        signs = np.full(len(text), "t")
        for name, sign in self.SIGNS.items():
            signs[text == self.vocabulary.special[name].id] = sign
        return "".join(signs)

    def _audio_signs(self, stream: Ids, events: Sequence[Event], channel: str, delay: int) -> str:
        signs = np.full(len(stream), SILENCE)
        for event in events:
            if event.channel == channel:
                signs[1 + delay + self.first_frame(event) : 1 + delay + self.past_frame(event)] = SPEECH
        signs[stream == self.vocabulary.audio.pad] = NOTHING
        return "".join(signs)

    def _written_lines(self, text: Ids, names: Callable[[int], str], start: int, end: int) -> Iterator[str]:
        """The runs of text that start in these columns, a line for each."""
        kinds = self._kind_of_text(text) == self.KINDS.index("text")
        kinds[0] = False
        edges = np.flatnonzero(np.diff(np.pad(kinds, 1).astype(np.int8)))
        signs = {special.id: f"[{name}]" for name, special in self.vocabulary.special.items()}
        for first, past in edges.reshape(-1, 2).tolist():
            if start <= first < end:
                words = (signs.get(id_) or names(id_) or "␣" for id_ in text[first:past].tolist())
                yield f"column {first}: {' '.join(words)}"
