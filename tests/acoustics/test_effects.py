"""Effects, measured on the audio of tracks: what differs between the clean track and the noisy one."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.signal import welch

from benchmarks.acoustics import decay_s, deconvolved, drawn
from duplexgen.pipeline.acoustics.gain import utterances
from duplexgen.pipeline.acoustics.leak import Leak, LeakSection
from duplexgen.pipeline.acoustics.levels import LOOK_S, _volume, limited
from duplexgen.pipeline.acoustics.telephone import mu_law
from duplexgen.pipeline.audio.pcm import to_int16
from duplexgen.pipeline.dataset.rows import read_events
from duplexgen.pipeline.dialogue import Timeline, Track
from tests.stages.test_tracks import channels, rows_of, stage

RATES = [16000, 22050, 48000]
MEASURED = {"speech_activity": None}  # of the first dialogue of a partition alone
OF_THE_USER = {"user_codes": None, "audio": None, "acoustics": None}
ALL: list[dict[str, Any]] = [
    {"effect": "gain"},
    {"effect": "room", "t60_s": [0.2, 0.3]},
    {"effect": "leak", "probability": 1.0},
    {"effect": "noise", "silence_probability": 0.0},
    {"effect": "bursts", "per_minute": 60},
    {"effect": "telephone"},
]
Signal = NDArray[np.float64]


def heard(row: dict[str, Any]) -> Signal:
    """[2, samples] in [-1, 1)."""
    return channels(row) / 32768


def db(signal: Signal) -> float:
    return 20 * float(np.log10(np.sqrt(np.mean(np.square(signal))) + 1e-6))


def both(said: pa.Table, *effects: dict[str, Any], rate: int = 16000, **changes: Any) -> list[tuple[Any, Any]]:
    """Each dialogue as a clean row, and as one with the effects."""
    clean = rows_of(stage(sample_rate=rate, **changes), said)
    return list(zip(clean, rows_of(stage(sample_rate=rate, acoustics=list(effects), **changes), said), strict=True))


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
@pytest.mark.parametrize("effects", [*([one] for one in ALL), ALL], ids=lambda effects: effects[0]["effect"])
def test_only_what_the_user_sends_changes(said: pa.Table, effects: list[dict[str, Any]], scenario: str) -> None:
    """The assistant's channel is that of the clean build byte for byte; and the same draws give the same bytes."""
    clean = rows_of(stage(scenario), said)
    noisy = rows_of(stage(scenario, acoustics=effects), said)
    assert noisy == rows_of(stage(scenario, acoustics=effects), said)
    alone = [row | MEASURED for row in rows_of(stage(scenario, acoustics=effects), said.slice(1))]
    assert [row | MEASURED for row in noisy[1:]] == alone, "and among others"
    for row, other in zip(clean, noisy, strict=True):
        assert row | OF_THE_USER == other | OF_THE_USER
        assert channels(row)[1].tobytes() == channels(other)[1].tobytes()
        assert not np.array_equal(channels(row)[0], channels(other)[0])


def test_each_dialogue_and_each_seed_has_its_own_draws(said: pa.Table) -> None:
    some = ALL[1:4]
    rows = [*rows_of(stage(acoustics=some, timing={"takes": 2}), said), *rows_of(stage(acoustics=some, seed=5), said)]
    for effect, quantity in (("noise", "snr_db"), ("leak", "gain"), ("room", "t60_s")):
        assert len({drawn(row, effect)[quantity][None] for row in rows}) == len(rows)


@pytest.mark.parametrize("rate", RATES)
def test_noise_has_the_levels_that_were_drawn(said: pa.Table, rate: int) -> None:
    for clean, noisy in both(said, {"effect": "noise", "clip_s": [0.5, 2.0]}, rate=rate, timing={"takes": 2}):
        noise = heard(noisy)[0] - heard(clean)[0]
        of = drawn(noisy, "noise")
        ends = [start + of["samples"][number] for number, start in of["start_sample"].items()]
        assert [*of["start_sample"].values(), len(noise)] == [0, *ends], "clip after clip, to the end"
        for number, start in of["start_sample"].items():
            clip = noise[int(start) : int(start + of["samples"][number])]
            if number in of["level_db"]:
                assert -70 <= of["level_db"][number] <= -40
                assert db(clip) == pytest.approx(of["level_db"][number], abs=0.05)
            else:
                assert not clip.any()
            last = len(of["samples"]) - 1
            assert number == last or 0.5 * rate - 1 <= of["samples"][number] <= 2 * rate
        spoken = np.concatenate([np.arange(start, end) for _, start, end in utterances(timeline(clean))])
        power = np.mean(heard(clean)[0][spoken] ** 2) / np.mean(noise[spoken] ** 2)
        assert 10 * np.log10(power) == pytest.approx(of["snr_db"][None], abs=0.05)


