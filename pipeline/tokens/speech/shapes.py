"""Checks of the arrays that speech tokenizers and their streams get."""

import numpy as np
from numpy.typing import NDArray


def check_samples(samples: NDArray[np.int16], samples_per_frame: int, channels: int | None = None) -> None:
    """Raise ValueError unless samples are int16 [channels, whole frames]; channels: of a stream; None: any number."""
    if samples.dtype != np.int16 or samples.ndim != 2:
        raise ValueError(f"expected int16 [channels, samples], got {samples.dtype} {list(samples.shape)}")
    if channels is not None and len(samples) != channels:
        raise ValueError(f"expected {channels} channels, got {len(samples)}")
    if samples.shape[1] % samples_per_frame:
        raise ValueError(f"{samples.shape[1]} samples are not a whole number of frames of {samples_per_frame}")


def check_codes(codes: NDArray[np.int16], codebooks: int, codebook_size: int) -> None:
    """Raise ValueError unless codes are [1 … codebooks, frames], each 0 … codebook_size - 1."""
    if codes.ndim != 2 or not 1 <= len(codes) <= codebooks:
        raise ValueError(f"expected codes [1 … {codebooks}, frames], got {list(codes.shape)}")
    if ((codes < 0) | (codes >= codebook_size)).any():
        raise ValueError(f"expected codes 0 … {codebook_size - 1}, got {codes.min()} … {codes.max()}")


def check_pushed_codes(codes: NDArray[np.int16], channels: int, used: int | None) -> None:
    """Raise ValueError unless codes are [channels, codebooks, frames]; used: codebooks of earlier pushes; None: any."""
    if codes.ndim != 3 or len(codes) != channels or (used is not None and codes.shape[1] != used):
        expected = f"[{channels}, {'codebooks' if used is None else used}, frames]"
        raise ValueError(f"expected codes {expected}, got {list(codes.shape)}")
