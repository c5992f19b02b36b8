"""Acoustics in whole data sets: the same bytes with any partitions, rows that verify, pairs, cards, what is shown."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from duplexgen.pipeline.audio import flac
from duplexgen.pipeline.commands.build import build, prepare
from duplexgen.pipeline.commands.doctor import examine
from duplexgen.pipeline.commands.planned import planned
from duplexgen.pipeline.commands.report import _acoustics_lines, describe_dataset, describe_dialogue, describe_plan
from duplexgen.pipeline.dataset.dialogues import Dialogues
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.pairs.build import build as build_pairs
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.metrics.stimuli import stimuli
from duplexgen.training.sequences import SequenceFormat
from tests.acoustics.test_effects import MEASURED
from tests.corpus import recipe_dict, run_stages
from tests.pairs.conftest import pairs_recipe

LOUD: list[dict[str, Any]] = [
    {"effect": "gain", "probability": 1.0, "gain_db": [-60, -50]},  # to -40 dB: as soft as the loudest noise
    {"effect": "leak", "probability": 1.0, "gain": [0.2, 0.2]},
    {"effect": "noise", "level_db": [-40, -40], "silence_probability": 0.0, "clip_s": [1, 3]},
    {"effect": "bursts", "per_minute": 60, "level_db": [-30, -20]},
]
Builder = Callable[..., Path]


@pytest.fixture
def built(corpus: Path, tmp_path: Path) -> Builder:
    """A data set of four dialogues, made in this process."""

    def make(name: str, scenario: str = "interruption", **changes: Any) -> Path:
        recipe = Recipe.model_validate(recipe_dict(corpus, scenario) | {"name": name} | changes)
        work = tmp_path / f"work-{recipe.partition_size}"
        run_stages(prepare(recipe, Path("/"), work, 4, Display()))
        build(recipe, Path("/"), tmp_path / name, work, 4, Display())
        return tmp_path / name

    return make


def audio(row: dict[str, Any]) -> np.ndarray:
    samples: np.ndarray = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")[0].T
    return samples


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_noise_as_loud_as_speech_still_verifies(built: Builder, scenario: str) -> None:
    """With another size of partitions it has the same rows; and the assistant's channel is that of the clean set."""
    noisy, clean = built("noisy", scenario, acoustics=LOUD), built("clean", scenario)
    assert list(verify(noisy, lambda _: None)) == []
    rows = list(Dataset(noisy).rows())
    others = Dataset(built("other", scenario, acoustics=LOUD, partition_size=1)).rows()
    assert [row | MEASURED for row in rows] == [row | MEASURED for row in others]
    for row, other in zip(rows, Dataset(clean).rows(), strict=True):
        assert audio(row)[1].tobytes() == audio(other)[1].tobytes()
        assert (row["assistant_codes"], row["events"]) == (other["assistant_codes"], other["events"])
        assert row["user_codes"] != other["user_codes"] and row["acoustics"] and not other["acoustics"]


def test_a_changed_sample_of_a_noisy_channel_is_found(built: Builder) -> None:
    """Noise excuses no row whose codes are not those of its audio, and no sound in the assistant's silence."""
    dataset = Dataset(built("noisy", acoustics=LOUD))
    checker = Dialogues().checker(dataset).checker
    row = next(dataset.rows())
    assert list(checker.check(row)) == []
    samples = audio(row).T.copy()
    samples[:1280, 1] = np.random.default_rng(0).integers(-3000, 3000, 1280)
    row["audio"]["bytes"] = flac.encode(samples, 16000)
    messages = list(checker.check(row))
    assert "the assistant's channel is not silent between events" in messages
    assert any("assistant_codes are not the codes of the audio" in message for message in messages)


@pytest.mark.parametrize(("scenario", "retokenize"), [("interruption", False), ("turn_taking", True)])
def test_both_sides_of_a_pair_hear_the_same(built: Builder, tmp_path: Path, scenario: str, retokenize: bool) -> None:
    source = built("noisy", scenario, acoustics=LOUD)
    build_pairs(pairs_recipe(retokenize=retokenize), source, tmp_path / "pairs", tmp_path / "work", Display())
    assert list(verify(tmp_path / "pairs", lambda _: None)) == []
    originals = {row["dialogue_id"]: np.reshape(row["input_ids"], (-1, 25)) for row in Dataset(source).rows()}
    for row in Dataset(tmp_path / "pairs").rows():
        chosen, rejected = (np.reshape(row[f"{side}_input_ids"], (-1, 25))[:, :10] for side in ("chosen", "rejected"))
        assert np.array_equal(chosen, rejected)
        heard = originals[row["dialogue_id"]][: len(chosen), :10]
        assert np.array_equal(chosen[: len(heard)], heard), "and it is what the microphone heard"


