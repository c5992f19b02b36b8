"""Resampling that also works live: frame by frame, with the delay of the filter left in.

A resampling filter looks as far ahead as it looks back. A live listener cannot wait for that, so the output is
`DELAY_S` late, in data sets as in live use. It has the same samples however the signal is cut into pushes. Digital
silence stays digital silence, because soxr gets floats (it adds noise of one step to int16).
"""

import numpy as np
import soxr
from numpy.typing import NDArray

from .pcm import to_float, to_int16

DELAY_S = 0.0125  # soxr's filter reaches 11.96 ms ahead at 8 kHz, the lowest rate of recordings of speech


class Resampler:
    """Brings channels to another rate, push by push.

    Each frame is resampled by itself, with the frame before it as context, so that rounding does not depend on the
    length of a push.
    """

    def __init__(self, channels: int, rate_hz: int, to_hz: int, frame_samples: int) -> None:
        """frame_samples: length of a frame at `rate_hz`, 25 ms or more.

        Raises ValueError if a frame has no whole number of samples at `to_hz`.
        """
        if frame_samples * to_hz % rate_hz:
            frame = f"a frame of {frame_samples} samples at {rate_hz} Hz"
            raise ValueError(f"{frame} is not a whole number of samples at {to_hz} Hz")
        self._rates, self._frame = (rate_hz, to_hz), frame_samples
        self._delay = round(DELAY_S * to_hz)
        self._before = np.zeros((channels, frame_samples), np.float32)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """f32 [channels, frames * frame_samples] as f32 [channels, frames * frame_samples * to_hz / rate_hz].

        Raises ValueError at another number of channels, or at samples that do not fill whole frames.
        """
        channels, count = samples.shape
        if channels != len(self._before) or count % self._frame:
            expected = f"expected [{len(self._before)}, a multiple of {self._frame}]"
            raise ValueError(f"{expected}, got {list(samples.shape)}")
        joined = np.concatenate([self._before, samples], axis=1)
        self._before = joined[:, count:].copy()
        if not samples.size or self._rates[0] == self._rates[1]:
            return samples
        pairs = np.lib.stride_tricks.sliding_window_view(joined, 2 * self._frame, axis=1)[:, :: self._frame]
        windows = pairs.reshape(-1, 2 * self._frame).T  # soxr takes [samples, signals], and each signal by itself
        resampled: NDArray[np.float32] = soxr.resample(np.ascontiguousarray(windows), *self._rates)
        frame = len(resampled) // 2
        return resampled[frame - self._delay : -self._delay].T.reshape(channels, -1)

    def push_int16(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """As `push`, for int16; samples beyond full scale are clipped."""
        return to_int16(self.push(to_float(samples)))


def resampled_int16(samples: NDArray[np.int16], rate_hz: int, to_hz: int, frame_samples: int) -> NDArray[np.int16]:
    """A signal int16 [channels, whole frames], resampled in one push; unchanged if the rates are equal."""
    return samples if rate_hz == to_hz else Resampler(len(samples), rate_hz, to_hz, frame_samples).push_int16(samples)
