import numpy as np
import pytest

from duplexgen.pipeline.audio.trim import trim
from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.speech.gate.silences import longest_pause_s

RATE_HZ = 24000
STEP_S = 0.032


@pytest.mark.parametrize("pause_s", [0.6, 2.0])
def test_a_pause_is_as_long_as_the_silence_between_two_utterances(spoken: Waveform, pause_s: float) -> None:
    speech = trim(spoken, RATE_HZ)
    quiet = np.zeros(round(pause_s * RATE_HZ), dtype=np.float32)
    found = longest_pause_s(np.concatenate([speech, quiet, speech]), RATE_HZ)
    margins_s = 2 * 0.03  # trimming keeps some silence, the detector comes late and leaves late
    assert found == pytest.approx(pause_s + margins_s, abs=5 * STEP_S)


def test_the_longest_of_two_pauses_counts_wherever_it_stands(spoken: Waveform) -> None:
    speech = trim(spoken, RATE_HZ)
    short, long = (np.zeros(round(seconds * RATE_HZ), dtype=np.float32) for seconds in (0.5, 1.5))
    for pauses in ((short, long), (long, short)):
        found = longest_pause_s(np.concatenate([speech, pauses[0], speech, pauses[1], speech]), RATE_HZ)
        assert 1.4 < found < 1.8


def test_silence_at_the_ends_is_no_pause(spoken: Waveform) -> None:
    quiet = np.zeros(3 * RATE_HZ, dtype=np.float32)
    speech = trim(spoken, RATE_HZ)
    assert longest_pause_s(np.concatenate([quiet, speech, quiet]), RATE_HZ) < 0.4
    assert longest_pause_s(quiet, RATE_HZ) == 0.0
    assert longest_pause_s(quiet[:0], RATE_HZ) == 0.0
