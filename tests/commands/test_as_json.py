"""What --json prints: one JSON object on standard output, with the figures that the text has."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.commands.as_json import QUANTILES, dialogue_object, written
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from tests.command import duplexgen
from tests.damaging import flip
from tests.dataset.conftest import data_sets

__all__ = ["data_sets"]
Sets = Callable[[str], Path]


def said(*arguments: str | Path, cwd: Path, status: int = 0) -> Any:
    done = duplexgen(*arguments, "--json", cwd=cwd)
    assert done.status == status, done.said
    return json.loads(done.said)


def test_a_plan(tmp_path: Path) -> None:
    plan = said("plan", "turn_taking", "--limit", "9", cwd=tmp_path)
    assert (plan["recipe"], plan["dialogues"], plan["to_speak"], plan["to_make"]) == ("turn_taking", 9, 9, 9)
    assert plan["partitions"] == 5 and plan["reasons"] == {} and plan["effects"] == []
    assert [(of["stage"], of["done"]) for of in plan["stages"]] == [
        ("script", 0), ("speech", 0), ("tracks", 0), ("sequences", 0),
    ]  # fmt: skip
    assert 0 < plan["hours_of_speech"] < plan["hours"]


def test_what_a_recipe_needs(tmp_path: Path) -> None:
    well = said("doctor", "turn_taking", cwd=tmp_path)
    assert well["is_well"] and [one["part"] for one in well["findings"]] == ["recipe", "disk", "disk"]
    ill = said("doctor", "paper/bayling_turn_taking", cwd=tmp_path, status=1)
    missing = [one for one in ill["findings"] if not one["is_well"]]
    assert not ill["is_well"] and all(one["says"] for one in missing) and missing


def test_a_data_set_as_its_manifest_has_it(data_sets: Sets) -> None:
    folder = data_sets("interruption")
    told, manifest = said("inspect", folder, cwd=folder), json.loads((folder / "manifest.json").read_text())
    assert (told["name"], told["scenario"], told["layout"]) == ("interruption", "interruption", "bayling")
    assert told["ledger"] == manifest["ledger"] and told["key"] == manifest["key"] and told["made_from"] is None
    assert told["rows"] == sum(1 for _ in Dataset(folder).rows())
    for name, figures in told["statistics"].items():
        stored = manifest["statistics"][name]
        assert (figures["count"], figures["least"], figures["most"]) == (
            stored["count"],
            stored["least"],
            stored["most"],
        )
        ordered = [figures["least"], *(figures[one] for one in QUANTILES if one in figures), figures["most"]]
        assert ordered == sorted(ordered)


def test_a_dialogue_is_its_row_without_audio(data_sets: Sets) -> None:
    folder = data_sets("turn_taking")
    row = list(Dataset(folder).rows())[1]
    told = said("inspect", folder, "talk/1", cwd=folder)
    assert (told.pop("number"), told.pop("sample_rate")) == (1, 16000)
    assert row.pop("audio") is not None and told == row


def test_a_dialogue_that_is_not_there(data_sets: Sets) -> None:
    with pytest.raises(UserError, match="has no dialogue 'nobody'"):
        dialogue_object(Dataset(data_sets("turn_taking")), "nobody")


def test_a_verified_data_set(data_sets: Sets, tmp_path: Path) -> None:
    folder = shutil.copytree(data_sets("turn_taking"), tmp_path / "copy")
    assert said("verify", folder, cwd=tmp_path) == {"dataset": str(folder), "is_whole": True, "failures": []}
    flip(folder / "README.md", 10, 1)
    damaged = said("verify", folder, cwd=tmp_path, status=1)
    assert not damaged["is_whole"] and any("README.md" in failure for failure in damaged["failures"])


def test_texts_control_no_terminal_and_numbers_are_those_of_json() -> None:
    text = written({"text": "\x1b[31mred\u202e", "level": -math.inf, "all": [(math.nan, 1.5)]})
    assert text.isascii() and "\x1b" not in text
    assert json.loads(text) == {"text": "\x1b[31mred\u202e", "level": None, "all": [[None, 1.5]]}
