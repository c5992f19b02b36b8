"""What a recipe needs and is not here."""

import shutil
from pathlib import Path

import pytest
import yaml

from benchmarks.replay import Replay
from duplexgen.pipeline.commands.doctor import examine
from duplexgen.pipeline.recipe.file import RECIPES
from duplexgen.pipeline.show.findings import Finding
from duplexgen.pipeline.speech.engines import ENGINES
from tests.command import duplexgen
from tests.serving import Said, chat, serving


def findings(name: str | Path, folder: Path) -> list[Finding]:
    return list(examine(str(name), lambda recipe: (folder / "out" / recipe, folder / "work")))


def test_the_embedded_recipe_needs_nothing(tmp_path: Path) -> None:
    found = findings("turn_taking", tmp_path)
    assert [one.part for one in found] == ["recipe", "disk", "disk"]
    assert all(one.is_well for one in found)
    assert not any(tmp_path.iterdir()), "nothing was written"


def test_every_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    recipe = yaml.safe_load((RECIPES / "turn_taking.yaml").read_text())
    recipe["sources"] = [{"name": "mine", "shape": "ultrachat", "path": "nowhere.jsonl"}]
    recipe["speech"]["assistant_voice"] = "af_hart"
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(recipe))
    missing = [one.says for one in findings(path, tmp_path) if not one.is_well]
    assert len(missing) == 2
    assert any("sources[0].path" in says and "nowhere.jsonl" in says for says in missing)
    assert any("speech.assistant_voice" in says and "af_heart" in says for says in missing)


def test_endpoints_that_write_are_asked_something_easy(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    with serving(lambda _: chat("Yes.")) as well, serving(lambda _: Said("no", 500)) as broken:
        recipe = {
            "extends": "natural",
            "rewriting": {"engine": "llm", "llm": {"url": well.url, "model": "m"}},
            "events": {"texts": "llm", "llm": {"url": broken.url, "model": "m"}},
        }
        path.write_text(yaml.safe_dump(recipe))
        (problem,) = [one for one in findings(path, tmp_path) if not one.is_well]
        assert len(well.requests) == len(broken.requests) == 1
    assert problem.part == "events"
    assert f"events.llm: {broken.url} gives no answers: HTTP 500: no" in problem.says


@pytest.mark.parametrize(("free_gb", "says"), [(0.994, "0.99 GB free"), (0.25, "0.25 GB free"), (1.0, "1 GB free")])
def test_a_full_disk_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gb: float, says: str
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=int(free_gb * 1e9)))
    for disk in (one for one in findings("turn_taking", tmp_path) if one.part == "disk"):
        assert disk.is_well == (free_gb >= 1) and says in disk.says
        assert ("Expected at least 1 GB: make room, or choose another folder" in disk.says) != disk.is_well


class OnGPU(Replay):
    name = "on_gpu"
    num_gpus = 0.5


def test_a_gpu_is_asked_for_by_who_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, OnGPU.name, OnGPU)
    recipe = yaml.safe_load((RECIPES / "turn_taking.yaml").read_text())
    recipe["speech"] = {"engine": OnGPU.name, "assistant_voice": "assistant"}
    for source in recipe["sources"]:
        source["path"] = str(RECIPES / source["path"])
    path = tmp_path / "gpu.yaml"
    path.write_text(yaml.safe_dump(recipe))
    (gpu,) = [one for one in findings(path, tmp_path) if one.part == "gpu"]
    assert gpu.is_well == bool(shutil.which("nvidia-smi"))
    assert gpu.is_well or "speech asks for at least 0.5 GPUs" in gpu.says


def test_gpus_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = yaml.safe_load((RECIPES / "turn_taking.yaml").read_text())
    recipe["speech"]["gate"] = {"max_wer": 0.2, "num_gpus": 0.5}
    recipe["tokens"] = {"speech_tokenizer": "mimi", "mimi": {"checkpoint": "models/mimi", "num_gpus": 1.0}}
    path = tmp_path / "gpus.yaml"
    path.write_text(yaml.safe_dump(recipe))
    for here, says in ((1, "speech and tokens ask for at least 1.5 GPUs, and this machine has 1"), (2, "an H100")):
        monkeypatch.setattr("duplexgen.pipeline.commands.doctor._gpus_here", lambda here=here: ["an H100"] * here)
        (gpu,) = [one for one in findings(path, tmp_path) if one.part == "gpu"]
        assert (gpu.is_well, says in gpu.says) == (here == 2, True)


def test_the_command(tmp_path: Path) -> None:
    well = duplexgen("doctor", "turn_taking", cwd=tmp_path)
    assert well.status == 0 and "MISSING" not in well.said
    ill = duplexgen("doctor", "paper/bayling_turn_taking", cwd=tmp_path)
    assert ill.status == 1 and "MISSING" in ill.said
    assert list(tmp_path.iterdir()) == []
    unknown = duplexgen("doctor", "nonesuch", cwd=tmp_path)
    assert unknown.status == 2 and "paper/bayling_turn_taking" in unknown.said
