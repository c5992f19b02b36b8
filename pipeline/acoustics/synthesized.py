"""Noises that need no recording. Each kind has variants, with a pitch, a colour or a pace of their own.

A variant is to a kind what a recording is to a folder: whether it is held out is decided by its name.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dialogue import Waveform
from ..randomness import generator
from .recordings import Split, split_of

VARIANTS = 40  # of each kind
FLATTEST_HZ = 20.0  # below it, no colour makes a noise louder
PERIOD_BITS = 15  # of the number of samples of a period, from which tones are read: errors are below -55 dB

Sound = NDArray[np.float32]  # [samples]
Make = Callable[[np.random.Generator, int, int, np.random.Generator], Sound]
"""variant's generator, number of samples, sample rate, the clip's generator"""


@dataclass(frozen=True, slots=True)
class Synthesized:
    """A variant of a kind of noise: `recordings.Recording`."""

    kind: str
    variant: int

    @property
    def split(self) -> Split:
        return split_of(f"{self.kind}/{self.variant}")

    @property
    def seconds(self) -> float:
        return math.inf

    def clip(self, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Waveform:
        own = generator(0, f"{self.kind}/{self.variant}", "noise")
        return KINDS[self.kind](own, num_samples, sample_rate, rng)


def _coloured(num_samples: int, sample_rate: int, rng: np.random.Generator, slope: float) -> Sound:
    """Noise whose power falls with the frequency to the power of `slope`: 0 is white, 1 pink, 2 brown.

    Its spectrum is drawn. A sum of so many waves is normally distributed, however their amplitudes are.
    """
    from scipy.fft import irfft, next_fast_len, rfftfreq

    size = next_fast_len(max(2, num_samples), real=True)
    frequencies = np.maximum(rfftfreq(size, 1 / sample_rate), FLATTEST_HZ).astype(np.float32)
    parts = rng.random(2 * len(frequencies), dtype=np.float32) - np.float32(0.5)
    spectrum = parts.view(np.complex64) * frequencies ** np.float32(-slope / 2)
    spectrum[0] = 0
    noise: Sound = irfft(spectrum, size, overwrite_x=True)[:num_samples]
    noise /= max(np.abs(noise).max(initial=0), np.float32(1e-12))
    return noise


def _tones(
    hz: float, amplitudes: NDArray[np.float64], num_samples: int, sample_rate: int, rng: np.random.Generator
) -> Sound:
    """A tone and its harmonics, with phases that are drawn. Those that the sample rate cannot have are left out."""
    from scipy.fft import irfft

    size = 1 << PERIOD_BITS
    phases = rng.uniform(0, 2 * np.pi, len(amplitudes))
    is_heard = np.arange(1, len(amplitudes) + 1) * hz < sample_rate / 2
    spectrum = np.zeros(size // 2 + 1, np.complex64)
    spectrum[1 : len(amplitudes) + 1] = size / 2 * amplitudes * is_heard * np.exp(1j * phases)
    period: Sound = irfft(spectrum, size)
    step = np.uint32(round(hz / sample_rate * 2**32))  # 32 bits are one period, and what is beyond them is lost
    tones: Sound = period[np.arange(num_samples, dtype=np.uint32) * step >> np.uint32(32 - PERIOD_BITS)]
    return tones


def _white(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    return _coloured(num_samples, sample_rate, rng, own.uniform(-0.2, 0.2))


def _pink(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    return _coloured(num_samples, sample_rate, rng, own.uniform(0.8, 1.2))


def _hum(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    hz = own.choice([50.0, 60.0]) + own.uniform(-0.1, 0.1)
    amplitudes = own.uniform(0.2, 1, 24) / np.arange(1, 25) ** own.uniform(0.5, 1.5)
    hiss = np.float32(0.02) * _coloured(num_samples, sample_rate, rng, 1.0)
    return _tones(float(hz), amplitudes, num_samples, sample_rate, rng) + hiss


def _fan(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    blades = _tones(own.uniform(60, 240), own.uniform(0.05, 0.2, 6), num_samples, sample_rate, rng)
    swell = _tones(own.uniform(0.2, 2), own.uniform(0.05, 0.4, 1), num_samples, sample_rate, rng)
    return (1 + swell) * (_coloured(num_samples, sample_rate, rng, own.uniform(1.4, 2.2)) + blades)


def _clicks(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    """As of a keyboard: short bursts that ring, at times that are drawn."""
    per_s, decay_s, hz = own.uniform(1, 8), own.uniform(0.002, 0.012), own.uniform(800, 3000)
    count = 1 + rng.poisson(per_s * num_samples / sample_rate)
    starts, strengths = rng.integers(0, num_samples, count), rng.uniform(0.3, 1, count)
    time = np.arange(max(1, round(8 * decay_s * sample_rate))) / sample_rate
    click = np.exp(-time / decay_s) * (np.cos(2 * np.pi * hz * time) + 0.5 * own.standard_normal(len(time)))
    sound = np.zeros(num_samples, np.float32)
    for start, strength in zip(starts, strengths, strict=True):
        heard = sound[start : start + len(click)]
        heard += strength * click[: len(heard)]
    return sound


KINDS: dict[str, Make] = {"white": _white, "pink": _pink, "hum": _hum, "fan": _fan, "clicks": _clicks}
