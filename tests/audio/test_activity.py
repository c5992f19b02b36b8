"""Where speech is found in a channel."""

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks import replay
from duplexgen.pipeline.audio.activity import clean_segments, joined, speech_segments
from duplexgen.pipeline.audio.pcm import to_int16

RATE = 16000
VAD_STEP_S = 0.032
PAUSE_S = 0.5


@pytest.fixture(scope="module")
def spoken() -> NDArray[np.float32]:
    """A sentence of Kokoro's, trimmed to speech."""
    waveform, rate = soundfile.read(replay.RECORDING, dtype="float32")
    return np.asarray(soxr.resample(waveform, rate, RATE), dtype=np.float32)


@pytest.mark.parametrize("before_s", [0.0, 0.4, 3.21])
def test_speech_is_found_where_it_is(spoken: NDArray[np.float32], before_s: float) -> None:
    track = np.pad(spoken, (round(before_s * RATE), 2 * RATE))
    segments = joined(speech_segments(track, RATE), PAUSE_S)
    assert len(segments) == 1
    assert segments[0][0] == pytest.approx(before_s, abs=3 * VAD_STEP_S)
    assert segments[0][1] == pytest.approx(before_s + len(spoken) / RATE, abs=6 * VAD_STEP_S)


def test_no_speech_no_segments(spoken: NDArray[np.float32]) -> None:
    noise = np.random.Generator(np.random.Philox(1)).normal(0, 0.05, 2 * RATE).astype(np.float32)
    click = np.zeros(RATE, np.float32)
    click[8000:8080] = 0.8
    for waveform in (np.zeros(0, np.float32), np.zeros(RATE, np.float32), noise, click):
        assert speech_segments(waveform, RATE) == []


def test_the_detector_keeps_nothing_of_the_track_before(spoken: NDArray[np.float32]) -> None:
    alone = speech_segments(spoken, RATE)
    speech_segments(np.tile(spoken, 2), RATE)
    assert speech_segments(spoken, RATE) == alone


@pytest.mark.parametrize("rate", [16000, 24000])
def test_a_clean_channel_is_heard_part_by_part(spoken: NDArray[np.float32], rate: int) -> None:
    """As the whole channel is, to a step of the detector; and where the parts are is known to the sample."""
    sound = to_int16(np.asarray(soxr.resample(spoken, RATE, rate)))
    silences_s = (0.0, 0.6, 1.3, 4.0)
    channel = np.concatenate([part for silence in silences_s for part in (np.zeros(round(silence * rate)), sound)])
    channel = channel.astype(np.int16)
    apart = clean_segments(channel, rate)
    together = speech_segments((channel / 32768).astype(np.float32), rate, 0)
    assert len(joined(apart, PAUSE_S * rate)) == len(joined(together, PAUSE_S)) == len(silences_s)
    for (start, end), (start_s, end_s) in zip(joined(apart, PAUSE_S * rate), joined(together, PAUSE_S), strict=True):
        assert start / rate == pytest.approx(start_s, abs=3 * VAD_STEP_S)
        assert end / rate == pytest.approx(end_s, abs=3 * VAD_STEP_S)
    assert all(0 <= start < end <= len(channel) for start, end in apart)


def test_sound_elsewhere_changes_nothing_of_a_part(spoken: NDArray[np.float32]) -> None:
    sound, silence = to_int16(spoken), np.zeros(2 * RATE, np.int16)
    alone = clean_segments(np.concatenate([silence, sound, silence]), RATE)
    assert clean_segments(np.concatenate([silence, sound, silence, sound]), RATE)[: len(alone)] == alone


@pytest.mark.parametrize("length", [0, 1, RATE])
def test_a_silent_channel_has_no_speech(length: int) -> None:
    assert clean_segments(np.zeros(length, np.int16), RATE) == []
