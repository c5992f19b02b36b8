"""Composition is sample-exact, and an interrupted reply really stops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.audio.mixing import compose
from duplexgen.pipeline.audio.pcm import to_symmetric_int16
from duplexgen.pipeline.dialogue import Placement, Timeline

RATE = 16000


def noise(seed: int, samples: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, samples).astype(np.float32)


@given(st.integers(0, 5000), st.integers(1, 4000), st.integers(0, 3000), st.integers(1, 4000))
def test_every_sample_is_where_the_timeline_says(lead: int, user: int, gap: int, reply: int) -> None:
    start = lead + user + gap
    placements = (
        Placement("user", lead, lead + user, lead + user),
        Placement("assistant", start, start + reply, start + reply),
    )
    waveforms = [noise(1, user), noise(2, reply)]
    track = compose(waveforms, Timeline(placements, start + reply + 100), RATE, 0.03)
    expected = np.zeros((2, start + reply + 100), np.int16)
    expected[0, lead : lead + user] = to_symmetric_int16(waveforms[0])
    expected[1, start : start + reply] = to_symmetric_int16(waveforms[1])
    assert np.array_equal(track.samples, expected)


@pytest.mark.parametrize("fade_s", [0.01, 0.03, 0.2])
def test_interrupted_reply_fades_and_stops(fade_s: float) -> None:
    waveform = np.full(3 * RATE, 0.5, np.float32)
    placement = Placement("assistant", 100, 100 + RATE, 100 + 3 * RATE, reaction_samples=500)
    track = compose([waveform], Timeline((placement,), 4 * RATE), RATE, fade_s)
    heard = track.samples[1].astype(int)
    fade = round(fade_s * RATE)
    full = to_symmetric_int16(np.array([0.5], np.float32))[0]
    assert (heard[100 : 100 + RATE - fade] == full).all()
    faded = heard[100 + RATE - fade : 100 + RATE]
    assert (np.diff(faded) <= 0).all()
    assert faded[-1] == 0
    assert np.abs(np.diff(heard[200 : 100 + RATE + 10])).max() <= full * np.pi / 2 / (fade - 1) + 1  # no click
    assert not heard[100 + RATE :].any()
    assert np.array_equal(waveform, np.full(3 * RATE, 0.5, np.float32))  # the utterance is left as it was


def test_overlap_stays_on_two_channels() -> None:
    placements = (Placement("assistant", 0, 1000, 1000), Placement("user", 500, 1500, 1500))
    track = compose([noise(1, 1000), noise(2, 1000)], Timeline(placements, 2000), RATE, 0.03)
    assert np.array_equal(track.samples[1, :1000], to_symmetric_int16(noise(1, 1000)))
    assert np.array_equal(track.samples[0, 500:1500], to_symmetric_int16(noise(2, 1000)))
