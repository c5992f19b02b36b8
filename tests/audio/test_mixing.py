"""Mixing is sample-exact, adds up what is heard at once, and an utterance that is cut really stops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.audio.mixing import EDGE_S, audible, hesitating, mix
from duplexgen.pipeline.audio.pcm import FULL_SCALE, LARGEST, to_int16
from duplexgen.pipeline.dialogue import CHANNELS, TURN, Event, Pause, Role, Timeline, Waveform

RATE = 16000


def noise(seed: int, samples: int, level: float = 0.9) -> Waveform:
    return np.random.default_rng(seed).uniform(-level, level, samples).astype(np.float32)


def event(utterance: int, channel: Role, start: int, length: int, cut: int = 0) -> Event:
    """Where an utterance is heard, without its last `cut` samples."""
    return Event(utterance, channel, TURN, start, start + length - cut, start + length)


@given(st.integers(0, 5000), st.integers(1, 4000), st.integers(0, 3000), st.integers(1, 4000))
def test_every_sample_is_where_the_timeline_says(lead: int, user: int, gap: int, reply: int) -> None:
    start = lead + user + gap
    events = (event(0, "user", lead, user), event(1, "assistant", start, reply))
    waveforms = [noise(1, user), noise(2, reply)]
    track = mix(waveforms, Timeline(events, start + reply + 100), RATE, 0.03)
    expected = np.zeros((2, start + reply + 100), np.int16)
    expected[0, lead : lead + user] = to_int16(waveforms[0])
    expected[1, start : start + reply] = to_int16(waveforms[1])
    assert track.samples.dtype == np.int16 and track.sample_rate == RATE
    assert np.array_equal(track.samples, expected)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[Waveform], Timeline]:
    """Utterances anywhere, over each other, on either channel, some of them cut."""
    waveforms, events = [], []
    for number in range(draw(st.integers(1, 6))):
        length = draw(st.integers(1, 600))
        waveforms.append(noise(draw(st.integers(0, 99)), length, draw(st.sampled_from([0.2, 1.0, 1.5]))))
        cut = draw(st.sampled_from([0, 0, draw(st.integers(0, length - 1))]))
        events.append(event(number, draw(st.sampled_from(CHANNELS)), draw(st.integers(0, 900)), length, cut))
    events.sort(key=lambda one: one.start_sample)
    return waveforms, Timeline(tuple(events), 1600)


@given(crowds(), st.sampled_from([0.001, 0.01, 0.2]))
def test_what_is_heard_at_once_adds_up(crowd: tuple[list[Waveform], Timeline], fade_s: float) -> None:
    """Against each sample's sum of all that is heard there, clipped after each that is added."""
    waveforms, timeline = crowd
    before = [waveform.copy() for waveform in waveforms]
    sums = np.zeros((2, timeline.num_samples), np.int64)
    for one in timeline.events:
        heard = to_int16(audible(waveforms[one.utterance], one, RATE, fade_s))
        assert len(heard) == one.end_sample - one.start_sample
        there = sums[CHANNELS.index(one.channel), one.start_sample : one.end_sample]
        there[:] = np.clip(there + heard, -FULL_SCALE, LARGEST)
    track = mix(waveforms, timeline, RATE, fade_s)
    assert np.array_equal(track.samples, sums)
    assert all(np.array_equal(*pair) for pair in zip(waveforms, before, strict=True)), "utterances stay as they were"


@given(crowds())
def test_channels_do_not_touch_each_other(crowd: tuple[list[Waveform], Timeline]) -> None:
    waveforms, timeline = crowd
    track = mix(waveforms, timeline, RATE, 0.01)
    for number, channel in enumerate(CHANNELS):
        own = tuple(one for one in timeline.events if one.channel == channel)
        alone = mix(waveforms, Timeline(own, timeline.num_samples), RATE, 0.01)
        assert np.array_equal(track.samples[number], alone.samples[number]) and not alone.samples[1 - number].any()


