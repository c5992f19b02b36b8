"""Loudness in decibels, as FLM-Audio counts them (section 3.2.1), and a limiter that counts what it limits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.pcm import to_int16
from ..dialogue import Waveform

SMALLEST = 1e-6  # added to the root mean square, so that silence has a level: -120 dB
LOOK_S = 0.005  # over which the limiter lowers the volume before a peak, and raises it after


def rms(samples: NDArray[np.floating[Any]]) -> float:
    """The root mean square; 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0


def level_db(samples: NDArray[np.floating[Any]]) -> float:
    """20 log10(rms + 1e-6), of samples in [-1, 1]."""
    return 20 * float(np.log10(rms(samples) + SMALLEST))


def rms_at(level: float) -> float:
    """The root mean square of a signal whose `level_db` is `level`; 0 for -120 dB and less."""
    return max(0.0, 10 ** (level / 20) - SMALLEST)


def limited(waveform: NDArray[np.floating[Any]], sample_rate: int) -> tuple[NDArray[np.int16], int]:
    """The waveform [samples] as 16 bit, and how many of its samples were beyond full scale.

    Nothing is clipped: the volume goes down before such a sample and up again after it, within LOOK_S on either side.
    All else stays as it is.
    """
    beyond = np.flatnonzero(np.abs(waveform) > 1)
    if not beyond.size:
        return to_int16(waveform), 0
    waveform = waveform.copy()
    reach = 4 * _half(sample_rate)  # twice as far as the volume changes: what is beyond does not count
    for together in np.split(beyond, np.flatnonzero(np.diff(beyond) > 2 * reach) + 1):
        span = slice(max(0, together[0] - reach), together[-1] + reach + 1)
        waveform[span] *= _volume(waveform[span], sample_rate)
    return to_int16(waveform), beyond.size


def _half(sample_rate: int) -> int:
    return max(1, round(LOOK_S * sample_rate / 2))


def _volume(waveform: NDArray[np.floating[Any]], sample_rate: int) -> Waveform:
    """The smallest gain that is needed within LOOK_S, smoothed over as long: never above what a sample needs."""
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    half = _half(sample_rate)
    needed = 1 / np.maximum(np.abs(waveform.astype(np.float64)), 1)
    least = minimum_filter1d(needed, 2 * half + 1, mode="constant", cval=1.0)
    smooth: Waveform = uniform_filter1d(least, 2 * half + 1, mode="nearest")
    return np.minimum(smooth, needed)  # rounding of the running sum aside, it is never above
