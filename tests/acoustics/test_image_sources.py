"""Impulse responses of rooms, beside those of pyroomacoustics, and what is heard in such a room."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from duplexgen.pipeline.acoustics import image_sources
from duplexgen.pipeline.acoustics.image_sources import SPEED, Place, Response, impulse_response, reverberated
from duplexgen.pipeline.acoustics.room import _place

PLACES = [(0.2, 0.3), (0.3, 1.0), (0.4, 2.0), (0.5, 0.8)]  # T60 [s], distance [m]
SPANS_S = [(0, 0.01), (0.01, 0.03), (0.03, 0.07), (0.07, 0.15), (0.15, 0.3)]  # after the direct sound


def place_of(distance_m: float) -> Place:
    return _place(distance_m, np.random.default_rng(round(100 * distance_m)))


def by_pyroomacoustics(place: Place, t60_s: float, rate: int) -> NDArray[np.float64]:
    """From the direct sound on."""
    import pyroomacoustics

    absorption, order = pyroomacoustics.inverse_sabine(t60_s, place.size)
    room = pyroomacoustics.ShoeBox(place.size, fs=rate, materials=pyroomacoustics.Material(absorption), max_order=order)
    room.add_source(place.user)
    room.add_microphone(place.microphone)
    room.compute_rir()
    response: NDArray[np.float64] = room.rir[0][0]
    return response[int(np.argmax(np.abs(response))) :]


@pytest.mark.parametrize("rate", [16000, 24000])
def test_what_is_heard_when_is_that_of_pyroomacoustics(rate: int) -> None:
    from pyroomacoustics.experimental.rt60 import measure_rt60

    for t60_s, distance_m in PLACES:
        place = place_of(distance_m)
        response = impulse_response(place, t60_s, rate)
        ours, theirs = response.samples[response.direct :], by_pyroomacoustics(place, t60_s, rate)
        assert response.t60_s == pytest.approx(measure_rt60(theirs, rate, decay_db=20), rel=0.05)
        energies = [
            [np.sum(one[int(start * rate) : int(end * rate)] ** 2) for start, end in SPANS_S] for one in (ours, theirs)
        ]
        of_ours, of_theirs = (10 * np.log10(np.divide(one, np.sum(one))) for one in energies)
        assert np.abs(of_ours - of_theirs)[of_theirs > -20].max() < 0.5


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_a_response_has_energy_1_and_starts_with_the_direct_sound(rate: int) -> None:
    for t60_s, distance_m in [*PLACES, (0.15, 5.0), (1.0, 0.1)]:
        response = impulse_response(place_of(distance_m), t60_s, rate)
        samples = response.samples
        assert np.sum(samples**2) == pytest.approx(1, abs=1e-4)
        assert response.direct - distance_m / SPEED * rate == pytest.approx(64, abs=0.5)
        before = samples[: response.direct - rate // 1000]
        assert abs(samples[response.direct]) > 20 * np.abs(before).max(initial=0)
        assert len(samples) < response.direct + 1.25 * t60_s * rate
        assert np.array_equal(samples, impulse_response(place_of(distance_m), t60_s, rate).samples)


def test_a_response_ends_when_nothing_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """With images that are twice as far away, less than -40 dB of the energy is added."""
    for t60_s, distance_m in PLACES:
        response = impulse_response(place_of(distance_m), t60_s, 8000)
        with monkeypatch.context() as changed:
            changed.setattr(image_sources, "LONGEST", 2 * image_sources.LONGEST)
            changed.setattr(image_sources, "INAUDIBLE_DB", -120)
            longer = impulse_response(place_of(distance_m), t60_s, 8000)
        assert len(longer.samples) > 1.5 * len(response.samples)
        assert np.sum(longer.samples[len(response.samples) :] ** 2) < 1e-4
        assert np.allclose(longer.samples[: len(response.samples) - 100], response.samples[:-100], atol=1e-4)


def test_blocks_are_the_same_as_the_whole() -> None:
    """Utterances, single samples and silence, at any place; of silence there is silence."""
    random = np.random.default_rng(0)
    for _ in range(20):
        samples = random.standard_normal(int(random.integers(1, 3000))).astype(np.float32)
        response = Response(samples, int(random.integers(len(samples))), 0.3)
        said = np.zeros(int(random.integers(1, 60000)), np.float32)
        for start in random.integers(0, len(said), 3):
            length = int(random.choice([1, 100, 9000]))
            said[start : start + length] = random.uniform(-1, 1, len(said[start : start + length]))
        whole = fftconvolve(said.astype(float), samples.astype(float))[response.direct :][: len(said)]
        heard = reverberated(said, response)
        assert np.abs(heard - np.pad(whole, (0, len(said) - len(whole)))).max() < 1e-5 * np.abs(whole).max() + 1e-9
        assert heard.dtype == np.float32 and not reverberated(np.zeros_like(said), response).any()
