"""The embedded speech tokenizer: residual vector quantisation of the log-mel spectrum of 80 ms frames.

A code depends only on the 1280 samples of its own frame. So the codes of a composed track are those of its
frame-aligned pieces, joined. Fitted by `fit_melvq`; see data_cards/speech_tokenizer.md.

Codes must not depend on the batch of a frame, nor on the BLAS that multiplies the matrices. So features are
computed in float64 and rounded to whole numbers, small enough that every sum in the search for the nearest
entry is a whole number below 2^24: exact in float32, in any order of summation.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...recipe.file import Problem
from ..section import Tokens
from . import mel
from .shapes import check_codes, check_pushed_codes, check_samples

WEIGHTS = Path(__file__).parent / "melvq.npz"
SILENT = 0  # the code of digital silence, in every codebook
BLOCK_FRAMES = 64  # of one analysis: always as many, so that matrix shapes stay; few, so that the cache holds them
CONTEXT = (-1, 0, 1)  # frames the decoder looks at
BEFORE_FRAMES = 4  # of the pushes before, decoded again with each push of a stream
FEATURE_UNIT = np.float32(256)  # brings the decoder's numbers into the range of float16


class MelVQ:
    """16 kHz, 12.5 Hz, 8 codebooks of 2048; the first alone keeps timing, level and part of the words."""

    name = "melvq"
    version = "1"
    sample_rate = mel.SAMPLE_RATE
    samples_per_frame = mel.FRAME_SAMPLES
    codebooks = 8
    codebook_size = 2048
    frame_by_frame = True
    decodes = True
    num_gpus = 0.0

    def __init__(self, tokens: Tokens | None = None) -> None:
        self._loaded = False

    def check(self) -> list[Problem]:
        return []

    def load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        with np.load(WEIGHTS, allow_pickle=False) as weights:
            self._projector = Projector(weights["mean"], weights["projection"], float(weights["radius"]))
            self._entries = weights["entries"].astype(np.float32)  # [codebooks, codebook_size, dims]
            self._books = [Codebook(entries) for entries in self._entries]
            self._decoders = weights["decoders"].astype(np.float32)  # [codebooks, contexts, mel.SPECTRA * mel.TONES]

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        return {"name": cls.name, "version": cls.version, "sha256": _sha256()}

    def encode(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, 8, frames] of samples [channels, samples] at 16 kHz.

        Raises ValueError unless the samples are int16 and a whole number of frames of 1280.
        """
        check_samples(samples, self.samples_per_frame)
        self.load()
        frames = samples.reshape(-1, self.samples_per_frame)
        sounding = np.flatnonzero(frames.any(axis=1))
        codes = np.full((len(frames), self.codebooks), SILENT, np.int16)
        block = np.zeros((BLOCK_FRAMES, self.samples_per_frame), np.int16)
        for start in range(0, len(sounding), BLOCK_FRAMES):
            where = sounding[start : start + BLOCK_FRAMES]
            block[: len(where)] = frames[where]
            codes[where] = quantize(self._projector(block)[: len(where)], self._books)
        by_channel = codes.reshape(len(samples), samples.shape[1] // self.samples_per_frame, self.codebooks)
        return np.ascontiguousarray(by_channel.transpose(0, 2, 1))

    def encode_all(self, tracks: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
        """Codes of tracks, one after the other: frames are computed in small blocks in any case."""
        return [self.encode(samples) for samples in tracks]

    def decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveform [frames * 1280] of codes [1 … 8, frames]; silent codes give digital silence.

        Each frame's spectrum is a linear function of its own and its neighbours' entries; the phase is
        Griffin and Lim's. Raises ValueError on codes outside 0 … 2047.
        """
        waveform: NDArray[np.float32] = self.decode_all(codes[np.newaxis])[0]
        return waveform

    def decode_all(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveforms [channels, frames * 1280] of codes [channels, 1 … 8, frames], each as `decode` gives it."""
        waveforms = np.zeros((len(codes), codes.shape[2] * self.samples_per_frame), np.float32)
        for channel in codes:
            check_codes(channel, self.codebooks, self.codebook_size)
        sounding = np.flatnonzero((codes != SILENT).any(axis=(1, 2)))
        if len(sounding):
            self.load()
            waveforms[sounding] = mel.waveforms(np.stack([self._spectra(codes[channel]) for channel in sounding]))
        return waveforms

    def _spectra(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Log power [frames * SPECTRA, TONES] of the codes of one channel."""
        inputs = neighbourhoods(dequantize(codes.T, self._entries), silence=self._entries[0, SILENT])
        spectra: NDArray[np.float32] = inputs @ self._decoders[len(codes) - 1]
        spectra[(codes == SILENT).all(axis=0)] = 0
        return spectra.reshape(-1, mel.TONES)

    def stream(self, channels: int) -> "MelVQStream":
        """Codes are exactly those of `encode`: each depends on its own frame alone."""
        return MelVQStream(self, channels)

    def decoding_stream(self, channels: int) -> "MelVQDecodingStream":
        """Each push is decoded together with a few frames before it, so that the voice goes on without a break.

        Silence and levels are those of `decode`. Phases are not: Griffin and Lim's depend on all that is decoded at
        once. The last frame of a push is not either, as the frame after it is not known yet.
        """
        return MelVQDecodingStream(self, channels)


class MelVQStream:
    """Encodes channels. It remembers nothing: no frame depends on another."""

    def __init__(self, tokenizer: MelVQ, channels: int) -> None:
        self._tokenizer, self._channels = tokenizer, channels

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, 8, frames] of the next samples, int16 [channels, frames * 1280]; see `EncodingStream`."""
        check_samples(samples, self._tokenizer.samples_per_frame, self._channels)
        return self._tokenizer.encode(samples)


class MelVQDecodingStream:
    """Decodes channels, with the last codes of the pushes before; before the first, with silence."""

    def __init__(self, tokenizer: MelVQ, channels: int) -> None:
        self._tokenizer, self._channels = tokenizer, channels
        self._before: NDArray[np.int16] | None = None  # [channels, codebooks, BEFORE_FRAMES]

    def push(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveforms [channels, frames * 1280] of the next codes, [channels, 1 … 8, frames]; see `DecodingStream`."""
        used = None if self._before is None else self._before.shape[1]
        check_pushed_codes(codes, self._channels, used)
        if self._before is None:
            self._before = np.full((*codes.shape[:2], BEFORE_FRAMES), SILENT, np.int16)
        windows = np.concatenate([self._before, codes], axis=2)
        waveforms = self._tokenizer.decode_all(windows)
        self._before = windows[:, :, -BEFORE_FRAMES:]
        return waveforms[:, BEFORE_FRAMES * self._tokenizer.samples_per_frame :]


class Projector:
    """Frames to whole-numbered features: log-mel spectra on their principal axes, scaled and rounded."""

    def __init__(self, mean: NDArray[np.float64], projection: NDArray[np.float64], radius: float) -> None:
        self.mean, self.projection, self.radius = mean, projection, radius

    def __call__(self, frames: NDArray[np.int16]) -> NDArray[np.float32]:
        """Features [n, dims] of frames [n, 1280], with a norm of at most `radius` (larger ones are scaled down)."""
        features = (mel.log_mel(frames) - self.mean) @ self.projection
        norms = np.sqrt((features * features).sum(axis=1))
        features *= np.minimum(1, self.radius / np.maximum(norms, 1))[:, np.newaxis]
        return np.rint(features).astype(np.float32)


class Codebook:
    """Entries [entries, dims], ready to be searched."""

    def __init__(self, entries: NDArray[np.float32]) -> None:
        self.entries = entries
        self._doubled = np.ascontiguousarray((2 * entries).T)
        self._squares = (entries * entries).sum(axis=1)

    def nearest(self, features: NDArray[np.float32]) -> NDArray[np.intp]:
        """Index of the entry nearest to each of `features` [n, dims]; the first of equals."""
        scores = features @ self._doubled
        scores -= self._squares
        best: NDArray[np.intp] = scores.argmax(axis=1)
        return best


def quantize(features: NDArray[np.float32], books: list[Codebook]) -> NDArray[np.int16]:
    """Codes [n, codebooks] of features [n, dims]: each codebook codes what the ones before it left over."""
    residual = features.copy()
    codes = np.empty((len(features), len(books)), np.int16)
    for k, book in enumerate(books):
        codes[:, k] = book.nearest(residual)
        residual -= book.entries[codes[:, k]]
    return codes


def dequantize(codes: NDArray[np.int16], entries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features [n, dims] of codes [n, codebooks used]."""
    features: NDArray[np.float32] = entries[np.arange(codes.shape[1]), codes].sum(axis=1)
    return features


def neighbourhoods(features: NDArray[np.float32], silence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row with those before and after it and a one, [n, 3 * dims + 1]; silence beyond the ends."""
    padded = np.concatenate([silence[np.newaxis], features, silence[np.newaxis]]) / FEATURE_UNIT
    n = len(features)
    return np.hstack([*(padded[1 + offset : 1 + offset + n] for offset in CONTEXT), np.ones((n, 1), np.float32)])


@cache
def _sha256() -> str:
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
