"""The streams of Moshi (arXiv 2410.00037): each word of the assistant's is written when it is spoken.

As the public fine-tuning code aligns them: the tokens of a word stand in the frame of its onset, rounded down, and in
the frames after it, one each. The next word replaces what is left of the one before. In the frame before a word stands
EPAD if nothing else is written there. PAD stands everywhere else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from ..dialogue import CodedTrack, Word
from ..errors import DialogueRejected
from ..tokens.described import Id
from .layout import Ids, Row, WrittenReply
from .section import LayoutSection
from .stream_ids import StreamVocabulary
from .streams import STREAMS, TEXT, Streams, StreamsSection
from .vocabulary import Vocabulary


class MoshiSection(StreamsSection):
    name: Literal["moshi"] = "moshi"
    pad: Id | None = None  # ids of special tokens of the text tokenizer; null: they are added to it
    epad: Id | None = None
    initial: Id | None = None
    # Whether a space is part of the word after it. Not with Moshi's own text tokenizer, which adds it by itself.
    spaces: bool = True


@dataclass(frozen=True)
class MoshiVocabulary(StreamVocabulary):
    TOKENS: ClassVar[Mapping[str, str]] = {"pad": "[PAD]", "epad": "[EPAD]", "initial": "[INITIAL]"}


@dataclass(frozen=True)
class Moshi(Streams):
    section: MoshiSection

    name: ClassVar[str] = "moshi"
    Spec: ClassVar[type[LayoutSection]] = MoshiSection
    VOCABULARY: ClassVar[type[Vocabulary]] = MoshiVocabulary
    KINDS: ClassVar[tuple[str, ...]] = ("user", "empty", "text", "pad", "epad", "semantic", "acoustic")
    NEEDS_WORDS: ClassVar[bool] = True
    SIGNS: ClassVar[dict[str, str]] = {"pad": "·", "epad": "E", "initial": "I"}

    LONGEST_PAUSE: ClassVar[int] = 12  # a second

    @property
    def initial_text(self) -> int:
        return self.vocabulary.special["initial"].id

    def texts(self, track: CodedTrack) -> list[str]:
        """The words of the assistant's, with the space before them. Raises DialogueRejected if no times are known."""
        texts = []
        for words, text in zip(self._words(track), track.texts, strict=True):
            position = 0
            for word in words:
                start = max(text.find(word.text, position), position)
                spaced = self.section.spaces and text[:start].endswith(" ")
                texts.append(" " * spaced + word.text)
                position = start + len(word.text)
        return texts

    @staticmethod
    def _words(track: CodedTrack) -> Iterator[Sequence[Word]]:
        """For each event, the words that are written; those that take no time are not."""
        for event in track.events:
            if event.channel == "assistant" and event.words is None:
                raise DialogueRejected(
                    "words_unknown", "the times of its words are not known, and the layout moshi needs them"
                )
            words = event.words if event.channel == "assistant" else None
            yield [word for word in words or () if word.start_sample < word.end_sample]

    def text_stream(self, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Ids:
        """Raises DialogueRejected if the times of words are not known, or if the row ends within a word."""
        special, columns = self.vocabulary.special, self.columns(track.frames)
        stream: Ids = np.full(columns, special["pad"].id, np.int32)
        stream[0] = self.initial_text
        words = [word for of_event in self._words(track) for word in of_event]
        placed = sorted(
            ((1 + word.start_sample // self.samples_per_frame, ids) for word, ids in zip(words, texts, strict=True)),
            key=lambda place: place[0],
        )
        for (first, ids), (next_first, _) in pairwise([*placed, (columns + 1, ())]):
            if not self.vocabulary.is_text(ids).all():
                raise DialogueRejected("text_is_special", "a word has the id of a special token of the layout")
            written = ids[: next_first - first]
            if first + len(written) > columns:
                raise DialogueRejected("text_overflow", f"the row ends in column {columns - 1}, within a word")
            stream[first : first + len(written)] = written
            if written and first > 1 and stream[first - 1] == special["pad"].id:
                stream[first - 1] = special["epad"].id
        return stream

    def check(self, row: Row, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Iterator[str]:
        failures = [*super().check(row, track, texts)]
        yield from failures or self._check_onsets(np.asarray(row[STREAMS][TEXT]), track, texts)

    def _check_onsets(self, text: Ids, track: CodedTrack, texts: Sequence[Sequence[int]]) -> Iterator[str]:
        """The rules of the public fine-tuning code, without the code that writes a row: a loss shows none of them."""
        words = (word for of_event in self._words(track) for word in of_event)
        onsets = {1 + word.start_sample // self.samples_per_frame: ids for word, ids in zip(words, texts, strict=True)}
        first_ids = {column: ids[0] for column, ids in onsets.items() if len(ids)}
        pad, epad = (self.vocabulary.special[name].id for name in ("pad", "epad"))
        for column, id_ in first_ids.items():
            if text[column] != id_:
                yield f"a word is spoken from column {column} on, and the text stream has {text[column]} there"
            if column > 1 and text[column - 1] == pad:
                yield f"a word starts in column {column}, and no EPAD is before it"
        for column in np.flatnonzero(text == epad).tolist():
            if column + 1 not in first_ids:
                yield f"EPAD is in column {column}, and no word starts after it"
        written = 1 + np.flatnonzero(self._kind_of_text(text[1:]) == self.KINDS.index("text"))
        if len(written) and written[0] < min(first_ids, default=len(text)):
            yield f"the text stream has a word in column {written[0]}, before any is spoken"

    def announces(self, frames: int, start_sample: int) -> bool:
        return start_sample // self.samples_per_frame < self.columns(frames)

    def may_follow(self, end_sample: int, start_sample: int) -> bool:
        return start_sample >= end_sample

    def _written_reply(self, text: Ids, first_frame: int, past_frame: int, limit: int) -> WrittenReply:
        region = text[1 + first_frame : limit]
        ids = tuple(map(int, region[self._kind_of_text(region) == self.KINDS.index("text")]))
        return WrittenReply(ids, len(ids), range(first_frame, first_frame + 1), range(past_frame, past_frame + 1))
