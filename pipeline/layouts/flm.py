"""The streams of FLM-Audio (arXiv 2509.02521): text is written without gaps, before or after the speech it belongs to.

Reconstructed from the paper (sections 2.2 and 3) and the public inference code. With L = `text_lead`, for a reply with
speech samples [S, E) and spf samples per frame:

    first column of its text = 1 + S // spf - L
    last column of its speech = ceil(E / spf)

Then the text stream waits. Where the format asks for it, a turn of the user's is transcribed from column
1 + ceil(E / spf) on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..dialogue import CHANNELS, CodedTrack, Event, Role
from ..errors import DialogueRejected
from ..tokens.described import Id
from .layout import Ids, WrittenReply
from .section import LayoutSection
from .stream_ids import StreamVocabulary
from .streams import Streams, StreamsSection
from .vocabulary import Vocabulary

Format = Literal["tts", "asr", "asr_response_tts", "response_tts"]
LEFT_OUT: dict[Format, Role] = {"tts": "user", "asr": "assistant"}
"""The channel that a format leaves empty."""


class FLMSection(StreamsSection):
    name: Literal["flm"] = "flm"
    format: Format = "response_tts"  # what the model learns from the rows: to speak, to hear, or to converse
    text_lead: Annotated[int, Field(ge=0, le=100)] = 2  # columns from the first text id to the first speech
    wait: Id | None = None  # ids of special tokens of the text tokenizer; null: they are added to it
    asr: Id | None = None
    answer: Id | None = None
    audio_start: Id | None = None  # the first input of the depth model; null: the second id after the codes

    TRAINED_TOGETHER: ClassVar[frozenset[str]] = frozenset({"format"})

    @property
    def channels(self) -> frozenset[Role]:
        return frozenset(CHANNELS) - {LEFT_OUT.get(self.format)}

    @property
    def text_lead_frames(self) -> int | None:
        return None if self.format in LEFT_OUT else self.text_lead

    @property
    def writes_transcripts(self) -> bool:
        return self.format == "asr_response_tts"


@dataclass(frozen=True)
class FLMVocabulary(StreamVocabulary):
    TOKENS: ClassVar[Mapping[str, str]] = {"wait": "<wait>", "asr": "<asr>", "answer": "<answer>"}


@dataclass(frozen=True)
class FLM(Streams):
    section: FLMSection

    name: ClassVar[str] = "flm"
    Spec: ClassVar[type[LayoutSection]] = FLMSection
    VOCABULARY: ClassVar[type[Vocabulary]] = FLMVocabulary
    KINDS: ClassVar[tuple[str, ...]] = ("user", "empty", "text", "wait", "semantic", "acoustic")
    SIGNS: ClassVar[dict[str, str]] = {"wait": "·", "asr": "?", "answer": "!"}
    LONGEST_PAUSE: ClassVar[int] = 0

    @property
    def initial_text(self) -> int:
        return self.vocabulary.special["wait"].id

    def texts(self, track: CodedTrack) -> list[str]:
        return list(track.texts)

    def is_left_out(self, channel: Role) -> bool:
        return LEFT_OUT.get(self.section.format) == channel

    def text_stream(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Ids:
        """Raises DialogueRejected if the track has the wrong channels for the format, or a text no place in it."""
        left_out = LEFT_OUT.get(self.section.format)
        if any(event.channel == left_out for event in track.events):
            raise DialogueRejected(
                "speaks_on_empty_channel", f"the format {self.section.format} leaves the {left_out}'s channel empty"
            )
        stream: Ids = np.full(self.columns(track.frames), self.initial_text, np.int32)
        free = 1  # the first column that a text may have
        for event, ids in self._in_order(track, texts):
            if not self.vocabulary.is_text(ids).all():
                raise DialogueRejected("text_is_special", "a text has the id of a special token of the layout")
            first = self._first_column(event)
            if event.channel == "assistant":
                last = self.past_frame(event)
                if event.answers is not None and first <= (heard := self.past_frame(track.events[event.answers])):
                    raise DialogueRejected(
                        "answers_too_soon",
                        f"the text of a reply starts in column {first}, and the turn that it answers is heard up to "
                        f"column {heard}",
                    )
                self._write(stream, first, ids[: max(0, last - first + 1)] if event.is_cut else ids, free, last)
                free = last + 2  # the stream waits until the speech ends, and once more
            else:
                written = self._transcript(ids)
                self._write(stream, first, written, free, len(stream) - 1)
                free = first + len(written) + (self.section.format == "asr")
        return stream

    @staticmethod
    def _write(stream: Ids, first: int, ids: Sequence[int], free: int, last: int) -> None:
        """Write ids from column `first` on, which may not be before `free`, and not after column `last`."""
        if first < free:
            raise DialogueRejected(
                "no_room_for_text",
                f"a text starts in column {first}, the one before it has those up to {free - 1}",
            )
        if first + len(ids) > last + 1:
            raise DialogueRejected(
                "text_overflow", f"{len(ids)} text ids from column {first} on have room up to column {last}"
            )
        stream[first : first + len(ids)] = ids

    def _transcript(self, ids: Sequence[int]) -> Sequence[int]:
        """What is written of a turn of the user's."""
        if self.section.format == "asr":
            return ids
        return [self.vocabulary.special["asr"].id, *ids, self.vocabulary.special["answer"].id]

    def _in_order(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> list[tuple[Event, Sequence[int]]]:
        """Events that have a text in the stream, with its ids, in the order in which the texts start."""
        answered = {event.answers for event in track.events}
        transcribed = {"asr": range(len(track.events)), "asr_response_tts": answered}.get(self.section.format, ())
        pairs = [
            (event, ids)
            for index, (event, ids) in enumerate(zip(track.events, texts, strict=True))
            if event.channel == "assistant" or index in transcribed
        ]
        return sorted(pairs, key=lambda pair: self._first_column(pair[0]))

    def _first_column(self, event: Event) -> int:
        """Where the text of an event starts."""
        if event.channel == "user":
            return 1 + self.past_frame(event)
        return self._reply_column(event.start_sample)

    def _reply_column(self, start_sample: int) -> int:
        """Where the text of a reply starts whose speech starts at this sample."""
        return 1 + start_sample // self.samples_per_frame - self.section.text_lead

    def announces(self, frames: int, start_sample: int) -> bool:
        return self._reply_column(start_sample) < self.columns(frames)

    def may_follow(self, end_sample: int, start_sample: int) -> bool:
        return self._reply_column(start_sample) > -(-end_sample // self.samples_per_frame) + 1

    def _written_reply(self, text: Ids, first_frame: int, past_frame: int, limit: int) -> WrittenReply:
        first = max(0, 1 + first_frame - self.section.text_lead)
        region = text[first : 1 + past_frame]
        waits = np.flatnonzero(region == self.vocabulary.special["wait"].id)
        ids = region[: waits[0]] if waits.size else region
        return WrittenReply(
            tuple(map(int, ids)),
            len(region),
            range(first_frame, first_frame + 1),
            range(past_frame, past_frame + 1),
        )