def test_people_are_told_of_it(built: Builder, corpus: Path, tmp_path: Path) -> None:
    dataset = Dataset(built("noisy", acoustics=LOUD))
    shown = describe_dialogue(dataset, "0")
    assert "gain  [0] drawn_gain_db -5" in shown and "noise  snr_db " in shown and "leak  delay_samples " in shown
    assert re.search(
        r"bursts  \[0\] start_sample \d+, end_sample \d+, level_db -\d\d\.\d+, source \d, recording \d+\n", shown
    )
    table = describe_dataset(dataset)
    card = (dataset.path / "README.md").read_text(encoding="utf-8")
    for title in (
        "User's speech against noise (dB)",
        "Level of a clip of noise (dB)",
        "Level of a burst of noise (dB)",
        "Delay of the assistant's leak (s)",
    ):
        assert title in table and title in card
    assert "The effects, in order: " in card and "silence_probability" in card
    assert "Nothing was done to it." in (built("clean") / "README.md").read_text(encoding="utf-8")
    recipe = Recipe.model_validate(recipe_dict(corpus) | {"acoustics": LOUD})
    plan = describe_plan(planned(prepare(recipe, Path("/"), tmp_path / "plan", 4, Display())))
    assert "noise        embedded: white, pink, hum, fan, clicks, babble" in plan
    assert "bursts       embedded: door, knock, cough, keyboard, clap, clatter" in plan


def test_the_place_of_a_burst_is_shown_to_the_sample() -> None:
    drawn = [{"effect": "bursts", "quantity": f"start_sample[{number}]", "value": 1234567.0} for number in range(2)]
    assert [*_acoustics_lines(drawn)] == ["   bursts  [0] start_sample 1234567", "   bursts  [1] start_sample 1234567"]


@pytest.mark.parametrize("name", ["noise", "bursts"])
def test_a_build_without_usable_noise_does_no_work(corpus: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "nothing.wav", np.zeros(16000), 16000)
    effect = {"effect": name, "folders": [str(tmp_path / "noise")]}
    recipe = Recipe.model_validate(recipe_dict(corpus) | {"acoustics": [effect]})
    with pytest.raises(UserError, match=rf"no file there can be used as {name}; left out: nothing\.wav is silent"):
        build(recipe, Path("/"), tmp_path / "out", tmp_path / "work", 4, Display())
    assert not (tmp_path / "out").exists() and not [*tmp_path.glob("work/tracks*")]


def test_a_question_is_asked_with_its_noise_until_the_end(built: Builder) -> None:
    """A model that is evaluated hears noise after the question, too, where a clean set has silence."""
    sequence_format = SequenceFormat.read(built("clean", "turn_taking"))
    for name, effects in (("noisy", LOUD[2:]), ("clean", [])):
        for row in Dataset(built(name, "turn_taking", acoustics=effects)).rows():
            (one,) = stimuli(row, sequence_format)
            end, user = one.user_end_sample, audio(row)[0]
            next_start = min(of["start_sample"] for of in row["events"][1:] if of["channel"] == "user")
            assert np.array_equal(one.samples[:next_start], user[: min(next_start, len(one.samples))])
            after = one.samples[end:].astype(float)
            levels = [np.sqrt(np.mean(piece**2)) for piece in np.array_split(after, 7)]
            assert min(levels) > 200 if effects else max(levels) == 0


@pytest.mark.parametrize("name", ["noise", "bursts"])
def test_doctor_says_what_is_missing(
    noise_folder: Callable[..., Path], corpus: Path, tmp_path: Path, name: str
) -> None:
    def says(*effects: dict[str, Any]) -> dict[str, list[tuple[bool, str]]]:
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(recipe_dict(corpus) | {"acoustics": [*effects]}))
        found: dict[str, list[tuple[bool, str]]] = {}
        for one in examine(str(path), lambda name: (tmp_path / "out", tmp_path / "work")):
            found.setdefault(one.part, []).append((one.is_well, one.says))
        return found

    (tmp_path / "empty").mkdir()
    missing = says(*({"effect": name, "folders": [str(tmp_path / folder)]} for folder in ("empty", "nowhere")))
    assert [is_well for is_well, _ in missing["recipe"]] == [False, False]
    assert "acoustics[0].folders[0]: no sound in " in missing["recipe"][0][1]
    assert "acoustics[1].folders[0]: " in missing["recipe"][1][1] and "is no folder" in missing["recipe"][1][1]
    folder = noise_folder(8)
    (folder / "broken.flac").write_bytes(b"fLaC, and no more")
    ((is_well, line),) = says({"effect": name, "folders": [str(folder)]})[name]
    assert is_well and "recordings of the split train; left out: broken.flac is damaged" in line
    only = tmp_path / "only"
    only.mkdir()
    (only / "broken.flac").write_bytes(b"fLaC, and no more")
    ((is_well, line),) = says({"effect": name, "folders": [str(only)]})[name]
    assert not is_well and f"no file there can be used as {name}" in line
