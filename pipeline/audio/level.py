"""Brings utterances to a common loudness."""

from functools import cache
from typing import Any

import numpy as np

from ..dialogue import Waveform

BLOCK_S = 0.4  # BS.1770 measures blocks of this length
PEAK = 10 ** (-1 / 20)  # -1 dBFS: a gain never lifts a sample above it


def loudness_lufs(waveform: Waveform, sample_rate: int) -> float:
    """Integrated loudness by ITU-R BS.1770-4; -inf for silence.

    An utterance shorter than one block is repeated before it is measured, because padding would make it seem quieter
    than it is.
    """
    shortest = round(BLOCK_S * sample_rate) + 1
    if 0 < len(waveform) < shortest:
        waveform = np.tile(waveform, -(-shortest // len(waveform)))
    return float(_meter(sample_rate).integrated_loudness(waveform)) if len(waveform) else -np.inf


def level(waveform: Waveform, sample_rate: int, target_lufs: float) -> Waveform:
    """The waveform, f32 [samples] and not silent, at `target_lufs`, or as near as a peak of -1 dBFS allows.

    Nothing is limited or clipped.
    """
    gain = 10 ** ((target_lufs - loudness_lufs(waveform, sample_rate)) / 20)
    peak = float(np.abs(waveform).max())
    return (waveform * min(gain, PEAK / peak)).astype(np.float32)


@cache
def _meter(sample_rate: int) -> Any:
    import pyloudnorm

    return pyloudnorm.Meter(sample_rate, block_size=BLOCK_S)
