"""How long an utterance is silent between two stretches of speech."""

import numpy as np

from ...audio.trim import ENTER, LEAVE, PEAK, speech_probabilities
from ...audio.vad import FRAME_SAMPLES, RATE_HZ
from ...dialogue import Waveform


def longest_pause_s(speech: Waveform, sample_rate: int) -> float:
    """Longest time without a voice within trimmed speech [samples], by Silero VAD, in steps of 32 ms."""
    peak = float(np.abs(speech).max(initial=0.0))
    if peak == 0.0:
        return 0.0
    import soxr

    signal = np.asarray(soxr.resample(speech * (PEAK / peak), sample_rate, RATE_HZ), dtype=np.float32)
    longest = pause = 0
    voiced = spoke = False
    for probability in speech_probabilities(signal, phase=0):
        voiced = probability >= (LEAVE if voiced else ENTER)
        if voiced:
            longest = max(longest, pause if spoke else 0)
            pause, spoke = 0, True
        else:
            pause += 1
    return longest * FRAME_SAMPLES / RATE_HZ
