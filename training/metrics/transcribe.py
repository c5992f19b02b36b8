"""Transcripts of what a model says, by Whisper through faster-whisper."""

from importlib import import_module

import numpy as np
import soxr

from ...pipeline.dialogue import Waveform
from ...pipeline.errors import UserError

WHISPER_HZ = 16000


class Transcriber:
    """whisper: a size that faster-whisper knows (the paper's is large-v3), or a folder with a converted model.

    Raises UserError if faster-whisper is not installed or the model cannot be loaded.
    """

    def __init__(self, whisper: str, threads: int = 1) -> None:
        try:
            whisper_model = import_module("faster_whisper").WhisperModel
        except ModuleNotFoundError as error:
            raise UserError(
                f"transcripts need the package {error.name}, which is not installed: pip install faster-whisper"
            ) from None
        try:
            self._model = whisper_model(whisper, device="auto", cpu_threads=threads)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"the Whisper model {whisper} cannot be loaded: {error}. Expected the name of a size, such as "
                "large-v3, or a folder with a model that faster-whisper reads."
            ) from error

    def transcribe(self, samples: Waveform, sample_rate: int) -> str:
        """The transcript of one channel [samples]; empty for silence, in which Whisper would invent words."""
        heard = np.asarray(soxr.resample(samples, sample_rate, WHISPER_HZ), dtype=np.float32)
        segments, _ = self._model.transcribe(
            heard, beam_size=5, temperature=0.0, vad_filter=True, condition_on_previous_text=False
        )
        return " ".join(segment.text.strip() for segment in segments)
