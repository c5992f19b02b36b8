"""Bursts, measured on the audio: where they are, how loud, how many, and what they sound like."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.acoustics import drawn
from duplexgen.pipeline.acoustics import short_sounds
from duplexgen.pipeline.acoustics.bursts import EMBEDDED, Bursts, BurstsSection
from duplexgen.pipeline.acoustics.recordings import Split
from duplexgen.pipeline.acoustics.short_sounds import KINDS, LENGTHS_S, ShortSound, _powers
from duplexgen.pipeline.audio.activity import speech_segments
from duplexgen.pipeline.dialogue import Timeline, Track
from tests.acoustics.test_effects import RATES, both, db, heard
from tests.acoustics.test_noise import SPLITS, in_silence, recordings

Signal = NDArray[np.float64]


def bursts(*folders: Path, **keys: Any) -> Bursts:
    return Bursts(BurstsSection.model_validate({"effect": "bursts", "folders": [str(one) for one in folders]} | keys))


def places(values: dict[str, float]) -> list[slice]:
    count = sum(name.startswith("start_sample[") for name in values)
    return [slice(*(int(values[f"{edge}_sample[{number}]"]) for edge in ("start", "end"))) for number in range(count)]


def alone(spans: list[slice]) -> Iterator[int]:
    """The numbers of those that no other one overlaps."""
    for number, span in enumerate(spans):
        others = (other for other in spans if other is not span)
        if all(other.stop <= span.start or span.stop <= other.start for other in others):
            yield number


@pytest.mark.parametrize("rate", RATES)
def test_bursts_are_where_and_as_loud_as_the_row_says(said: pa.Table, rate: int) -> None:
    """And nowhere else is a sample of the user's channel another one."""
    found, effect = 0, {"effect": "bursts", "per_minute": 30, "level_db": [-50, -35]}
    for clean, noisy in both(said, effect, rate=rate, timing={"takes": 3}):
        difference, of = heard(noisy)[0] - heard(clean)[0], drawn(noisy, "bursts")
        spans = [slice(int(start), int(of["end_sample"][number])) for number, start in of["start_sample"].items()]
        assert [span.start for span in spans] == sorted(span.start for span in spans)
        assert all(0.05 * rate - 1 <= span.stop - span.start <= 0.8 * rate for span in spans)
        assert "limited_samples" not in of, "the levels could not be compared"
        for number in alone(spans):
            burst = difference[spans[number]]
            assert -50 <= of["level_db"][number] <= -35
            assert db(burst) == pytest.approx(of["level_db"][number], abs=0.05)
            assert np.flatnonzero(burst)[0] < 0.005 * rate, "it starts where it is said to start"
            found += 1
        outside = np.ones(len(difference), np.bool_)
        for span in spans:
            outside[span] = False
        assert not difference[outside].any()
    assert found > 10


@given(
    length=st.integers(1, 20_000),
    rate=st.sampled_from([8000, 16000, 22050, 48000]),
    longest_s=st.floats(0.05, 5),
    seed=st.integers(0, 1000),
)
def test_bursts_are_in_the_track_as_a_whole(length: int, rate: int, longest_s: float, seed: int) -> None:
    """However short the track is."""
    effect = bursts(per_minute=120, longest_s=longest_s)
    track = Track(np.zeros((2, length), np.int16), rate)
    for number in range(5):
        changed, values = effect.apply(track, Timeline((), length), np.random.default_rng((seed, number)))
        assert changed.samples.shape == (2, length) and not track.samples.any()
        for span in places(dict(values)):
            assert 0 <= span.start < span.stop <= length and span.stop - span.start <= longest_s * rate


