"""Where noise comes from: folders as they are published or should not be, what ships, and what is held out."""

import os
import pickle
import re
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from duplexgen.pipeline.acoustics import babble, folder
from duplexgen.pipeline.acoustics.effects import EFFECTS
from duplexgen.pipeline.acoustics.levels import rms
from duplexgen.pipeline.acoustics.noise import EMBEDDED, Noise
from duplexgen.pipeline.acoustics.recordings import Recording, Split
from duplexgen.pipeline.acoustics.sources import FromSources, SourcesSection
from duplexgen.pipeline.acoustics.synthesized import KINDS, PERIOD_BITS, Synthesized, _tones
from duplexgen.pipeline.dialogue import Timeline, Track
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.making.stage import stage_key
from duplexgen.pipeline.speech.bank import voices
from tests.stages.test_tracks import channels, rows_of, stage
from tests.test_held_out import HELD_OUT, TRAINED_ON, load, sentences, written

Folder = Callable[..., Path]
SPLITS: tuple[Split, Split] = ("train", "held_out")


NAMES = pytest.mark.parametrize("name", ["noise", "bursts"])  # effects that take sounds from folders


def effect_of(name: str, *folders: Path, **keys: Any) -> FromSources:
    section = EFFECTS[name].Spec.model_validate({"effect": name, "folders": [str(one) for one in folders]} | keys)
    effect = EFFECTS[name](section)
    assert isinstance(effect, FromSources)
    return effect


def noise(*folders: Path, **keys: Any) -> Noise:
    effect = effect_of("noise", *folders, **keys)
    assert isinstance(effect, Noise)
    return effect


def recordings(effect: FromSources) -> list[Recording]:
    return [recording for source in effect.sources for recording in source]


def in_silence(
    effect: FromSources, seconds: float = 20, rate: int = 16000, seed: int = 0
) -> tuple[Any, dict[str, float]]:
    """The noise that a silent user has, int16 [samples], and what was drawn."""
    track = Track(np.zeros((2, round(seconds * rate)), np.int16), rate)
    heard, values = effect.apply(track, Timeline((), track.samples.shape[1]), np.random.default_rng(seed))
    assert not heard.samples[1].any()
    return heard.samples[0], dict(values)


def test_folders_as_they_are_published(noise_folder: Folder, said: pa.Table) -> None:
    """Any format, rate and number of channels, at any depth; and every file of the split is drawn some time."""
    effect = noise(noise_folder(20), clip_s=[0.1, 0.4], silence_probability=0)
    effect.load()
    files = effect.files[0]
    assert [file.problem for file in files] == [None] * 20
    assert {file.rate for file in files} == {8000, 16000, 44100, 48000}
    for rate in (8000, 16000, 48000):
        sound, values = in_silence(effect, 60, rate)
        assert {value for name, value in values.items() if name.startswith("recording[")} == {
            *range(len(recordings(effect)))
        }
        for number in range(8):
            start, length = int(values[f"start_sample[{number}]"]), int(values[f"samples[{number}]"])
            level = 20 * np.log10(np.sqrt(np.mean((sound[start : start + length] / 32768) ** 2)) + 1e-6)
            assert level == pytest.approx(values[f"level_db[{number}]"], abs=0.1)


def test_a_clip_is_a_piece_of_its_recording(tmp_path: Path) -> None:
    """At the file's own rate it is found in the file, sample for sample but for its level."""
    ramp = np.random.default_rng(0).integers(-9000, 9000, 32000).astype(np.int16)
    soundfile.write(tmp_path / "noise.wav", ramp, 16000)
    effect = noise(
        tmp_path, split=_split_of_only(tmp_path), clip_s=[0.5, 0.5], silence_probability=0, level_db=[-20, -20]
    )
    sound, _ = in_silence(effect, 0.5)
    places = np.correlate(ramp.astype(float), sound.astype(float))
    first = int(np.argmax(places))
    piece = ramp[first : first + len(sound)].astype(float)
    assert np.corrcoef(piece, sound)[0, 1] > 0.99999


def _split_of_only(path: Path) -> Split:
    (recording,) = folder.stretches(path, folder.examined(path))
    return recording.split


