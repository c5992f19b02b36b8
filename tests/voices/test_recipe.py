"""Recipes of voice banks, and the command that reads them. No voice is made here."""

from pathlib import Path

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.recipe.file import load, shipped
from duplexgen.pipeline.voices.recipe import VOICES_RECIPES, VoicesRecipe
from tests.command import duplexgen


def read(text: str, folder: Path) -> VoicesRecipe:
    (folder / "mine.yaml").write_text(f"extends: cloning\n{text}\n", encoding="utf-8")
    return load(str(folder / "mine.yaml"), VoicesRecipe, VOICES_RECIPES)[0]


def test_what_ships_says_the_defaults() -> None:
    assert shipped(VOICES_RECIPES) == ["cloning"]
    recipe, _ = load("cloning", VoicesRecipe, VOICES_RECIPES)
    assert recipe.model_copy(update={"description": ""}) == VoicesRecipe()


@pytest.mark.parametrize(("said", "code"), [("EN-us", "en"), ("Mandarin", "zh"), ("jv", "jw")])
def test_a_language_is_known_by_its_code_and_other_names(said: str, code: str, tmp_path: Path) -> None:
    assert read(f"language: {said}", tmp_path).language == code


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("language: xx", "mine.yaml:2: language: language 'xx': expected one that Whisper knows"),
        ("min_dnsmos: 6", "mine.yaml:2: min_dnsmos: "),
        ("held_out: 0.5", "mine.yaml:2: held_out: is not a key of a recipe here"),
        ("shortest_s: 20.0", "expected shortest_s of at most longest_s, 15"),
        ("data_set: {splits: test}", "mine.yaml:2: data_set.splits: "),
        ("whisper: s3://models/whisper", "is an address"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        read(text, tmp_path)
    assert says in str(refused.value)


def test_a_mistake_ends_the_command_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: cloning\nmax_similarity: 2\n", encoding="utf-8")
    refused = duplexgen("voices", "prepare", "in", "--out", "bank", "--recipe", "mine.yaml", cwd=tmp_path)
    assert refused.status == 2 and "mine.yaml:2: max_similarity" in refused.said
    assert not (tmp_path / "bank").exists()


def test_what_is_a_key_of_the_recipe_is_no_option(tmp_path: Path) -> None:
    helped = duplexgen("voices", "prepare", "--help", cwd=tmp_path).said
    keys = ("whisper", "language", "license", "min_dnsmos", "max_similarity", "min_coherence", "held_out_share", "seed")
    for key in keys:
        option = f"--{key.removesuffix('_share').replace('_', '-')}"
        assert duplexgen("voices", "prepare", "in", "--out", "bank", option, "1", cwd=tmp_path).status == 2
        assert key in helped and key in VoicesRecipe.model_fields
