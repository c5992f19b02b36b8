"""Paths that name nothing on a file system are refused, wherever a person gives one, and nothing is made of them."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.commands import checking
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.recipe.file import RECIPES, load
from duplexgen.pipeline.storage import paths
from duplexgen.training.recipe import TRAINING_RECIPES, DPORecipe, SFTRecipe
from tests.command import duplexgen
from tests.corpus import recipe_dict

STORES = [
    "s3://bucket/x",
    "gs://bucket/x",
    "hdfs://name:9000/x",
    "https://host/x",
    "file:///data/x",
    "S3A://b/x",
    "az+x:/b",
]
OF_STORES = [
    ["build", "turn_taking", "--out", "AT"],
    ["plan", "turn_taking", "--out", "AT"],
    ["doctor", "turn_taking", "--out", "AT"],
    ["verify", "AT"],
    ["inspect", "AT"],
]
"""They take the first of STORES: tests/test_object_store.py."""
COMMANDS = [
    *OF_STORES,
    ["build", "turn_taking", "--work", "AT"],
    ["build", "AT"],
    ["plan", "turn_taking", "--work", "AT"],
    ["dpo-pairs", "AT"],
    ["dpo-pairs", ".", "--out", "AT"],
    ["dpo-pairs", ".", "AT"],
    ["view", "AT"],
    ["view", ".", "0", "--export", "AT"],
    ["export", "AT", "--to", "trl"],
    ["export", ".", "--to", "trl", "--out", "AT"],
    ["talk", "AT", "--user", "user.wav"],
    ["talk", "model", "--user", "AT"],
    ["talk", "model", "--user", "user.wav", "--out", "AT"],
    ["evaluate", "AT", "set"],
    ["evaluate", "model", "set", "AT"],
    ["evaluate", "model", "set", "--recipe", "AT"],
    ["evaluate", "model", "set", "--out", "AT"],
    ["train", "sft", "AT"],
    ["train", "sft", "sft_small", "--out", "AT"],
    ["train", "dpo", "dpo_small", "--out", "AT"],
    ["voices", "prepare", "AT", "--out", "bank"],
    ["voices", "prepare", "recordings", "--out", "AT"],
    ["voices", "prepare", "recordings", "--out", "bank", "--recipe", "AT"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_addresses_of_stores_are_refused(command: list[str], tmp_path: Path) -> None:
    for address in STORES[command in OF_STORES :]:
        ended = duplexgen(*(address if word == "AT" else word for word in command), cwd=tmp_path)
        assert ended.status == 2
        assert f"{address} is an address, not a path of a file system" in ended.said
        assert "aws s3 sync" in ended.said
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("sources", "path"),
        ("rewriting.llm", "prompt"),
        ("speech.cosyvoice", "model"),
        ("speech.cosyvoice", "bank"),
        ("speech.cosyvoice", "source"),
        ("speech.gate", "whisper"),
        ("tokens.glm4voice", "checkpoint"),
        ("tokens.mimi", "checkpoint"),
        ("tokens.pretrained", "folder"),
    ],
)
def test_addresses_in_a_recipe(tmp_path: Path, section: str, key: str) -> None:
    recipe = recipe_dict(tmp_path)
    if section == "sources":
        recipe["sources"][0][key] = "s3://bucket/x"
    else:
        outer, inner = section.split(".")
        recipe[outer] = recipe.get(outer, {}) | {inner: {key: "s3://bucket/x"}}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises(UserError, match=rf"{key}: is an address, not a path of a file system"):
        checking.load(str(path))


@pytest.mark.parametrize(
    ("name", "change", "model"),
    [
        ("sft_small", {"data": ["gs://x/y"]}, SFTRecipe),
        ("dpo_small", {"model": "s3://x"}, DPORecipe),
        ("sft_small", {"model": {"pretrained": "hf://x/y", "config": None}}, SFTRecipe),
    ],
)
def test_addresses_in_a_training_recipe(tmp_path: Path, name: str, change: dict[str, object], model: type) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"extends": name} | change))
    with pytest.raises(UserError, match="is an address"):
        load(str(path), model, TRAINING_RECIPES)


def test_names_that_no_file_system_takes(tmp_path: Path) -> None:
    for name in ("x" * 256, "é" * 128, "a/" * 2048, "a/" * 1500, "", " ", "~nosuchuser/x"):
        for command in (["build", "turn_taking", "--out", name], ["verify", name], ["build", name]):
            ended = duplexgen(*command, cwd=tmp_path)
            assert ended.status == 2 and "Traceback" not in ended.said, name
        with pytest.raises(UserError):
            load(name, PairsRecipe, RECIPES / "pairs")
    assert list(tmp_path.iterdir()) == []


def test_a_circle_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for command in (["verify", "a"], ["build", "turn_taking", "--out", "a/x"]):
        ended = duplexgen(*command, cwd=tmp_path)
        assert ended.status == 2 and "cannot be followed" in ended.said


@given(st.text(min_size=1).filter(lambda text: text.strip() and "\0" not in text and len(text) < 50))
def test_other_names_are_taken_as_they_are(text: str) -> None:
    if paths.SCHEME.match(text) or text.startswith("~"):
        return
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        assert paths.problem(text)
    else:
        assert paths.problem(text) is None and str(paths.path(text)) == str(Path(text))
    assert paths.problem(f"./{text}") == paths.problem(text) and paths.SCHEME.match("C:/x") is None
