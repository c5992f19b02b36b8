"""What the tests of exports with audio expect, from the data set itself."""

import io
from typing import Any

import numpy as np
import soundfile
from scipy.signal import resample_poly

Row = dict[str, Any]


def samples_of(row: Row) -> np.ndarray:
    """int16 [2, samples] of a row, the user first."""
    samples: np.ndarray = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")[0]
    return samples.T


def unlike(got: np.ndarray, samples: np.ndarray, up: int, down: int) -> float:
    """How far one channel is from another one resampled: the level of the difference by that of the signal.

    Two good filters differ in the last part of the band: by about 0.01 for speech at 16 kHz.
    """
    wanted = resample_poly(samples / 32768, up, down)
    assert got.shape == wanted.shape
    return float(np.sqrt(np.mean((got - wanted) ** 2) / np.mean(wanted**2)))
