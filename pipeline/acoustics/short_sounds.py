"""Short sounds of a room that need no recording: a door, a knock, a cough, a keyboard, hands, dishes.

Each kind has variants: a door of its own size, a throat of its own width. A variant is to a kind what a recording is to
a folder: its name decides whether it is held out. No sound of a variant is like another one: its strokes and its noise
are drawn each time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..dialogue import Waveform
from ..randomness import generator
from .recordings import Split, split_of

VARIANTS = 40  # of each kind
ATTACK_S = 0.001  # in which a sound starts
RELEASE_S = 0.01  # in which it ends, so that no end is a click
DECAYS = 12  # times the decay of a stroke, after which nothing of it is heard: -104 dB

Sound = NDArray[np.float64]  # [samples]
Make = Callable[[np.random.Generator, int, int, np.random.Generator], Sound]
"""variant's generator, number of samples, sample rate, the sound's generator"""


@dataclass(frozen=True)
class ShortSound:
    """A variant of a kind: `recordings.Recording`."""

    kind: str
    variant: int

    @property
    def split(self) -> Split:
        return split_of(f"bursts/{self.kind}/{self.variant}")

    @cached_property
    def seconds(self) -> float:
        return float(self._own("length").uniform(*LENGTHS_S[self.kind]))

    def clip(self, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """The whole sound, in `num_samples`: a shorter one has fewer strokes, or ends sooner."""
        sound = KINDS[self.kind](self._own("sound"), num_samples, sample_rate, rng)
        return (sound * _edges(num_samples, sample_rate)).astype(np.float32)

    def _own(self, purpose: str) -> np.random.Generator:
        return generator(0, f"bursts/{self.kind}/{self.variant}", purpose)


def _edges(num_samples: int, sample_rate: int) -> Sound:
    """A gain that rises from 0 at the start and falls to 0 at the end."""
    left = np.arange(num_samples) / (ATTACK_S * sample_rate)
    right = np.arange(num_samples, 0, -1) / (RELEASE_S * sample_rate)
    gain: Sound = np.minimum(1.0, np.minimum(left, right))
    return gain


def _ring(hz: Sequence[float], decay_s: float, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    """What is heard of a thing that is struck: damped tones, the higher the shorter, with amplitudes that are drawn.

    Tones that the sample rate cannot have are left out.
    """
    sound = np.zeros(num_samples)
    for tone, amplitude in zip(hz, rng.uniform(0.5, 1, len(hz)), strict=True):
        if tone < sample_rate / 2:
            decay = (tone / hz[0]) ** 0.5 / decay_s
            sound += amplitude * _powers((2j * np.pi * tone - decay) / sample_rate, num_samples).imag
    return sound


def _powers(exponent: complex, count: int) -> NDArray[np.complex128]:
    """exp(exponent * n) for n = 0 … count - 1, of which only about 2 √count are computed as such."""
    side = int(np.ceil(np.sqrt(count)))
    small = np.exp(exponent * np.arange(side))
    return np.outer(np.exp(exponent * side * np.arange(side)), small).ravel()[:count]


def _band(low_hz: float, high_hz: float, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    """Noise in a band whose edges fall by 12 dB per octave; its root mean square is 1."""
    from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

    size = next_fast_len(max(2, num_samples), real=True)
    spectrum = rfft(rng.standard_normal(size))
    frequencies = np.maximum(rfftfreq(size, 1 / sample_rate), 1.0)
    spectrum *= np.minimum(1, (frequencies / low_hz) ** 2) * np.minimum(1, (high_hz / frequencies) ** 2)
    noise: Sound = irfft(spectrum, size)[:num_samples]
    return noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12)


def _length(decay_s: float, num_samples: int, sample_rate: int) -> int:
    """Samples of a stroke that are heard, in a sound of `num_samples`."""
    return min(num_samples, round(DECAYS * decay_s * sample_rate))


def _decay(seconds: float, num_samples: int, sample_rate: int) -> Sound:
    decay: Sound = np.exp(-np.arange(num_samples) / (seconds * sample_rate))
    return decay


def _added(sound: Sound, stroke: Sound, start: int) -> None:
    """Add a stroke to a sound, from a sample on, as far as the sound goes."""
    part = stroke[: max(0, len(sound) - start)]
    sound[start : start + len(part)] += part


def _door(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    """A low thump, and the latch a moment after it."""
    lowest, decay_s = own.uniform(45, 110), own.uniform(0.04, 0.12)
    tones = lowest * np.array([1, *np.sort(own.uniform(1.3, 4.5, 3))])
    latch_hz, latch_s = own.uniform(900, 2500), own.uniform(0.01, 0.06)
    sound = _ring([*tones], decay_s, num_samples, sample_rate, rng)
    impact = _band(60, own.uniform(250, 700), num_samples, sample_rate, rng)
    sound += 0.4 * impact * _decay(0.3 * decay_s, num_samples, sample_rate)
    latch = _ring([latch_hz, 1.6 * latch_hz], 0.004, num_samples, sample_rate, rng)
    _added(sound, rng.uniform(0.05, 0.3) * latch, round(latch_s * rng.uniform(0.8, 1.2) * sample_rate))
    return sound


def _knock(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    """Two or three knocks on wood. They are evenly far apart, more or less."""
    tones = own.uniform(180, 420) * np.array([1, *np.sort(own.uniform(1.4, 5, 3))])
    decay_s = own.uniform(0.01, 0.03)
    sound, count = np.zeros(num_samples), int(rng.integers(2, 3, endpoint=True))
    length = _length(decay_s, num_samples, sample_rate)
    for number in range(count):
        knock = _ring([*tones], decay_s, length, sample_rate, rng)
        knock += 0.2 * _band(300, 3000, length, sample_rate, rng) * _decay(0.004, length, sample_rate)
        place = number / count + (rng.uniform(-0.03, 0.03) if number else 0)
        _added(sound, rng.uniform(0.6, 1) * knock, round(place * num_samples))
    return sound


def _cough(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    """Air that bursts out, and is pressed out after it, through a throat with three resonances."""
    centres = own.uniform(450, 800), own.uniform(1100, 1900), own.uniform(2300, 3400)
    burst_s = own.uniform(0.03, 0.06)
    time = np.arange(num_samples) / sample_rate
    swell = np.sin(np.pi * np.clip(time * sample_rate / num_samples, 0, 1)) ** 2
    envelope = np.exp(-time / (burst_s * rng.uniform(0.8, 1.2))) + rng.uniform(0.2, 0.5) * swell
    sound = 0.2 * _band(300, 5000, num_samples, sample_rate, rng)
    for centre, strength in zip(centres, (1.0, 0.7, 0.4), strict=True):
        sound += strength * rng.uniform(0.7, 1) * _band(0.85 * centre, 1.15 * centre, num_samples, sample_rate, rng)
    return sound * envelope


def _keyboard(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    """A run of keys: each clicks when it is down, and more softly when it is up again."""
    pace_s, hz, decay_s = own.uniform(0.08, 0.16), own.uniform(1500, 3500), own.uniform(0.002, 0.006)
    sound, start_s = np.zeros(num_samples), 0.0
    length = _length(decay_s, num_samples, sample_rate)
    while start_s < num_samples / sample_rate:
        for after_s, amplitude in ((0.0, rng.uniform(0.6, 1)), (rng.uniform(0.04, 0.07), rng.uniform(0.2, 0.5))):
            tones = hz * rng.uniform(0.9, 1.1) * np.array([1, 1.7, 2.3])
            click = _ring([*tones], decay_s, length, sample_rate, rng)
            click += 0.3 * _band(1000, 6000, length, sample_rate, rng) * _decay(decay_s, length, sample_rate)
            _added(sound, amplitude * click, round((start_s + after_s) * sample_rate))
        start_s += pace_s * rng.uniform(0.7, 1.4)
    return sound


def _clap(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    """Hands that meet: a few bursts within some milliseconds, and what the room gives back."""
    low_hz = own.uniform(500, 1100)
    high_hz, decay_s, tail_s = low_hz * own.uniform(2, 4), own.uniform(0.004, 0.012), own.uniform(0.02, 0.05)
    sound = np.zeros(num_samples)
    for start_s in (0.0, *np.sort(rng.uniform(0.001, 0.01, int(rng.integers(1, 4))))):
        burst = _band(low_hz, high_hz, num_samples, sample_rate, rng) * _decay(decay_s, num_samples, sample_rate)
        _added(sound, rng.uniform(0.5, 1) * burst, round(start_s * sample_rate))
    tail = _band(low_hz, high_hz, num_samples, sample_rate, rng) * _decay(tail_s, num_samples, sample_rate)
    return sound + 0.15 * tail


def _clatter(own: np.random.Generator, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Sound:
    """Dishes that hit each other, sooner and more softly each time, as what falls comes to rest."""
    tones = own.uniform(900, 2200) * np.array([1, *np.sort(own.uniform(1.2, 4, 5))])
    decay_s, bounce = own.uniform(0.02, 0.06), own.uniform(0.6, 0.85)
    sound, length = np.zeros(num_samples), _length(decay_s, num_samples, sample_rate)
    start_s, gap_s, amplitude = 0.0, rng.uniform(0.1, 0.2), 1.0
    while start_s < num_samples / sample_rate and gap_s > 0.01:
        hit = _ring([*(tones * rng.uniform(0.97, 1.03))], decay_s, length, sample_rate, rng)
        _added(sound, amplitude * hit, round(start_s * sample_rate))
        start_s, gap_s, amplitude = start_s + gap_s, gap_s * bounce, amplitude * rng.uniform(0.7, 0.95)
    return sound


KINDS: dict[str, Make] = {
    "door": _door,
    "knock": _knock,
    "cough": _cough,
    "keyboard": _keyboard,
    "clap": _clap,
    "clatter": _clatter,
}
LENGTHS_S = {
    "door": (0.2, 0.6),
    "knock": (0.3, 0.7),
    "cough": (0.2, 0.5),
    "keyboard": (0.2, 0.8),
    "clap": (0.05, 0.2),
    "clatter": (0.3, 0.8),
}
"""Between which a variant's length is drawn, s."""
