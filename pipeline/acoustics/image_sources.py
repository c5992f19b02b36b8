"""The impulse response of a room with flat walls, by its image sources (Allen and Berkley, 1979).

A wall is a mirror: what it reflects comes from an image of the source behind it, and so do reflections of reflections.
In a room with right angles, images are a lattice. Each is heard at the time that its distance takes, as loud as its
distance and the walls on its way leave it.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr
from numpy.typing import NDArray

from ..dialogue import Waveform

SPEED = 343.0  # of sound, m/s
LONGEST = 1.25  # times Sabine's T60, after which images are left out: less than -40 dB of the energy, mostly far less
FINER = 8  # images are placed to an eighth of a sample, which is 3 mm at 16 kHz
LEAD = 64  # samples before the sound leaves its source, into which the filter that resamples rings
LOWEST_HZ = 10.0  # below it, all images add up to what no microphone gives
INAUDIBLE_DB = -60.0  # of the energy: where no more than this is left, the response ends
TOGETHER = 8  # images along one axis, whose arrays fit into a cache
DECAY_DB = (-5.0, -25.0)  # of the energy, between which the reverberation time is measured

Point = tuple[float, float, float]
Sound = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Place:
    """A room, and where in it the user and the microphone are. Metres; [length, width, height]."""

    size: Point
    user: Point
    microphone: Point

    @property
    def distance_m(self) -> float:
        """From the user to the microphone."""
        return float(np.linalg.norm(np.subtract(self.user, self.microphone)))


@dataclass(frozen=True, slots=True)
class Response:
    """What the microphone hears of an impulse, with energy 1."""

    samples: Waveform
    direct: int  # the sample of the direct sound
    t60_s: float  # measured


def impulse_response(place: Place, t60_s: float, sample_rate: int) -> Response:
    """The walls' absorption is Sabine's for `t60_s`; the time that is measured from the decay differs a little."""
    from scipy.signal import sosfilt

    impulses = _impulses(place, t60_s, FINER * sample_rate)
    heard = soxr.resample(np.pad(impulses, (FINER * LEAD, 0)), FINER * sample_rate, sample_rate)
    heard = sosfilt(_highpass(sample_rate), heard)
    left = np.cumsum(heard[::-1] ** 2)[::-1]  # Schroeder's integral
    heard = heard[: np.count_nonzero(left > left[0] * 10 ** (INAUDIBLE_DB / 10))]
    direct = LEAD + round(place.distance_m / SPEED * sample_rate)
    return Response((heard / np.sqrt(left[0])).astype(np.float32), direct, _t60_s(left, sample_rate))


@cache
def _highpass(sample_rate: int) -> NDArray[np.float64]:
    from scipy.signal import butter

    sections: NDArray[np.float64] = butter(2, LOWEST_HZ, "highpass", fs=sample_rate, output="sos")
    return sections


def _impulses(place: Place, t60_s: float, rate: int) -> NDArray[np.float64]:
    """What comes from all images, at so many samples a second."""
    volume = float(np.prod(place.size))
    surface = 2 * sum(volume / side for side in place.size)
    absorption = 24 * np.log(10) * volume / (SPEED * surface * t60_s)
    longest_m, reflected = LONGEST * t60_s * SPEED, float(np.sqrt(1 - absorption))
    (x, left_x), (y, left_y), (z, left_z) = (
        _images(*axis, longest_m, reflected) for axis in zip(place.size, place.user, place.microphone, strict=True)
    )
    yz, left_yz = np.add.outer(y, z).ravel(), np.multiply.outer(left_y, left_z).ravel()
    order = np.argsort(yz, kind="stable")
    yz, left_yz = yz[order], left_yz[order]
    impulses = np.zeros(round(longest_m / SPEED * rate))
    for first in range(0, len(x), TOGETHER):
        some = slice(first, first + TOGETHER)
        near = int(np.searchsorted(yz, longest_m**2 - x[first]))  # and of the others some that are too far
        distances = np.sqrt(np.add.outer(x[some], yz[:near])).ravel()
        amplitudes = np.multiply.outer(left_x[some], left_yz[:near]).ravel() / distances
        heard = np.bincount((distances * np.float32(rate / SPEED)).astype(np.int64), amplitudes)[: len(impulses)]
        impulses[: len(heard)] += heard
    return impulses


def _images(size: float, user: float, microphone: float, longest_m: float, reflected: float) -> tuple[Sound, Sound]:
    """Along one axis, nearest first: squares of how far images are from the microphone, and what walls leave of them.

    reflected: by a wall.
    """
    number = np.arange(-int(longest_m / (2 * size)) - 1, int(longest_m / (2 * size)) + 2)
    squares = np.square(np.concatenate([2 * number * size + user, 2 * number * size - user]) - microphone)
    left = reflected ** np.concatenate([np.abs(2 * number), np.abs(2 * number - 1)])
    order = np.argsort(squares, kind="stable")[: np.count_nonzero(squares <= longest_m**2)]
    return squares[order].astype(np.float32), left[order].astype(np.float32)


def _t60_s(left: NDArray[np.float64], sample_rate: int) -> float:
    """The reverberation time, from the energy that is left at each sample."""
    level = 10 * np.log10(left / left[0])
    first, last = (np.count_nonzero(level > edge) for edge in DECAY_DB)
    samples = np.arange(first, last) - (first + last - 1) / 2
    slope = np.sum(samples * level[first:last]) / np.sum(samples**2)
    return float(-60 / slope / sample_rate)


def reverberated(waveform: Waveform, response: Response) -> Waveform:
    """The waveform as the microphone hears it, as long as it was, without the delay of the direct sound.

    It is computed in blocks, of which those that are silent cost nothing.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(3 * len(response.samples), real=True)
    step = size - len(response.samples) + 1
    spectrum = rfft(response.samples, size)
    heard = np.zeros(len(waveform) + size + response.direct, np.float32)
    for start in range(0, len(waveform), step):
        block = waveform[start : start + step]
        if block.any():
            heard[start : start + size] += irfft(rfft(block, size) * spectrum, size)
    return heard[response.direct : response.direct + len(waveform)]
