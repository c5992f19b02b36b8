"""Rows of the artefacts between stages, and the records they hold."""

from typing import Any

import pyarrow as pa

from ..audio import flac
from ..dialogue import Dialogue, SpokenDialogue, Turn, Utterance

TEXT = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("turns", pa.list_(pa.struct([("role", pa.string()), ("text", pa.string())])), nullable=False),
    ]
)
SPEECH = pa.schema(
    [
        pa.field("dialogue_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("sample_rate", pa.int32(), nullable=False),  # the voice engine's own
        pa.field(
            "utterances",
            pa.list_(
                pa.struct([("role", pa.string()), ("text", pa.string()), ("voice", pa.string()), ("flac", pa.binary())])
            ),
            nullable=False,
        ),
    ]
)


def text_row(dialogue: Dialogue) -> dict[str, Any]:
    return {
        "dialogue_id": dialogue.id,
        "source": dialogue.source,
        "language": dialogue.language,
        "turns": [{"role": turn.role, "text": turn.text} for turn in dialogue.turns],
    }


def read_text_row(row: dict[str, Any]) -> Dialogue:
    turns = tuple(Turn(turn["role"], turn["text"]) for turn in row["turns"])
    return Dialogue(row["dialogue_id"], row["source"], row["language"], turns)


def speech_row(dialogue: SpokenDialogue) -> dict[str, Any]:
    return {
        "dialogue_id": dialogue.id,
        "source": dialogue.source,
        "language": dialogue.language,
        "sample_rate": dialogue.utterances[0].sample_rate,
        "utterances": [
            {
                "role": utterance.role,
                "text": utterance.text,
                "voice": utterance.voice,
                "flac": flac.encode(utterance.waveform, utterance.sample_rate),
            }
            for utterance in dialogue.utterances
        ],
    }


def read_speech_row(row: dict[str, Any]) -> SpokenDialogue:
    utterances = tuple(
        Utterance(item["role"], item["text"], item["voice"], flac.decode(item["flac"]), row["sample_rate"])
        for item in row["utterances"]
    )
    return SpokenDialogue(row["dialogue_id"], row["source"], row["language"], utterances)