def timeline(row: dict[str, Any]) -> Timeline:
    return Timeline(read_events(row["events"]), channels(row).shape[1])


def test_noise_draws_what_the_paper_says(said: pa.Table) -> None:
    """Levels are uniform from -70 to -40 dB, and three clips in ten are silence."""
    noise = {"effect": "noise", "clip_s": [0.1, 0.2], "embedded": ["white"]}
    rows = rows_of(stage(acoustics=[noise], timing={"takes": 3}), said)
    of = [drawn(row, "noise") for row in rows]
    levels = np.concatenate([[*one["level_db"].values()] for one in of])
    clips = sum(len(one["samples"]) for one in of)
    assert clips > 500
    deviation = np.sqrt(0.3 * 0.7 / clips)
    assert abs(1 - len(levels) / clips - 0.3) < 4 * deviation
    quantiles = np.quantile(levels, [0.1, 0.5, 0.9])
    assert np.allclose(quantiles, [-67, -55, -43], atol=2) and levels.min() > -70 and levels.max() < -40


def test_gain_of_utterances(said: pa.Table) -> None:
    gained = kept = 0
    for clean, noisy in both(said, {"effect": "gain"}, timing={"takes": 4}):
        of = drawn(noisy, "gain")
        inside = np.zeros(channels(clean).shape[1], np.bool_)
        for event, start, end in utterances(timeline(clean)):
            inside[start:end] = True
            before, after = heard(clean)[0][start:end], heard(noisy)[0][start:end]
            if event not in of["gain_db"]:
                assert np.array_equal(before, after)
                kept += 1
                continue
            gained += 1
            gain, limited = of["gain_db"][event], of["limited_samples"].get(event, 0)
            assert -24 <= of["drawn_gain_db"][event] <= gain and db(after) > -40.05
            assert gain == of["drawn_gain_db"][event] or db(before) + gain == pytest.approx(-40, abs=0.05)
            assert db(after) == pytest.approx(of["level_db"][event], abs=0.01)
            louder = before * 10 ** (gain / 20)
            assert limited == np.count_nonzero(np.abs(louder) > 1)
            if not limited:
                assert np.abs(after - louder).max() < 1 / 32768
        assert np.array_equal(heard(clean)[0][~inside], heard(noisy)[0][~inside])
    assert gained / (gained + kept) == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / (gained + kept)))


def test_what_is_too_loud_is_limited_and_not_clipped(said: pa.Table) -> None:
    """Beyond full scale the shape of the wave stays: nowhere do samples stand at the same highest value in a row."""
    for clean, noisy in both(said, {"effect": "gain", "probability": 1.0, "gain_db": [30, 30]}):
        counts = drawn(noisy, "gain")["limited_samples"]
        assert sum(counts.values()) > 1000
        user = channels(noisy)[0].astype(np.int64)
        highest = np.flatnonzero(np.abs(user) >= 32767)
        assert np.count_nonzero(np.diff(highest) == 1) < 0.02 * sum(counts.values())
        before = channels(clean)[0]
        assert np.array_equal(np.sign(before), np.sign(user))


