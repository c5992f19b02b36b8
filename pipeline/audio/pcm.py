"""Samples as 16 bit integers and as floats. Only this module has the factor between the two.

    int16 ── to_float ──▶ f32 in [-1, 1) ── to_int16 ──▶ the same int16

`flac.encode` rounds floats as `to_int16` does, and `flac.decode` reads them as `to_float` does.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FULL_SCALE = 32768  # of int16: -FULL_SCALE … FULL_SCALE - 1
LARGEST = FULL_SCALE - 1


def to_float(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """16 bit samples of any shape as f32 in [-1, 1); exact."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def to_int16(waveform: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """Round a waveform of any shape to 16 bit; louder samples are clipped. It undoes `to_float` exactly."""
    scaled = waveform * FULL_SCALE
    np.rint(scaled, out=scaled)
    np.clip(scaled, -FULL_SCALE, LARGEST, out=scaled)
    return scaled.astype(np.int16)