@pytest.mark.parametrize("fade_s", [0.01, 0.03, 0.2])
def test_what_is_cut_fades_and_stops(fade_s: float) -> None:
    waveform = np.full(3 * RATE, 0.5, np.float32)
    track = mix([waveform], Timeline((event(0, "assistant", 100, 3 * RATE, 2 * RATE),), 4 * RATE), RATE, fade_s)
    heard = track.samples[1].astype(int)
    fade = round(fade_s * RATE)
    full = to_int16(np.array([0.5], np.float32))[0]
    assert (heard[100 : 100 + RATE - fade] == full).all()
    faded = heard[100 + RATE - fade : 100 + RATE]
    assert (np.diff(faded) <= 0).all()
    assert faded[-1] == 0
    assert np.abs(np.diff(heard[200 : 100 + RATE + 10])).max() <= full * np.pi / 2 / (fade - 1) + 1  # no click
    assert not heard[100 + RATE :].any()
    assert np.array_equal(waveform, np.full(3 * RATE, 0.5, np.float32))


def test_a_stop_before_the_fade_is_over_fades_all_of_it() -> None:
    heard = audible(np.ones(1000, np.float32), event(0, "assistant", 0, 1000, 900), RATE, 0.03)
    assert len(heard) == 100 and heard[-1] == 0 and (np.diff(heard) <= 0).all() and heard[0] < 0.2


def test_what_is_too_loud_is_clipped_not_wrapped() -> None:
    assert to_int16(np.array([1.5, -1.5, 1.0, -1.0, 0.0], np.float32)).tolist() == [32767, -32768, 32767, -32768, 0]
    loud = [np.full(10, 0.9, np.float32), np.full(10, 0.9, np.float32), np.full(10, -0.95, np.float32)]
    together = mix(loud[:2], Timeline((event(0, "user", 0, 10), event(1, "user", 0, 10)), 10), RATE, 0.01)
    assert together.samples[0].tolist() == [32767] * 10


@st.composite
def hesitations(draw: st.DrawFn) -> tuple[Waveform, list[Pause]]:
    """A waveform, and pauses in it, in samples of the result; two may follow each other at once."""
    length = draw(st.integers(1, 3000))
    places = sorted(draw(st.lists(st.integers(0, length), max_size=4)))
    pauses, added = [], 0
    for place in places:
        pause = draw(st.integers(1, 2000))
        pauses.append(Pause(place + added, place + added + pause))
        added += pause
    return noise(draw(st.integers(0, 99)), length, 1.0), pauses


@given(hesitations(), st.sampled_from([8000, 16000, 24000]))
def test_a_pause_is_silence_and_takes_nothing_away(hesitation: tuple[Waveform, list[Pause]], rate: int) -> None:
    """Sample for sample the waveform, but for a fade on both sides of each pause, which never adds to it."""
    waveform, pauses = hesitation
    before = waveform.copy()
    heard = hesitating(waveform, pauses, rate)
    assert heard.dtype == np.float32 and np.array_equal(waveform, before), "the utterance stays as it was"
    spoken, near = np.ones(len(heard), np.bool_), np.zeros(len(heard), np.bool_)
    edge = round(EDGE_S * rate)
    for pause in pauses:
        assert not heard[pause.start_sample : pause.end_sample].any()
        spoken[pause.start_sample : pause.end_sample] = False
        near[max(0, pause.start_sample - edge) : pause.end_sample + edge] = True
    assert len(heard) == len(waveform) + sum(pause.num_samples for pause in pauses)
    assert np.array_equal(heard[spoken & ~near], waveform[~near[spoken]])
    assert (np.abs(heard[spoken]) <= np.abs(waveform)).all()


def test_there_is_no_click_at_a_pause() -> None:
    """Speech is gone in the last sample before the pause, and comes back from nothing, along half a cosine."""
    steady, edge = np.ones(RATE, np.float32), round(EDGE_S * RATE)
    heard = hesitating(steady, [Pause(4000, 6000), Pause(9000, 9100)], RATE)
    for start, end in ((4000, 6000), (9000, 9100)):
        assert heard[start - 1] == heard[end] == 0
        assert (np.diff(heard[start - edge : start]) < 0).all() and (np.diff(heard[end : end + edge]) > 0).all()
        assert heard[start - edge] == heard[end + edge - 1] == 1
        assert np.allclose(heard[start - edge : start], heard[end : end + edge][::-1])
    assert np.abs(np.diff(heard)).max() <= np.pi / 2 / (edge - 1) + 1e-6


def test_without_pauses_a_waveform_is_as_it_was() -> None:
    waveform = noise(3, 1000)
    assert np.array_equal(hesitating(waveform, [], RATE), waveform)