@pytest.mark.parametrize("rate", RATES)
def test_only_what_is_around_a_peak_is_softer(rate: int) -> None:
    """Peaks alone, near each other, and at both ends: each is as if the volume were found for the whole at once."""
    random = np.random.default_rng(0)
    waveform = random.uniform(-0.9, 0.9, 2 * rate).astype(np.float32)
    peaks = np.array([0, 5, 90, rate // 200, rate // 100, *random.integers(0, 2 * rate, 20), 2 * rate - 1])
    waveform[peaks] = random.uniform(1.1, 3, len(peaks)) * random.choice([-1, 1], len(peaks))
    samples, count = limited(waveform, rate)
    assert count == len({*peaks}) and np.abs(samples.astype(int)).max() <= 32768
    whole = to_int16(waveform * _volume(waveform, rate))
    assert np.abs(samples.astype(int) - whole).max() <= 1
    far = np.abs(np.subtract.outer(np.arange(2 * rate), peaks)).min(axis=1) > LOOK_S * rate + 2
    assert np.array_equal(samples[far], to_int16(waveform[far])) and far.any()


@pytest.mark.parametrize("rate", RATES)
def test_leak_by_cross_correlation(said: pa.Table, rate: int) -> None:
    for clean, noisy in both(said, {"effect": "leak", "probability": 1.0, "gain": [0.05, 0.2]}, rate=rate):
        leaked, assistant = heard(noisy)[0] - heard(clean)[0], heard(clean)[1]
        size = 2 * len(leaked)
        correlation = np.fft.irfft(np.fft.rfft(leaked, size) * np.conj(np.fft.rfft(assistant, size)), size)
        delay = int(np.argmax(correlation))
        of = drawn(noisy, "leak")
        assert delay == of["delay_samples"][None] and 0.1 * rate - 1 <= delay <= 0.5 * rate + 1
        heard_of_it = np.dot(assistant[: len(assistant) - delay], assistant[: len(assistant) - delay])
        assert correlation[delay] / heard_of_it == pytest.approx(of["gain"][None], rel=0.01)


def test_three_leaks_in_ten() -> None:
    """And their delays and factors are uniform."""
    track = Track(np.full((2, 8000), 1000, np.int16), 8000)
    effect = Leak(LeakSection())
    draws = [effect.apply(track, Timeline((), 8000), np.random.default_rng(seed))[1] for seed in range(3000)]
    leaks = [one for one in draws if one]
    assert len(leaks) / len(draws) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / len(draws)))
    for name, low, high in (("gain", 0, 0.2), ("delay_samples", 800, 4000)):
        shares = (np.asarray([one[name] for one in leaks]) - low) / (high - low)
        assert shares.min() >= 0 and shares.max() <= 1
        assert np.allclose(np.quantile(shares, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.08)


def test_nothing_drawn_is_null(said: pa.Table) -> None:
    rows = rows_of(stage(acoustics=[{"effect": "leak", "probability": 0.0}]), said)
    assert [row["acoustics"] for row in rows] == [None, None]


@pytest.mark.parametrize("rate", [16000, 24000])
def test_the_reverberation_of_a_room(said: pa.Table, rate: int) -> None:
    """Its impulse response, from what the user sends without and with the room, decays as it was drawn."""
    room = {"effect": "room", "distance_m": [0.5, 1.5]}
    for clean, noisy in both(said, room, rate=rate, timing={"takes": 2}):
        dry, wet, of = heard(clean)[0], heard(noisy)[0], drawn(noisy, "room")
        t60_s = decay_s(deconvolved(dry, wet, 16000), rate)
        assert t60_s == pytest.approx(of["measured_t60_s"][None], rel=0.1)
        assert t60_s == pytest.approx(of["t60_s"][None], rel=0.3), "Sabine's formula is no more exact than this"
        assert db(wet) == pytest.approx(db(dry), abs=2), "as loud as before, but for the colour of the room"


def test_a_sound_stays_where_it_was_in_time(said: pa.Table) -> None:
    """The times of words hold: in a room and on the telephone, a sound is first heard when it was said."""
    for effect in ("room", "telephone"):
        for clean, noisy in both(said, {"effect": effect}):
            dry, wet = heard(clean)[0], heard(noisy)[0]
            size = 2 * len(dry)
            correlation = np.fft.irfft(np.fft.rfft(wet, size) * np.conj(np.fft.rfft(dry, size)), size)
            assert np.argmax(correlation) in ({0} if effect == "telephone" else {*range(12)})


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_the_band_of_the_telephone(said: pa.Table, rate: int) -> None:
    line = {"effect": "telephone"}
    loud = {"effect": "noise", "embedded": ["white"], "silence_probability": 0.0, "level_db": [-20, -20]}
    for without, with_line in zip(
        rows_of(stage(sample_rate=rate, acoustics=[loud]), said),
        rows_of(stage(sample_rate=rate, acoustics=[loud, line]), said),
        strict=True,
    ):
        frequencies, before = welch(heard(without)[0], rate, nperseg=2048)
        after = welch(heard(with_line)[0], rate, nperseg=2048)[1]
        change_db = 10 * np.log10(after / before)
        inside = (frequencies > 400) & (frequencies < 3200)
        outside = (frequencies < 200) | (frequencies > 3900)
        assert np.abs(change_db[inside]).max() < 3 and change_db[outside & (frequencies > 0)].max() < -20
        assert drawn(with_line, "telephone")["lowest_hz"][None] == 300


def test_mu_law_is_that_of_g711() -> None:
    """Its 255 values: eight segments, each with steps twice as wide as the one before."""
    values = np.unique(mu_law(np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)))
    positive = values[values >= 0]
    expected = [((2 * step + 33) << segment) - 33 for segment in range(8) for step in range(16)]
    assert np.array_equal(positive, np.asarray(expected) * 4) and np.array_equal(values[values <= 0], -positive[::-1])
