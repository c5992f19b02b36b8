"""Measures of any speech, synthetic or not: quality, voice, words.

Each measure is a class that loads its model when it is made. It gives the same figure for the same samples in any order
of work. It imports its packages only when it is made.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np

from ..dialogue import Waveform
from ..errors import UserError

MEASURE_HZ = 16000  # the rate that all of them need
INSTALL = "pip install 'duplexgen[voices]' && pip install --no-deps Resemblyzer==0.1.4"


def needed(package: str) -> Any:
    """Import a package of the extra `voices`. Raises UserError that says how to install it."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise UserError(
            f"measuring speech needs the package `{error.name}`, which is not installed: {INSTALL}"
        ) from error


def versions(*packages: str) -> dict[str, str]:
    """Versions of distributions that are installed, for a fingerprint. Raises UserError as `needed` does."""
    numbers = {}
    for package in packages:
        try:
            numbers[package] = version(package)
        except ModuleNotFoundError as error:  # importlib.metadata.PackageNotFoundError is one
            raise UserError(
                f"measuring speech needs the package `{package}`, which is not installed: {INSTALL}"
            ) from error
    return numbers


def at_measure_rate(samples: Waveform, rate: int) -> Waveform:
    """One channel [samples] at 16 kHz, within [-1, 1]; NaN counts as 0."""
    import soxr

    signal = np.nan_to_num(np.asarray(samples, dtype=np.float32))
    if rate != MEASURE_HZ:
        signal = np.asarray(soxr.resample(signal, rate, MEASURE_HZ), dtype=np.float32)
    return np.clip(signal, -1.0, 1.0)
