"""Recipes that extend others: what comes out, and on which line of which file a mistake stands."""

from pathlib import Path

import pytest

from duplexgen.pipeline.commands import checking
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.layouts.bayling import BaylingSection
from duplexgen.pipeline.layouts.flm import FLMSection
from duplexgen.pipeline.recipe.file import read, shipped

BASE = """\
name: base
sources:
  - name: talk
    shape: ultrachat
    path: talk.jsonl
speech:
  engine: kokoro
  assistant_voice: af_heart
  gate:
    max_silence_s: 2.0
timing:
  scenario: turn_taking
  next_turn_gap_s: [0.5, 3.0]
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "talk.jsonl").write_text("")
    path = tmp_path / "base" / "base.yaml"
    path.write_text(BASE)
    return path


def written(base: Path, text: str) -> Path:
    path = base.parent.parent / "mine.yaml"
    path.write_text(text)
    return path


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        checking.load(str(path))
    return str(error.value)


def test_sections_are_merged_lists_replaced_and_null_takes_out(base: Path) -> None:
    path = written(
        base,
        "extends: base/base.yaml\nname: mine\nspeech:\n  user_voices: held_out\n  gate: null\n"
        "timing: {next_turn_gap_s: [1.0, 2.0]}\n",
    )
    assert read(path).raw == {
        "name": "mine",
        "sources": [{"name": "talk", "shape": "ultrachat", "path": "talk.jsonl"}],
        "speech": {"engine": "kokoro", "assistant_voice": "af_heart", "user_voices": "held_out"},
        "timing": {"scenario": "turn_taking", "next_turn_gap_s": [1.0, 2.0]},
    }
    recipe, folder = checking.load(str(path))
    assert (recipe.name, recipe.speech.gate) == ("mine", None)
    assert folder == base.parent, "paths of sources start where they are said"


def test_another_layout_takes_over_no_key(base: Path) -> None:
    extended = written(base, "extends: turn_taking\nname: mine\nlayout:\n  name: flm\n  text_lead: 3\n")
    layout = checking.load(str(extended))[0].layout
    assert layout == FLMSection(text_lead=3)
    same = written(base, "extends: turn_taking\nname: mine\nlayout:\n  name: bayling\n  user_tokens: 20\n")
    assert checking.load(str(same))[0].layout == BaylingSection(user_tokens=20, text_tokens=5)


def test_recipe_that_extends_one_that_extends_one_that_ships(base: Path) -> None:
    (base.parent / "between.yaml").write_text("extends: turn_taking\nname: between\nseed: 4\n")
    recipe, folder = checking.load(str(written(base, "extends: base/between.yaml\nname: mine\n")))
    shipped_one, shipped_folder = checking.load("turn_taking")
    assert recipe == shipped_one.model_copy(update={"name": "mine", "seed": 4})
    assert folder == shipped_folder


def test_a_file_beside_the_recipe_wins_over_one_that_ships(base: Path) -> None:
    (base.parent.parent / "turn_taking").write_text(BASE.replace("path: ", "path: base/"))
    assert checking.load(str(written(base, "extends: turn_taking\nname: mine\n")))[0].sources[0].name == "talk"


def test_mistakes_are_shown_on_the_line_of_the_file_they_stand_in(base: Path) -> None:
    base.write_text(BASE.replace("af_heart", "af_hart") + "seed: -1\nseed: -2\n")
    path = written(base, "name: mine\nextends: base/base.yaml\npartition_size: 0\nspeech:\n  loudness: -20\n")
    assert refused(path).splitlines()[1:] == [
        f"  {path}:3: partition_size: Input should be greater than 0, got 0",
        f"  {path}:5: speech.loudness: is not a key of a recipe here; did you mean loudness_lufs?",
        f"  {base}:15: seed: Input should be greater than or equal to 0, got -2",
        f"  {base}:15: seed: appears twice, first on line 14",
    ]


def test_what_a_replaced_list_said_is_forgotten(base: Path) -> None:
    base.write_text(BASE.replace("    path", "    shape: alpaca\n    path").replace("talk.jsonl", "gone.jsonl"))
    path = written(base, "extends: base/base.yaml\nname: mine\nsources:\n  - {name: x, shape: alpaca, path: y.json}\n")
    assert f"{path}:4: sources[0].path: no such file or folder: {path.parent / 'y.json'}" in refused(path)
    assert "gone" not in refused(path)


def test_key_that_is_taken_out_and_must_be_said(base: Path) -> None:
    path = written(base, "extends: base/base.yaml\nname: mine\ntiming:\n  scenario: null\n")
    assert f"{path}:4: timing.scenario: is missing" in refused(path)


@pytest.mark.parametrize("named", ["nowhere.yaml", "turn_talking", "[turn_taking]", "", "base", "base/../base"])
def test_no_such_recipe(base: Path, named: str) -> None:
    path = written(base, f"name: mine\nextends: {named}\n")
    said = refused(path)
    assert said.startswith(f"{path}:2: extends: no such recipe, got ")
    assert said.endswith(f"relative to {path.parent}, or the name of one that ships: {', '.join(shipped())}.")


def test_recipes_that_extend_each_other(base: Path) -> None:
    path = written(base, "name: mine\nextends: base/base.yaml\n")
    base.write_text(f"{BASE}extends: ../mine.yaml\n")
    assert refused(path) == (
        f"{base}:14: extends: ../mine.yaml extends this recipe itself. Expected one that does not."
    )
    path.write_text("extends: mine.yaml\n")
    assert refused(path).startswith(f"{path}:1: extends: mine.yaml extends this recipe itself.")


def test_extended_recipe_that_is_no_recipe(base: Path) -> None:
    base.write_text("name: [")
    assert refused(written(base, "extends: base/base.yaml\n")).startswith(f"{base}: line 1: not YAML")


def test_recipes_of_another_kind_extend_those_of_theirs(base: Path) -> None:
    from duplexgen.pipeline.pairs.recipe import PairsRecipe
    from duplexgen.pipeline.recipe.file import RECIPES, load

    path = written(base, "extends: timing\nname: mine\nturn: last\n")
    recipe, _ = load(str(path), PairsRecipe, RECIPES / "pairs")
    assert (recipe.name, recipe.turn, recipe.reply_delay_s.low) == ("mine", "last", 2.0)
