import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from duplexgen.pipeline.audio.resampling import DELAY_S, Resampler, resampled_int16
from duplexgen.pipeline.randomness import generator

RATES = [8000, 11025, 16000, 22050, 24000, 44100, 48000]


def noise(channels: int, frames: int, rate: int, seed: int = 0) -> NDArray[np.float32]:
    """Noise and pauses, [channels, frames of 80 ms]."""
    draw = generator(seed, "noise", "test")
    spoken = draw.random((channels, frames, 1)) > 0.3
    samples = spoken * (draw.random((channels, frames, rate * 8 // 100)) - 0.5)
    return samples.reshape(channels, -1).astype(np.float32)


def pushed(samples: NDArray[np.float32], sizes: list[int], rate: int, to: int) -> NDArray[np.float32]:
    resampler, frame, done, out = Resampler(len(samples), rate, to, rate * 8 // 100), rate * 8 // 100, 0, []
    for size in sizes:
        out.append(resampler.push(samples[:, done * frame : (done + size) * frame]))
        assert out[-1].shape == (len(samples), size * to * 8 // 100)
        done += size
    return np.concatenate(out, axis=1)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=6),
    rate=st.sampled_from(RATES),
    to=st.sampled_from(RATES),
    seed=st.integers(0, 99),
)
def test_however_a_signal_is_cut_it_is_the_same_sample_for_sample(
    sizes: list[int], rate: int, to: int, seed: int
) -> None:
    samples = noise(2, sum(sizes), rate, seed)
    whole = pushed(samples, [sum(sizes)], rate, to)
    assert (pushed(samples, sizes, rate, to) == whole).all()
    assert (pushed(samples[1:], sizes, rate, to) == whole[1:]).all()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("to", [16000, 24000])
def test_it_is_the_whole_resampled_a_little_late(rate: int, to: int) -> None:
    samples = noise(1, 25, rate)
    frame, late = to * 8 // 100, 0 if rate == to else round(DELAY_S * to)
    after_silence = soxr.resample(np.pad(samples[0], (rate * 8 // 100, 0)), rate, to)
    expected = after_silence[frame - late : 26 * frame - late]
    np.testing.assert_allclose(pushed(samples, [25], rate, to)[0], expected, rtol=0, atol=3e-6)
    assert expected.std() > 0.1


@settings(deadline=None, max_examples=20)
@given(heard=st.integers(0, 6), rate=st.sampled_from(RATES), to=st.sampled_from([16000, 24000]))
def test_nothing_is_heard_of_what_follows(heard: int, rate: int, to: int) -> None:
    first, second = noise(1, 6, rate), noise(1, 6, rate)
    second[:, heard * rate * 8 // 100 :] = 0.9
    known = heard * to * 8 // 100
    assert (pushed(first, [6], rate, to)[:, :known] == pushed(second, [6], rate, to)[:, :known]).all()


def test_silence_stays_silence_and_what_is_too_loud_is_clipped() -> None:
    assert not resampled_int16(np.zeros((2, 19200), np.int16), 24000, 16000, 1920).any()
    loud = np.where(np.arange(19200) % 100 < 50, 32767, -32768).astype(np.int16)[np.newaxis]
    resampled = resampled_int16(loud, 24000, 16000, 1920)
    assert resampled.max() == 32767 and resampled.min() == -32768
    at_24_khz = np.arange(12800) * 1.5 - DELAY_S * 24000
    flat = (np.abs(at_24_khz % 50 - 25) > 3) & (np.abs(at_24_khz % 50 - 25) < 22) & (at_24_khz > 300)
    expected = np.where(at_24_khz % 100 < 50, 1, -1)
    assert (np.sign(resampled[0, flat]) == expected[flat]).all()  # nothing wraps round
    assert resampled_int16(loud, 16000, 16000, 1280) is loud


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="not a whole number of samples at 16000 Hz"):
        Resampler(1, 24000, 16000, 1921)
    with pytest.raises(ValueError, match=r"expected \[2, a multiple of 1920\], got \[2, 1921\]"):
        Resampler(2, 24000, 16000, 1920).push(np.zeros((2, 1921), np.float32))
    with pytest.raises(ValueError, match=r"expected \[2"):
        Resampler(2, 24000, 16000, 1920).push(np.zeros((3, 1920), np.float32))
