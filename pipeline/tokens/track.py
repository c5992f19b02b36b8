"""Tokenizing tracks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..audio.resampling import resampled_int16
from .protocols import SpeechTokenizer


def tokenize(
    samples: NDArray[np.int16], sample_rate: int, tokenizer: SpeechTokenizer, margin_frames: int
) -> NDArray[np.int16]:
    """Codes [channels, codebooks, frames + margin] of a track [channels, samples] and of silence after it.

    A track at another rate than the tokenizer's is resampled as it is heard live, `audio.resampling.DELAY_S` late.
    """
    return tokenize_all([with_margin(samples, sample_rate, tokenizer, margin_frames)], sample_rate, tokenizer)[0]


def tokenize_all(
    tracks: Sequence[NDArray[np.int16]], sample_rate: int, tokenizer: SpeechTokenizer
) -> list[NDArray[np.int16]]:
    """Codes [channels, codebooks, frames] of tracks [channels, samples], as `tokenize` gives them without a margin."""
    frame = frame_samples(tokenizer, sample_rate)
    at_its_rate = [resampled_int16(samples, sample_rate, tokenizer.sample_rate, frame) for samples in tracks]
    return tokenizer.encode_all(at_its_rate)


def with_margin(
    samples: NDArray[np.int16], sample_rate: int, tokenizer: SpeechTokenizer, margin_frames: int
) -> NDArray[np.int16]:
    """A track [channels, samples] and so many frames of silence."""
    return np.pad(samples, ((0, 0), (0, margin_frames * frame_samples(tokenizer, sample_rate))))


def frame_samples(tokenizer: SpeechTokenizer, sample_rate: int) -> int:
    """Samples that a tokenizer's frame has at the rate of a track."""
    return tokenizer.samples_per_frame * sample_rate // tokenizer.sample_rate
