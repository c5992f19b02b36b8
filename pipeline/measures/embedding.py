"""Who speaks: the speaker encoder of Resemblyzer (GE2E, arXiv 1710.10467), weights inside the package."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dialogue import Waveform
from ..errors import DialogueRejected
from .judge import at_measure_rate, needed, versions

LEVEL_DBFS = -23.0  # RMS; the package lifts only quiet speech, and its voice activity depends on the level

Embedding = NDArray[np.float32]  # [256], of length 1: the cosine of two voices is their dot product


def fingerprint() -> dict[str, str]:
    """What shapes the embeddings."""
    return versions("Resemblyzer", "torch", "librosa", "webrtcvad-wheels")


class SpeakerEmbedding:
    """Embeds voices. device: as torch names it. Raises UserError if Resemblyzer is not installed."""

    def __init__(self, device: str = "cpu") -> None:
        self._resemblyzer = needed("resemblyzer")
        self._encoder: Any = self._resemblyzer.VoiceEncoder(device, verbose=False)

    def embed(self, samples: Waveform, rate: int) -> Embedding:
        """Embedding of one channel [samples] at `rate` Hz: f32 [256], of length 1. Its level does not matter.

        Raises DialogueRejected("no_voice") if nothing in it sounds like a voice.
        """
        signal = at_measure_rate(samples, rate)
        rms = float(np.sqrt(np.mean(np.square(signal, dtype=np.float64)))) if len(signal) else 0.0
        if not rms > 0:
            raise DialogueRejected("no_voice", "silence")
        levelled = np.clip(signal * np.float32(10 ** (LEVEL_DBFS / 20) / rms), -1.0, 1.0)
        voiced = self._resemblyzer.preprocess_wav(levelled)  # silences cut out
        if not len(voiced):
            raise DialogueRejected("no_voice", "it has no sound like a voice")
        embedding = np.asarray(self._encoder.embed_utterance(voiced), dtype=np.float32)
        if not np.isfinite(embedding).all():
            raise DialogueRejected("no_voice", "the speaker encoder finds no voice in it")
        return embedding
