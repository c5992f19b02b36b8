import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.audio.trim import speech_span, trim, words_within
from duplexgen.pipeline.dialogue import Waveform, Word

RATE = 24000


def loud_span(waveform: Waveform) -> tuple[int, int]:
    """Where 10 ms frames come within 30 dB of the loud ones: an account of speech that knows no detector."""
    frames = waveform[: len(waveform) // 240 * 240].reshape(-1, 240)
    level_db = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    loud = np.flatnonzero(level_db > np.percentile(level_db, 95) - 30)
    return int(loud[0]) * 240, int(loud[-1] + 1) * 240


def test_silence_goes_and_speech_stays(spoken: Waveform) -> None:
    start, end = speech_span(spoken, RATE)
    first, last = loud_span(spoken)
    assert start <= first + 240  # a frame is as fine as the account goes
    assert first <= start + 0.1 * RATE
    assert last <= end <= last + 0.2 * RATE


@pytest.mark.parametrize(("before_s", "after_s"), [(0.0, 0.0), (0.7, 0.013), (3.1, 4.0)])
def test_silence_around_does_not_move_the_edges(spoken: Waveform, before_s: float, after_s: float) -> None:
    before, after = round(before_s * RATE), round(after_s * RATE)
    start, end = speech_span(spoken, RATE)
    shifted = speech_span(np.pad(spoken, (before, after)), RATE)
    assert shifted[0] - before == pytest.approx(start, abs=0.024 * RATE)  # the detector steps by 32 ms
    assert shifted[1] - before == pytest.approx(end, abs=0.024 * RATE)


def test_level_does_not_move_the_edges(spoken: Waveform) -> None:
    assert speech_span(spoken, RATE) == speech_span((spoken * np.float32(0.125)).astype(np.float32), RATE)


def test_trimmed_speech_has_nothing_left_to_trim(spoken: Waveform) -> None:
    once = trim(spoken, RATE)
    assert len(trim(once, RATE)) == pytest.approx(len(once), abs=0.05 * RATE)


@pytest.mark.parametrize("waveform", [np.zeros(0), np.zeros(48000), np.full(48000, 0.1)], ids=["none", "zero", "dc"])
def test_no_speech_gives_nothing(waveform: np.ndarray) -> None:
    assert len(trim(waveform.astype(np.float32), RATE)) == 0


def test_noise_is_not_speech() -> None:
    noise = np.random.Generator(np.random.Philox(1)).normal(0, 0.05, 2 * RATE).astype(np.float32)
    assert len(trim(noise, RATE)) == 0


@settings(deadline=None)
@given(st.lists(st.integers(0, 100), min_size=2, max_size=20), st.integers(0, 100), st.integers(0, 100))
def test_words_move_with_their_samples_and_end_with_them(edges: list[int], one: int, other: int) -> None:
    """A sample of a word that is kept is the same sample, in the same word."""
    edges, (start, end) = sorted(edges), sorted((one, other))
    words = [Word(str(number), *pair) for number, pair in enumerate(zip(edges[::2], edges[1::2], strict=False))]
    whole, kept = np.full(100, ""), np.full(end - start, "")
    for word in words:
        whole[word.start_sample : word.end_sample] = word.text
    moved = words_within(words, start, end)
    for word in moved:
        assert 0 <= word.start_sample <= word.end_sample <= end - start
        kept[word.start_sample : word.end_sample] = word.text
    assert [word.text for word in moved] == [word.text for word in words]
    assert (kept == whole[start:end]).all()
