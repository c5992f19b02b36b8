import numpy as np
import pytest

from duplexgen.pipeline.speech.guard import BadSpeechError, bounds_s, check_duration, check_raw


@pytest.mark.parametrize(
    ("waveform", "named"),
    [
        (np.zeros(0), "no samples"),
        (np.zeros((2, 100)), "shape"),
        (np.zeros(24000), "silence"),
        (np.array([0.1, np.nan]), "not numbers"),
        (np.array([0.1, np.inf]), "not numbers"),
    ],
)
def test_what_is_no_speech_is_refused(waveform: np.ndarray, named: str) -> None:
    with pytest.raises(BadSpeechError, match=named):
        check_raw(waveform.astype(np.float32))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("Yes.", 0.76), ("USA.", 1.02), ("W W W W W W", 3.61), ("Which of these two books would you give?", 2.0)],
)
def test_durations_of_real_speech_pass(text: str, seconds: float) -> None:
    check_duration(np.zeros(round(seconds * 24000), np.float32), 24000, text, "en")


@pytest.mark.parametrize("seconds", [0.0, 0.5, 7.0])
def test_cut_off_or_drawn_out_speech_is_refused(seconds: float) -> None:
    text = "Which of these two books would you give?"
    with pytest.raises(BadSpeechError, match=r"expected 0\.96 to 5\.36 s"):
        check_duration(np.zeros(round(seconds * 24000), np.float32), 24000, text, "en")


def test_chinese_counts_characters() -> None:
    shortest, longest = bounds_s("今天天气很好。", "zh")
    assert shortest < 6 * 0.2 < longest
