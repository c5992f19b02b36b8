"""Rows of the artefacts between stages, and the records they hold."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray

from ..dialogue import Dialogue, SpokenDialogue, Turn, Utterance, Waveform

FLAC = {"format": "FLAC", "subtype": "PCM_16"}

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
                "flac": to_flac(utterance.waveform, utterance.sample_rate),
            }
            for utterance in dialogue.utterances
        ],
    }


def read_speech_row(row: dict[str, Any]) -> SpokenDialogue:
    utterances = tuple(
        Utterance(item["role"], item["text"], item["voice"], _from_flac(item["flac"]), row["sample_rate"])
        for item in row["utterances"]
    )
    return SpokenDialogue(row["dialogue_id"], row["source"], row["language"], utterances)


def to_flac(samples: NDArray[np.float32] | NDArray[np.int16], sample_rate: int) -> bytes:
    """16 bit FLAC of samples [samples] or [samples, channels]."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, **FLAC)
    return buffer.getvalue()


def _from_flac(data: bytes) -> Waveform:
    waveform: Waveform = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    return waveform
