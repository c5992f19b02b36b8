"""Folders as Full-Duplex-Bench publishes them, with sound of ours."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.replay import RECORDING

RATE = 16_000
END_S = 2.0  # where the user's speech ends in an item


def speech(length_s: float, rate: int = RATE) -> NDArray[np.float32]:
    """A sentence of Kokoro's, again and again, float32 [samples]."""
    waveform, own = soundfile.read(RECORDING, dtype="float32")
    return np.resize(soxr.resample(waveform, own, rate).astype(np.float32), round(length_s * rate))


def write_wav(path: Path, length_s: float = 6.0, rate: int = RATE, channels: int = 1) -> None:
    """Speech up to END_S, then silence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.zeros(round(length_s * rate), np.float32)
    samples[: round(END_S * rate)] = speech(min(END_S, length_s), rate)
    soundfile.write(path, np.stack([samples] * channels, axis=1), rate, subtype="PCM_16")


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def turn_taking(item: Path) -> None:
    write_wav(item / "input.wav")
    write_json(item / "turn_taking.json", [{"text": "[TURN-TAKING]", "timestamp": [END_S, END_S + 0.4]}])
    write_json(item / "transcription.json", [])


def pause_handling(item: Path) -> None:
    write_wav(item / "input.wav", 3.0)
    write_json(item / "pause.json", [{"text": "[PAUSE]", "timestamp": [1.0, 1.6]}])


def backchannel(item: Path) -> None:
    write_wav(item / "input.wav", 8.0)


def interruption(item: Path) -> None:
    write_wav(item / "input.wav", 8.0)
    mark = {"context": "Where is it?", "interrupt": "No, when is it?", "timestamp": [1.0, END_S]}
    write_json(item / "interrupt.json", [mark])


def overlap(item: Path) -> None:
    write_wav(item / "input.wav", 8.0)
    write_wav(item / "clean_input.wav", 8.0)
    about = {"context_text": "Where is it?", "current_turn_text": "No, when is it?", "timestamps": [1.0, END_S]}
    write_json(item / "metadata.json", about)


def published(root: Path) -> Path:
    """A folder with an item or more of each task, under the names that the benchmark has."""
    for number in ("10", "2", "1"):
        turn_taking(root / "v1_0" / "candor_turn_taking" / number)
    pause_handling(root / "v1_0" / "candor_pause_handling" / "1")
    pause_handling(root / "v1_0" / "synthetic_pause_handling" / "1")
    backchannel(root / "v1_0" / "icc_backchannel" / "0")
    interruption(root / "v1_0" / "synthetic_user_interruption" / "1")
    overlap(root / "v1_5" / "user_interruption" / "1")
    overlap(root / "v1_5" / "user_backchannel" / "1")
    return root
