"""Mel spectra: of single frames, cut off from their neighbours, to encode; of whole signals, to decode."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...audio import pcm

SAMPLE_RATE = 16_000
FRAME_SAMPLES = 1280

# to encode: windows that stay inside the frame
WINDOW = 320
HOP = 120
BANDS = 48
FEATURES = ((FRAME_SAMPLES - WINDOW) // HOP + 1) * BANDS

# to decode: spectra of the whole signal, 8 per frame, the first centred at sample 80
SPECTRUM_WINDOW = 400
SPECTRUM_HOP = 160
SPECTRA = FRAME_SAMPLES // SPECTRUM_HOP
N_FFT = 512
TONES = 80
ITERATIONS = 32

FLOOR_POWER = 1e-7  # of a band; about 60 dB below loud speech at -23 LUFS: anything quieter counts as silence


def log_mel(frames: NDArray[np.int16]) -> NDArray[np.float64]:
    """Log power over the floor, >= 0, [n, FEATURES], of frames [n, FRAME_SAMPLES]. Digital silence gives zeros."""
    windows = np.lib.stride_tricks.sliding_window_view(frames, WINDOW, axis=1)[:, ::HOP]
    spectrum = np.fft.rfft(windows * _hann(), axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    bands = power.reshape(-1, power.shape[-1]) @ triangles(WINDOW // 2 + 1, BANDS)
    features: NDArray[np.float64] = np.log1p(bands).reshape(len(frames), FEATURES)
    return features


def spectra(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Log power over the floor, [frames * SPECTRA, TONES], of one signal [samples]."""
    import librosa

    signal = pcm.to_float(np.append(samples, np.zeros(SPECTRUM_HOP, np.int16)))
    spectrum = librosa.stft(
        signal[SPECTRUM_HOP // 2 :], n_fft=N_FFT, hop_length=SPECTRUM_HOP, win_length=SPECTRUM_WINDOW
    )
    power = np.abs(spectrum.T[: len(samples) // SPECTRUM_HOP]) ** 2
    bands = power @ triangles(N_FFT // 2 + 1, TONES) / _unit_power()
    logs: NDArray[np.float32] = np.log1p(bands).astype(np.float32)
    return logs


def waveforms(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    """Waveforms [signals, n * SPECTRUM_HOP] with spectra near to the given [signals, n, TONES] (Griffin and Lim 1984).

    What is below the floor becomes digital silence. Nothing is drawn at random, and no signal depends on another.
    """
    import librosa

    length = spectra.shape[1] * SPECTRUM_HOP
    bands = np.where(spectra > np.log(2), np.expm1(spectra), 0) * _unit_power()
    filters = triangles(N_FFT // 2 + 1, TONES)
    spread = (filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-12)).T
    power = np.stack([of_signal @ spread for of_signal in bands])  # each alone: sums depend on the shape of a product
    magnitudes = np.pad(np.sqrt(power), ((0, 0), (0, 1), (0, 0))).transpose(0, 2, 1).astype(np.float32)
    signals = librosa.griffinlim(
        magnitudes, n_iter=ITERATIONS, hop_length=SPECTRUM_HOP, win_length=SPECTRUM_WINDOW, n_fft=N_FFT,
        window=librosa.filters.get_window("hann", SPECTRUM_WINDOW), init=None, length=length,
    )  # fmt: skip
    half = SPECTRUM_HOP // 2
    delayed: NDArray[np.float32] = np.pad(signals[:, :-half], ((0, 0), (half, 0))).astype(np.float32)
    return delayed


def _unit_power() -> float:
    """Power that a bin of `spectra` has at the floor."""
    energy = 3 / 8 * SPECTRUM_WINDOW  # of a Hann window
    return FLOOR_POWER * energy * SPECTRUM_WINDOW


@cache
def _hann() -> NDArray[np.float64]:
    """Window that brings int16 samples to the power of their floor."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    scaled: NDArray[np.float64] = hann / np.sqrt((hann**2).sum() * WINDOW * FLOOR_POWER) / pcm.FULL_SCALE
    return scaled


@cache
def triangles(bins: int, bands: int) -> NDArray[np.float64]:
    """Triangular filters of unit sum, evenly spaced on the mel scale from 60 to 7600 Hz, [bins, bands]."""
    hz = np.linspace(0, SAMPLE_RATE / 2, bins)
    low_mel, high_mel = 2595 * np.log10(1 + np.array([60.0, 7600.0]) / 700)
    edges = 700 * (10 ** (np.linspace(low_mel, high_mel, bands + 2) / 2595) - 1)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (hz[:, np.newaxis] - low) / (centre - low)
    falling = (high - hz[:, np.newaxis]) / (high - centre)
    filters = np.maximum(0, np.minimum(rising, falling))
    # the lowest bands are narrower than a bin and may miss every one: they take the nearest bin
    missed = np.flatnonzero(filters.sum(axis=0) < 0.5)
    filters[np.abs(hz[:, np.newaxis] - centre[missed]).argmin(axis=0), missed] = 1
    filters /= filters.sum(axis=0)
    return filters
