"""Tokenizing a composed track."""

import numpy as np
from numpy.typing import NDArray

from ..audio.resampling import resampled_int16
from ..dialogue import Codes
from .protocols import SpeechTokenizer


def tokenize(samples: NDArray[np.int16], sample_rate: int, tokenizer: SpeechTokenizer, block_samples: int) -> Codes:
    """Codes [channels, codebooks, frames + block] of a track [channels, samples] and a block of silence after it.

    The block is what the shifted channels of a layout still have to say when the track ends. A track at another rate
    than the tokenizer's is resampled as it would be heard live, `audio.resampling.DELAY_S` late.
    """
    padded = np.pad(samples, ((0, 0), (0, block_samples)))
    frame = frame_samples(tokenizer, sample_rate)
    return tokenizer.encode(resampled_int16(padded, sample_rate, tokenizer.sample_rate, frame))


def frame_samples(tokenizer: SpeechTokenizer, sample_rate: int) -> int:
    """Samples that a tokenizer's frame has at the rate of a track."""
    return tokenizer.samples_per_frame * sample_rate // tokenizer.sample_rate
