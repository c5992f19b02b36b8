"""The rows that stages hand on, and how records become rows and rows become records."""

from dataclasses import asdict
from typing import Any

import pyarrow as pa

from ..audio import flac
from ..dataset.schema import QUALITY, WORD
from ..dialogue import FIGURES, Dialogue, SpokenDialogue, Turn, Utterance, Word

TURN = pa.struct(
    [
        pa.field("role", pa.string()),
        pa.field("text", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("at_word", pa.int32()),  # of the turn that it interrupts or accompanies; null: any
    ]
)
TEXT = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("turns", pa.list_(TURN), nullable=False),
    ]
)
UTTERANCE = pa.struct(
    [
        pa.field("role", pa.string()),
        pa.field("text", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("at_word", pa.int32()),
        pa.field("voice", pa.string()),
        pa.field("flac", pa.binary()),
        pa.field("words", pa.list_(WORD)),  # in samples of the waveform; null: their times are not known
        pa.field("quality", QUALITY),  # null: nothing was measured
    ]
)
SPEECH = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("sample_rate", pa.int32(), nullable=False),  # the voice engine's own
        pa.field("utterances", pa.list_(UTTERANCE), nullable=False),
    ]
)


def text_row(dialogue: Dialogue) -> dict[str, Any]:
    return {
        "dialogue_id": dialogue.id,
        "source": dialogue.source,
        "language": dialogue.language,
        "turns": [asdict(turn) for turn in dialogue.turns],
    }


def read_text_row(row: dict[str, Any]) -> Dialogue:
    turns = tuple(Turn(**turn) for turn in row["turns"])
    return Dialogue(row["dialogue_id"], row["source"], row["language"], turns)


def speech_row(dialogue: SpokenDialogue) -> dict[str, Any]:
    return {
        "dialogue_id": dialogue.id,
        "source": dialogue.source,
        "language": dialogue.language,
        "sample_rate": dialogue.utterances[0].sample_rate,
        "utterances": [_utterance_row(utterance) for utterance in dialogue.utterances],
    }


def _utterance_row(utterance: Utterance) -> dict[str, Any]:
    return {
        "role": utterance.role,
        "text": utterance.text,
        "kind": utterance.kind,
        "at_word": utterance.at_word,
        "voice": utterance.voice,
        "flac": flac.encode(utterance.waveform, utterance.sample_rate),
        "words": None if utterance.words is None else [asdict(word) for word in utterance.words],
        "quality": None if utterance.quality is None else {name: utterance.quality.get(name) for name in FIGURES},
    }


def read_speech_row(row: dict[str, Any]) -> SpokenDialogue:
    utterances = tuple(_read_utterance(item, row["sample_rate"]) for item in row["utterances"])
    return SpokenDialogue(row["dialogue_id"], row["source"], row["language"], utterances)


def _read_utterance(item: dict[str, Any], sample_rate: int) -> Utterance:
    words, quality = item["words"], item["quality"]
    return Utterance(
        item["role"],
        item["text"],
        item["voice"],
        flac.decode(item["flac"]),
        sample_rate,
        None if words is None else tuple(Word(**word) for word in words),
        None if quality is None else {name: figure for name, figure in quality.items() if figure is not None},
        item["kind"],
        item["at_word"],
    )