@NAMES
def test_held_out_noise_is_in_no_training_set(noise_folder: Folder, tmp_path: Path, name: str) -> None:
    """Content decides: whatever a file is called, wherever it lies, and whatever lies beside it."""
    published = noise_folder(80)

    def sums(path: Path, split: Split) -> set[str]:
        return {one.file.sha256 for one in recordings(effect_of(name, path, split=split))}  # type: ignore[attr-defined]

    by_split = {split: sums(published, split) for split in SPLITS}
    assert not by_split["train"] & by_split["held_out"] and len(by_split["train"] | by_split["held_out"]) == 80
    assert 2 <= len(by_split["held_out"]) <= 20
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, path in enumerate(sorted(published.rglob("noise-*"))):
        if number % 5:
            shutil.copyfile(path, renamed / f"{number:03d}-again{path.suffix}")
    for split in SPLITS:
        assert sums(renamed, split) <= by_split[split]


def test_a_long_file_is_several_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As RNNoise publishes hours in one file: both splits have some of it, and no sample is in both."""
    monkeypatch.setattr(folder, "STRETCH_S", 1.0)
    (tmp_path / "hours.sw").write_bytes(np.random.default_rng(1).integers(-999, 999, 48000 * 60, np.int16).tobytes())
    places = [
        (one.split, one.first, one.first + one.frames) for one in folder.stretches(tmp_path, folder.examined(tmp_path))
    ]
    assert len(places) == 60 and {split for split, _, _ in places} == {*SPLITS}
    assert [start for _, start, _ in places[1:]] == [end for _, _, end in places[:-1]]
    assert (places[0][1], places[-1][2]) == (0, 48000 * 60)


def test_a_clip_longer_than_memory_is_read_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "long.sw"
    with path.open("wb") as file:  # 128 MB, of which the disk holds a little
        file.truncate(1 << 27)
        file.seek(1 << 26)
        file.write(np.random.default_rng(0).integers(-5000, 5000, 4800, np.int16).tobytes())
    tracemalloc.start()
    (recording, *_) = folder.stretches(tmp_path, folder.examined(tmp_path))
    recording.clip(16000, 16000, np.random.default_rng(0))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recording.file.frames == 1 << 26 and most < 1 << 24


def _damaged(folder_: Path) -> dict[str, str]:
    """Files that are no noise, and why."""
    sound = np.random.default_rng(0).standard_normal(16000) * 0.1
    soundfile.write(folder_ / "one-sample.wav", sound[:1], 16000)
    soundfile.write(folder_ / "short.wav", sound[:1599], 16000)
    soundfile.write(folder_ / "silence.flac", np.zeros(16000), 16000)
    soundfile.write(folder_ / "hiss.wav", sound * 1e-4, 16000, subtype="FLOAT")
    soundfile.write(folder_ / "opposite.wav", np.stack([sound, -sound], 1), 16000)
    soundfile.write(folder_ / "infinite.wav", np.where(sound > 0.3, np.inf, sound), 16000, subtype="FLOAT")
    soundfile.write(folder_ / "slow.wav", sound, 1000)
    soundfile.write(folder_ / "cut.flac", sound, 16000)
    (folder_ / "cut.flac").write_bytes((folder_ / "cut.flac").read_bytes()[:9000])
    (folder_ / "text.wav").write_text("<html>not found</html>")
    (folder_ / "empty.flac").write_bytes(b"")
    (folder_ / "empty.sw").write_bytes(b"")
    (folder_ / "gone.wav").symlink_to(folder_ / "nowhere")
    os.mkfifo(folder_ / "pipe.wav")
    return {
        **dict.fromkeys(("one-sample.wav", "short.wav", "empty.sw"), "is too short"),
        **dict.fromkeys(("silence.flac", "hiss.wav", "opposite.wav"), "is silent"),
        **dict.fromkeys(("text.wav", "empty.flac"), "is damaged"),
        "infinite.wav": "not numbers",
        "slow.wav": "has 1000 Hz",
        "cut.flac": "damaged|cut off",
        "gone.wav": "cannot be read",
        "pipe.wav": "no plain file",
    }


@NAMES
def test_what_is_no_noise_is_left_out_and_said(noise_folder: Folder, tmp_path: Path, name: str) -> None:
    mixed = noise_folder(12)
    problems = _damaged(mixed)
    effect = effect_of(name, mixed)
    found = {file.name: file.problem for file in effect.files[0] if file.problem}
    assert found.keys() == problems.keys()
    assert [file for file, why in problems.items() if not re.search(why, found[file])] == []
    (line,) = effect.about()
    assert "left out: " in line and "and 10 more" in line
    (print_,) = effect.fingerprint()["folders"]
    assert (print_["files"], print_["left_out"]) == (12, 13)
    only = tmp_path / "only"
    only.mkdir()
    _damaged(only)
    with pytest.raises(UserError, match=f"no file there can be used as {name}; left out: "):
        effect_of(name, only).fingerprint()


@NAMES
def test_a_split_without_a_recording(noise_folder: Folder, name: str) -> None:
    few = noise_folder(1)
    other: Split = "train" if _split_of_only(few) == "held_out" else "held_out"
    with pytest.raises(UserError, match=f"none of its recordings is in the split {other}.*expected more files"):
        effect_of(name, few, split=other).fingerprint()


def test_silence_within_a_recording_is_no_clip(tmp_path: Path) -> None:
    """A door that shuts once in a minute: other pieces are tried, and if all are silent, the clip is silence."""
    sound = np.zeros(16000 * 60, np.int16)
    sound[30 * 16000 : 31 * 16000] = np.random.default_rng(0).integers(-9000, 9000, 16000)
    soundfile.write(tmp_path / "door.wav", sound, 16000)
    effect = noise(tmp_path, split=_split_of_only(tmp_path), clip_s=[5, 5], silence_probability=0)
    heard, values = in_silence(effect, 300)
    clips = [name for name in values if name.startswith("samples[")]
    loud = [name for name in values if name.startswith("level_db[")]
    assert 0 < len(loud) < len(clips) and np.isfinite(heard).all()


@NAMES
def test_a_file_that_changes_during_a_build_stops_it(noise_folder: Folder, name: str) -> None:
    effect = effect_of(name, noise_folder(3), embedded=[])
    effect.load()
    for path in noise_folder(3).rglob("noise-*"):
        path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError, match="has changed since this build was started: start it again"):
        in_silence(effect)


def test_files_are_read_as_a_whole_once(noise_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then only where they have changed, and a worker reads none of them so."""
    path = noise_folder(8)
    first = noise(path).fingerprint()
    heard: list[str] = []

    def remember(path: Path) -> tuple[int, int, str | None]:
        heard.append(path.name)
        return 0, 0, "is not asked"

    monkeypatch.setattr(folder, "_heard", remember)
    effect = noise(path)
    assert effect.fingerprint() == first and heard == []
    worker = pickle.loads(pickle.dumps(effect))
    shutil.rmtree(path.parent / "cache")
    worker.load()
    assert recordings(worker) == recordings(effect) and heard == []
    changed = next(path.rglob("*.flac"))
    os.utime(changed, (1, 1))
    noise(path).files  # noqa: B018
    assert len(heard) == 8, "without the cache"


