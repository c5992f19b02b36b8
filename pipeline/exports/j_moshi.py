"""J-Moshi's fine-tuning (nu-dialogue/moshi-finetune, 3879d29): Parquet of both speakers, each as text and 8 codebooks.

    train-001-of-002.parquet    dialogue_id, A [9, T], B [9, T]

A is the assistant, B the user. Nothing is shifted: column t is frame t, and the program delays the codebooks by itself.
It trains on both speakers in turn, so the user's words are written as well, as the layout `moshi` writes the
assistant's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ..dataset.reader import Dataset
from ..dataset.rows import read_track
from ..dialogue import CodedTrack
from ..errors import DialogueRejected, UserError
from ..layouts.layout import Ids, Layout
from ..layouts.moshi import Moshi
from ..layouts.streams import STREAMS, TEXT
from ..storage.atomic import write_json
from ..tokens.protocols import TextTokenizer
from ..tokens.tokenizers import TEXT_TOKENIZERS, installed
from . import card
from .exporter import CODES, DIALOGUES_ALONE, WORDS, Exporter, Shard, Summary
from .tables import parquet

CODEBOOKS = 8  # of Moshi, per speaker
SPEAKER = pa.list_(pa.list_(pa.int32()))
COLUMNS = pa.schema([("dialogue_id", pa.string()), ("A", SPEAKER), ("B", SPEAKER)])
NEEDED = ["dialogue_id", "events", "user_codes", "assistant_codes", STREAMS]


class JMoshi(Exporter):
    name: ClassVar[str] = "j-moshi"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = DIALOGUES_ALONE
    needs: ClassVar[frozenset[str]] = frozenset({CODES, WORDS, Moshi.name})

    def lacks(self, dataset: Dataset) -> Iterator[str]:
        if (codebooks := dataset.described.speech_tokenizer.codebooks) < CODEBOOKS:
            yield (
                f"its channels have {codebooks} codebooks, and Moshi's {CODEBOOKS}: build it again with "
                "`tokens: {speech_tokenizer: mimi}`"
            )
        try:
            _text_tokenizer(dataset)
        except UserError as error:
            yield f"the user's words have to be tokenized: {error}"

    def write(self, shard: Shard, out: Path) -> Summary:
        dataset, described = shard.dataset, shard.dataset.described
        tokenizer = _text_tokenizer(dataset)
        with parquet(out / f"train-{shard.number + 1:03d}-of-{shard.of:03d}.parquet", COLUMNS) as add:
            for _, row in shard.rows(NEEDED):
                track = read_track(row, described.margin_frames, described.samples_per_frame)
                try:
                    users = _text(swapped(track), dataset.layout, tokenizer)
                except DialogueRejected as error:
                    shard.leave_out(f"the user's words do not fit the text stream ({error.reason})")
                    continue
                text = np.asarray(row[STREAMS][TEXT], np.int32)[1 : 1 + track.frames]
                sides = {"A": (text, track.assistant_codes), "B": (users, track.user_codes)}
                add({"dialogue_id": row["dialogue_id"]} | {name: _streams(*side) for name, side in sides.items()})
        return {}

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        for _ in summaries:
            pass
        card.copy_vocabulary(dataset, out)
        ids = dataset.described.model_dump(mode="json", include={"ids", "text_tokenizer", "speech_tokenizer"})
        write_json(out / "ids.json", ids)
        return {"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train-*.parquet"}]}]}


def swapped(track: CodedTrack) -> CodedTrack:
    """The track with its channels exchanged, without what belongs to replies that are cut."""
    other = {"user": "assistant", "assistant": "user"}
    events = tuple(replace(event, channel=other[event.channel]) for event in track.events)  # type: ignore[arg-type]
    return replace(track, user_codes=track.assistant_codes, assistant_codes=track.user_codes, events=events, uncut=())


def _text(track: CodedTrack, layout: Layout, tokenizer: TextTokenizer) -> Ids:
    """The text stream of the assistant's channel, [frames]. Raises DialogueRejected if it does not fit."""
    texts = [tokenizer.encode(text) for text in layout.texts(track)]
    streams: Ids = layout.encode(track, texts)[STREAMS][TEXT][1 : 1 + track.frames]
    return streams


def _streams(text: Ids, codes: Any) -> list[list[int]]:
    """[9, frames]. codes: with the margin after them."""
    streams = np.concatenate([text[np.newaxis], codes[:CODEBOOKS, : len(text)].astype(np.int32)])
    ids: list[list[int]] = streams.tolist()
    return ids


def _text_tokenizer(dataset: Dataset) -> TextTokenizer:
    """Raises UserError if it is not here."""
    tokenizer: TextTokenizer = installed(TEXT_TOKENIZERS, dataset.described.text_tokenizer, dataset.tokens)
    return tokenizer
