"""Tokenizing a track."""

import numpy as np
import soxr
from numpy.typing import NDArray

from .protocols import SpeechTokenizer


def tokenize(
    samples: NDArray[np.int16], sample_rate: int, tokenizer: SpeechTokenizer, margin_frames: int
) -> NDArray[np.int16]:
    """Codes [channels, codebooks, frames + margin] of a track [channels, samples] and of silence after it.

    A track at another rate than the tokenizer's is resampled.
    """
    frame = tokenizer.samples_per_frame * sample_rate // tokenizer.sample_rate
    padded = np.pad(samples, ((0, 0), (0, margin_frames * frame)))
    if tokenizer.sample_rate != sample_rate:
        padded = soxr.resample(padded.T, sample_rate, tokenizer.sample_rate).T
    return tokenizer.encode(padded)