@NAMES
def test_what_is_in_a_folder_is_in_the_key_and_where_it_lies_is_not(
    noise_folder: Folder, tmp_path: Path, name: str
) -> None:
    kind = {"noise": "hum", "bursts": "door"}[name]

    def key(path: Path, **keys: Any) -> str:
        return stage_key(stage(acoustics=[{"effect": name, "folders": [str(path)]} | keys]), [])

    one = noise_folder(6, "one")
    other = tmp_path / "other"
    shutil.copytree(one, other)
    assert key(one) == key(other) != key(one, level_db=[-60, -40]) != key(one, split="train", embedded=[kind])
    next(other.rglob("*.flac")).unlink()
    assert key(one) != key(other)


def test_folders_and_kinds_are_drawn_alike(noise_folder: Folder) -> None:
    effect = noise(noise_folder(30), embedded=["hum", "babble"], clip_s=[0.1, 0.1])
    _, values = in_silence(effect, 200)
    drawn = [value for name, value in values.items() if name.startswith("source[")]
    shares = np.bincount(np.asarray(drawn, int)) / len(drawn)
    assert np.allclose(shares, 1 / 3, atol=4 * np.sqrt(2 / 9 / len(drawn)))


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
@pytest.mark.parametrize("kind", EMBEDDED)
def test_noises_that_ship(kind: str, rate: int) -> None:
    """Of the length that is asked for, audible, the same for the same draws, and another in each variant and split."""
    for split in SPLITS:
        some = recordings(noise(embedded=[kind], split=split))[:3]
        assert len(some) >= 2 and {one.split for one in some} == {split}
        clips = [one.clip(rate, rate, np.random.default_rng(1)) for one in some]
        assert all(len(clip) == rate and np.isfinite(clip).all() and clip.std() > 1e-4 for clip in clips)
        again = some[0].clip(rate, rate, np.random.default_rng(1))
        assert np.array_equal(clips[0], again) and not np.array_equal(clips[0], clips[1])
        assert not np.array_equal(again, some[0].clip(rate, rate, np.random.default_rng(2)))
    both = [{repr(one) for one in recordings(noise(embedded=[kind], split=split))} for split in SPLITS]
    assert not both[0] & both[1]


