"""The card's own code, run as a reader of the card would."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from duplexgen.pipeline.commands.build import build, prepare
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.pairs import build as pairs
from duplexgen.pipeline.show.progress import Display
from tests.corpus import TURNS, recipe_dict, run_stages
from tests.pairs.conftest import pairs_recipe

Sets = Callable[[str], Path]
ALSO = """
print(json.dumps({"rows": len(rows), "columns": rows.column_names, "nulls": {
    name: sum(value is None for value in rows[name]) for name in rows.column_names}}))
"""


def read(data_set: Path, cache: Path, also: str = "") -> list[str]:
    """Run what the card shows beside the folder, and `also`; returns the lines it prints."""
    card = (data_set / "README.md").read_text(encoding="utf-8")
    code = "\n".join(["import json", *re.findall(r"```python\n(.*?)```", card, re.DOTALL), ALSO, also])
    environment = {**os.environ, "HF_DATASETS_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=data_set.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


@pytest.fixture(scope="module")
def with_rejected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dialogues, and one that is rejected."""
    folder = tmp_path_factory.mktemp("rejected")
    rows = [{"id": "good", "data": TURNS[:2]}, {"id": "bad", "data": [""]}, {"id": "better", "data": TURNS[:4]}]
    (folder / "talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe.model_validate(recipe_dict(folder / "talk.jsonl", name="talk", max_rejected_share=0.9))
    run_stages(prepare(recipe, Path("/"), folder / "work", None, Display()))
    build(recipe, Path("/"), folder / "talk", folder / "work", None, Display())
    return folder / "talk"


def configs(data_set: Path) -> dict[str, list[dict[str, str]]]:
    front = yaml.safe_load((data_set / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    return {config["config_name"]: config["data_files"] for config in front["configs"]}


def test_rejected_dialogues_are_a_config_of_their_own(with_rejected: Path, tmp_path: Path) -> None:
    assert configs(with_rejected) == {
        "default": [{"split": "train", "path": "data/*.parquet"}],
        "rejected": [{"split": "train", "path": "rejected/*.parquet"}],
    }
    also = 'print(rejected["dialogue_id"][0], rejected["stage"][0], samples.shape == (len(user), 2), user.any())'
    *_, last = read(with_rejected, tmp_path, also)
    assert last == "talk.jsonl:2 source True True"


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_channels_and_nulls_are_what_the_card_says(data_sets: Sets, scenario: str, tmp_path: Path) -> None:
    """`datasets` reads no table without rows, so that a set without rejections has no config for them."""
    assert list(configs(data_sets(scenario))) == ["default"]
    also = """
events = rows[0]["events"]
for role, channel in (("user", user), ("assistant", assistant)):
    own = [event for event in events if event["channel"] == role]
    print(role, {bool(channel[event["start_sample"]:event["end_sample"]].any()) for event in own}, rate)
every = [event for row in rows for event in row["events"]]
print(all((event["cut_by"] is None) == (event["end_sample"] == event["whole_end_sample"]) for event in every))
"""
    summary, *lines = read(data_sets(scenario), tmp_path, also)
    nulls = {name: count for name, count in json.loads(summary)["nulls"].items() if count}
    measured = {"speech_activity": 1}  # the first dialogue of each of two partitions
    assert nulls == ({"acoustics": 3} | measured | ({"assistant_uncut_codes": 3} if scenario == "turn_taking" else {}))
    assert lines == ["user {True} 16000", "assistant {True} 16000", "True"]


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_timing_stands_beside_that_of_people(data_sets: Sets, scenario: str) -> None:
    """As many dialogues as have voice activity, measured on their audio; replies come 0.8 s after the user."""
    built = data_sets(scenario)
    card = (built / "README.md").read_text(encoding="utf-8")
    assert "of 2 dialogues" in card and "Levinson" in card
    assert "![floor transfer offsets](plots/transfer_offsets.png)" in card
    assert (built / "plots/transfer_offsets.png").read_bytes().startswith(b"\x89PNG")
    tallies = Dataset(built).manifest.statistics
    assert tallies["measured_s"].count == 2
    if scenario == "turn_taking":
        assert "overlap_s" not in tallies and tallies["transfer_offset_s"].least > 0.4
    else:
        assert tallies["overlap_s"].total > 0 and tallies["transfer_offset_s"].least < 0


def test_pairs(with_rejected: Path, tmp_path: Path) -> None:
    recipe = pairs_recipe()
    pairs.build(recipe, with_rejected, tmp_path / "pairs", tmp_path / "work", Display())
    summary = json.loads(read(tmp_path / "pairs", tmp_path / "cache")[0])
    assert not any(summary["nulls"].values()) and "chosen_input_ids" in summary["columns"]
