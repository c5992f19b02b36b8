"""A telephone line: 8 kHz, the band from 300 to 3,400 Hz, and G.711 with µ-law."""

import io
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..audio.pcm import to_float
from ..dialogue import Timeline, Track, Waveform
from ..recipe.sections import Share
from .effect import Effect, EffectSection
from .levels import limited

RATE_HZ = 8000
BAND_HZ = (300, 3400)
BLOCK = 1024  # samples of the line that are filtered together
TAPS = 129  # of the filter, as many before a sample as after it: what is said stays where it was in time


class TelephoneSection(EffectSection):
    effect: Literal["telephone"] = "telephone"
    probability: Share = 1.0  # of a dialogue


class Telephone(Effect):
    """Values, in a dialogue over the telephone: `lowest_hz`, `highest_hz`, and `limited_samples` if there are any."""

    name: ClassVar[str] = "telephone"
    Spec: ClassVar[type[EffectSection]] = TelephoneSection

    def __init__(self, spec: EffectSection) -> None:
        assert isinstance(spec, TelephoneSection)
        self.spec = spec

    def fingerprint(self) -> Mapping[str, Any]:
        return {"scipy": version("scipy")}

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        if rng.random() >= self.spec.probability:
            return track, {}
        user, rate = to_float(track.samples[0]), track.sample_rate
        line, before = limited(_band(_resampled(user, rate, RATE_HZ)), RATE_HZ)
        back = _resampled(to_float(mu_law(line)), RATE_HZ, rate)
        samples = track.samples.copy()
        heard, after = limited(back[: len(user)], rate)
        samples[0] = 0
        samples[0, : len(heard)] = heard
        values = {"lowest_hz": float(BAND_HZ[0]), "highest_hz": float(BAND_HZ[1])}
        count = before + after
        return Track(samples, rate), values | ({"limited_samples": float(count)} if count else {})


def mu_law(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """The samples as G.711 with µ-law carries them, with 8 bits each."""
    return _levels()[samples.view(np.uint16)]


@cache
def _levels() -> NDArray[np.int16]:
    """What is heard of each 16 bit sample, by its bits."""
    import soundfile

    line = {"format": "RAW", "subtype": "ULAW"}
    buffer = io.BytesIO()
    soundfile.write(buffer, np.arange(1 << 16).astype(np.uint16).view(np.int16), RATE_HZ, **line)
    buffer.seek(0)
    heard: NDArray[np.int16] = soundfile.read(buffer, dtype="int16", samplerate=RATE_HZ, channels=1, **line)[0]
    return heard


def _band(waveform: Waveform) -> Waveform:
    """Block by block, each with the samples before and after it that the filter needs."""
    from scipy.fft import irfft, rfft

    step = BLOCK - TAPS + 1
    count = max(1, -(-len(waveform) // step))
    padded = np.zeros(count * step + TAPS - 1, np.float32)
    padded[TAPS // 2 : TAPS // 2 + len(waveform)] = waveform
    blocks = np.lib.stride_tricks.sliding_window_view(padded, BLOCK)[::step]
    filtered: Waveform = irfft(rfft(blocks) * _spectrum(), BLOCK)[:, TAPS - 1 :].ravel()[: len(waveform)]
    return filtered


@cache
def _spectrum() -> NDArray[np.complex64]:
    """Of the filter, in a block."""
    from scipy.fft import rfft
    from scipy.signal import firwin

    spectrum: NDArray[np.complex64] = rfft(firwin(TAPS, BAND_HZ, pass_zero=False, fs=RATE_HZ).astype(np.float32), BLOCK)
    return spectrum


def _resampled(waveform: Waveform, from_hz: int, to_hz: int) -> Waveform:
    import soxr

    resampled: Waveform = soxr.resample(waveform, from_hz, to_hz)
    return resampled