def test_the_colours_of_noises() -> None:
    """White is flat, and pink falls by 3 dB per octave."""
    for kind, per_octave in (("white", 0.0), ("pink", -3.0)):
        slopes = []
        for recording in recordings(noise(embedded=[kind])):
            spectrum = np.abs(np.fft.rfft(recording.clip(32000, 16000, np.random.default_rng(0)))) ** 2
            bands = [10 * np.log10(spectrum[200 * 2**octave : 400 * 2**octave].mean()) for octave in range(6)]
            slopes.append(np.polyfit(range(6), bands, 1)[0])
        assert np.mean(slopes) == pytest.approx(per_octave, abs=0.3)
    assert {*KINDS, "babble"} == {*EMBEDDED}


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_tones_are_sums_of_sines(rate: int) -> None:
    """Of a period that is no whole number of samples, up to the highest that the rate can have, over a long time."""
    amplitudes = np.random.default_rng(0).uniform(0.2, 1, 60)
    hz, seconds = round(87.31 / rate * 2**32) / 2**32 * rate, 10
    tones = _tones(hz, amplitudes, seconds * rate, rate, np.random.default_rng(1))
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, 60)
    time = np.arange(seconds * rate) / rate - 0.5 / (2**PERIOD_BITS * hz)  # between two places of the period
    expected = np.zeros(len(time))
    for number, (amplitude, phase) in enumerate(zip(amplitudes, phases, strict=True), 1):
        if number * hz < rate / 2:
            expected += amplitude * np.cos(2 * np.pi * number * hz * time + phase)
    assert rms(tones - expected) < 10 ** (-50 / 20) * rms(expected)


def test_no_noise_repeats_itself() -> None:
    """In a clip that is long, white noise is nowhere like itself a while ago."""
    clip = Synthesized("white", 0).clip(8000 * 100, 8000, np.random.default_rng(0))
    spectrum = np.fft.rfft(clip, 2 * len(clip))
    alike = np.fft.irfft(np.abs(spectrum) ** 2)[: len(clip)]
    assert np.abs(alike[100:]).max() < 0.02 * alike[0]


def test_held_out_babble_is_that_of_held_out_voices() -> None:
    assert {voices()[name].split for name in babble.speakers("held_out")} == {"eval"}
    assert {voices()[name].split for name in babble.speakers("train")} == {"train"}
    from duplexgen.pipeline.assets.babble import SENTENCES

    assert {*SENTENCES} == {*babble.speakers("train"), *babble.speakers("held_out")}
    said = {re.sub(r"\W+", "", sentence).lower() for sentence in SENTENCES.values()}
    assert len(said) == len(SENTENCES)
    for name in (*HELD_OUT, "turn_taking"):
        assert not said & sentences(written(name))


def test_recipes_that_ship_hold_the_right_noise_out() -> None:
    splits = {
        name: {one.split for one in load(name)[0].acoustics if isinstance(one, SourcesSection)}
        for name in (*HELD_OUT, *TRAINED_ON)
    }
    assert splits["held_out_turn_taking_noisy"] == {"held_out"} and splits["noisy"] == {"train"}
    assert all(found <= {"held_out" if name in HELD_OUT else "train"} for name, found in splits.items())


@NAMES
def test_a_track_with_noise_of_a_folder(noise_folder: Folder, said: pa.Table, name: str) -> None:
    """Through the stage; a copy of the stage, as a worker has it, makes the same bytes."""
    of_folder = {"effect": name, "folders": [str(noise_folder(10))]} | ({"per_minute": 60} if name == "bursts" else {})
    made = stage(acoustics=[of_folder], sample_rate=22050)
    made.shaped_by()
    copy = pickle.loads(pickle.dumps(made))
    assert rows_of(made, said) == rows_of(copy, said)
    for row, clean in zip(rows_of(made, said), rows_of(stage(sample_rate=22050), said), strict=True):
        assert not np.array_equal(channels(row)[0], channels(clean)[0])
