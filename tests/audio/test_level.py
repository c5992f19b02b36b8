import numpy as np
import pyloudnorm
import pytest

from duplexgen.pipeline.audio.level import level, loudness_lufs
from duplexgen.pipeline.dialogue import Waveform

RATE = 24000


def tone(seconds: float, amplitude: float) -> Waveform:
    return (amplitude * np.sin(2 * np.pi * 997 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def test_full_scale_tone_has_the_loudness_the_standard_gives_it() -> None:
    # ITU-R BS.1770-4: 997 Hz at full scale in one channel reads -3.01; meters are allowed 0.1 (EBU Tech 3341).
    assert loudness_lufs(tone(2.0, 1.0), RATE) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.39, 0.4, 1.0])
def test_short_utterances_are_measured_like_long_ones(seconds: float) -> None:
    assert loudness_lufs(tone(seconds, 0.1), RATE) == pytest.approx(-23.01, abs=0.1)


@pytest.mark.parametrize("target", [-30.0, -23.0])
def test_speech_comes_to_the_target(spoken: Waveform, target: float) -> None:
    levelled = level(spoken, RATE, target)
    assert pyloudnorm.Meter(RATE).integrated_loudness(levelled) == pytest.approx(target, abs=0.01)
    assert levelled.dtype == np.float32


def test_a_peak_is_never_lifted_above_minus_one_dbfs(spoken: Waveform) -> None:
    levelled = level(spoken, RATE, -12.0)
    assert np.abs(levelled).max() == pytest.approx(10 ** (-1 / 20), rel=1e-5)
    assert -23.0 < loudness_lufs(levelled, RATE) < -12.0
