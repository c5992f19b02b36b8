"""Tokenizing a composed track."""

import numpy as np
import soxr
from numpy.typing import NDArray

from ..dialogue import Codes
from .protocols import SpeechTokenizer


def tokenize(samples: NDArray[np.int16], sample_rate: int, tokenizer: SpeechTokenizer, block_samples: int) -> Codes:
    """Codes [channels, codebooks, frames + block] of a track [channels, samples] and a block of silence after it.

    The block is what the shifted channels of a layout still have to say when the track ends. A track at another rate
    than the tokenizer's is resampled.
    """
    padded = np.pad(samples, ((0, 0), (0, block_samples)))
    if tokenizer.sample_rate != sample_rate:
        padded = soxr.resample(padded.T, sample_rate, tokenizer.sample_rate).T
    return tokenizer.encode(padded)