def test_their_number_has_a_poisson_distribution_and_their_places_are_everywhere() -> None:
    effect = bursts(embedded=["clap"], per_minute=20)
    spans = [places(in_silence(effect, 30, 8000, seed)[1]) for seed in range(300)]
    counts = np.asarray([len(one) for one in spans])
    assert counts.mean() == pytest.approx(10, abs=4 * np.sqrt(10 / 300))
    assert counts.var() == pytest.approx(10, abs=4 * 10 * np.sqrt(2.1 / 300)), "the variance is the mean"
    starts = np.concatenate([[span.start / (30 * 8000) for span in one] for one in spans])
    deviation = np.sqrt(0.25 / len(starts))
    assert np.allclose(np.quantile(starts, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=5 * deviation)
    assert in_silence(bursts(per_minute=0), 30)[1] == {}


def test_kinds_and_folders_are_drawn_alike(tmp_path: Path) -> None:
    for number in range(20):
        sound = np.random.default_rng(number).integers(-9000, 9000, 3200).astype(np.int16)
        soundfile.write(tmp_path / f"{number}.wav", sound, 16000)
    _, values = in_silence(bursts(tmp_path, embedded=["clap", "cough"], per_minute=60), 600)
    of = np.asarray([int(value) for name, value in values.items() if name.startswith("source[")])
    assert np.allclose(np.bincount(of, minlength=3) / len(of), 1 / 3, atol=4 * np.sqrt(2 / 9 / len(of)))


def test_what_is_too_loud_is_limited_and_counted() -> None:
    sound, values = in_silence(bursts(per_minute=60, level_db=[-6, -6]), 30)
    assert values["limited_samples"] > 100
    highest = np.flatnonzero(np.abs(sound.astype(np.int64)) >= 32767)
    assert np.count_nonzero(np.diff(highest) == 1) < 0.02 * values["limited_samples"], "no tops are cut off"
    assert "limited_samples" not in in_silence(bursts(per_minute=60, level_db=[-60, -50]), 30)[1]


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
@pytest.mark.parametrize("kind", EMBEDDED)
def test_kinds_that_ship(kind: str, rate: int) -> None:
    """Each is as long as it says, the same for the same draws, and another for other draws, variants and splits."""
    for split in SPLITS:
        some = recordings(bursts(embedded=[kind], split=split))
        assert len(some) >= 2 and {one.split for one in some} == {split}
        clips = []
        for one in some[:3]:
            assert LENGTHS_S[kind][0] <= one.seconds <= LENGTHS_S[kind][1]
            count = int(one.seconds * rate)
            clips.append(one.clip(count, rate, np.random.default_rng(1)))
            assert len(clips[-1]) == count and np.isfinite(clips[-1]).all() and clips[-1].std() > 1e-4
            assert abs(clips[-1][-1]) < 0.01 * np.abs(clips[-1]).max(), "its end is no click"
        again = some[0].clip(len(clips[0]), rate, np.random.default_rng(1))
        assert np.array_equal(clips[0], again)
        assert not np.array_equal(again, some[0].clip(len(clips[0]), rate, np.random.default_rng(2)))
        assert not np.array_equal(again[:400], clips[1][:400])
    both_splits = [{repr(one) for one in recordings(bursts(embedded=[kind], split=split))} for split in SPLITS]
    assert not both_splits[0] & both_splits[1] and sum(map(len, both_splits)) == short_sounds.VARIANTS


def sounds(kind: str, rate: int = 16000) -> list[Signal]:
    """One of each variant."""
    variants = (ShortSound(kind, number) for number in range(short_sounds.VARIANTS))
    return [
        one.clip(int(one.seconds * rate), rate, np.random.default_rng(number)).astype(np.float64)
        for number, one in enumerate(variants)
    ]


def centroid_hz(sound: Signal, rate: int = 16000) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(np.sum(power * np.fft.rfftfreq(len(sound), 1 / rate)) / power.sum())


def strokes(sound: Signal, rate: int = 16000) -> int:
    """How often it starts: in a window of 5 ms, twice as much energy as in all of the 15 ms before it."""
    step = rate // 200
    after_silence = np.pad(sound, (3 * step, 0))
    energy = np.add.reduceat(after_silence**2, np.arange(0, len(after_silence), step))
    before = np.convolve(energy, np.ones(3))[: len(energy)]
    starts = (energy[3:] > 2 * before[2:-1]) & (energy[3:] > 0.02 * energy.max())
    return int(np.count_nonzero(np.diff(starts.astype(int), prepend=0) > 0))


def test_they_sound_like_what_they_are_called() -> None:
    centroids = {kind: np.median([centroid_hz(sound) for sound in sounds(kind)]) for kind in EMBEDDED}
    assert centroids["door"] < 300 < centroids["knock"] < 1200 < centroids["cough"] < 2000
    assert min(centroids["keyboard"], centroids["clatter"]) > 2500
    assert {strokes(sound) for sound in sounds("knock")} == {2, 3}
    assert min(strokes(sound) for sound in sounds("keyboard")) >= 3
    assert min(strokes(sound) for sound in sounds("clatter")) >= 2
    assert max(len(sound) for sound in sounds("clap")) <= 0.2 * 16000
    assert {*KINDS} == {*LENGTHS_S} == {*EMBEDDED}


def test_a_damped_tone_is_computed_from_few_of_its_samples() -> None:
    for count in (1, 2, 3, 4, 1000, 12345):
        exponent = complex(-0.003, 0.7)
        assert np.allclose(_powers(exponent, count), np.exp(exponent * np.arange(count)), rtol=1e-9, atol=1e-12)


def test_hardly_any_is_speech_to_voice_activity() -> None:
    """At the loudest that is drawn: otherwise it would move the times that are measured on audio."""
    taken = []
    for kind in EMBEDDED:
        for sound in sounds(kind):
            channel = np.zeros(32000, np.float32)
            channel[8000 : 8000 + len(sound)] = sound * 10 ** (-25 / 20) / np.sqrt(np.mean(sound**2))
            taken.append(bool(speech_segments(channel, 16000, shortest_s=0)))
    assert np.mean(taken) < 0.05


def split_of_only(path: Path) -> Split:
    """The split of the only file in a folder."""
    from duplexgen.pipeline.acoustics.folder import examined, stretches

    (recording,) = stretches(path, examined(path))
    return recording.split


def test_a_short_file_is_heard_as_a_whole_and_of_a_long_one_the_loudest_piece(tmp_path: Path) -> None:
    """At the file's own rate, it is found in the file; and what is silent in the file is no burst."""
    knock = np.random.default_rng(0).integers(-9000, 9000, 4800).astype(np.int16)
    for name, padding in (("short", 0), ("long", 16000)):
        folder = tmp_path / name
        folder.mkdir()
        soundfile.write(folder / "knock.wav", np.pad(knock, padding), 16000)
        effect = bursts(folder, split=split_of_only(folder), longest_s=0.5, per_minute=20)
        heard_, values = in_silence(effect, 120)
        spans = places(values)
        whole: list[bool] = []
        for number in alone(spans):
            piece = heard_[spans[number]].astype(float)
            assert len(piece) == (4800 if name == "short" else 8000)
            file = np.pad(knock, padding).astype(float)
            found = np.correlate(np.pad(file, 8000), piece, "valid")
            at = int(np.argmax(found))
            part = np.pad(file, 8000)[at : at + len(piece)]
            middle = slice(80, -80)  # without what is faded of a piece
            assert np.corrcoef(part[middle], piece[middle])[0, 1] > 0.9999
            whole.append(bool(np.count_nonzero(part) > 4000))
        assert len(whole) > 10 and np.mean(whole) > 0.6, "of eight pieces, the loudest has nearly all of the knock"
        assert all(re.sub(r"\[\d+\]", "", key) != "limited_samples" for key in values)


def test_silence_is_no_burst(tmp_path: Path) -> None:
    """Most pieces of this file are silent: there, a burst is left out of the sound and of the row."""
    sound = np.zeros(16000 * 500, np.int16)
    sound[:8000] = np.random.default_rng(0).integers(-9000, 9000, 8000)
    soundfile.write(tmp_path / "rare.flac", sound, 16000)
    effect = bursts(tmp_path, split=split_of_only(tmp_path), per_minute=60)
    heard_, values = in_silence(effect, 60)
    spans = places(values)
    assert len(spans) < 20 and np.isfinite(heard_).all()
    assert all(heard_[span].any() for span in spans)
