"""Tokenizing a track."""

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
    frame = frame_samples(tokenizer, sample_rate)
    padded = np.pad(samples, ((0, 0), (0, margin_frames * frame)))
    return tokenizer.encode(resampled_int16(padded, sample_rate, tokenizer.sample_rate, frame))


def frame_samples(tokenizer: SpeechTokenizer, sample_rate: int) -> int:
    """Samples that a tokenizer's frame has at the rate of a track."""
    return tokenizer.samples_per_frame * sample_rate // tokenizer.sample_rate
