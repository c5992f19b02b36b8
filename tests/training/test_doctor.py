"""What a training recipe needs, told before it starts."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from transformers import GlmConfig

from tests.command import duplexgen
from tests.training.objectives.test_dpo import dpo_recipe
from tests.training.objectives.test_sft import sft_recipe


def written(recipe: Any, folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True)))
    return path


def gigabytes(said: str, gpus: int) -> float:
    found = re.search(rf"{gpus} GPUs?: ([\d,.]+) GB each", said)
    assert found, said
    return float(found[1].replace(",", ""))


def test_all_is_here(data_sets: Any, model_folder: Path, tmp_path: Path) -> None:
    recipe = sft_recipe(data_sets("turn_taking").path, precision="fp32")
    ended = duplexgen("doctor", written(recipe, tmp_path), cwd=tmp_path)
    assert ended.status == 0 and "MISSING" not in ended.said
    assert "4 rows per epoch" in ended.said and "GPU-hours" in ended.said
    assert "assumed and not measured" in " ".join(ended.said.split())
    dpo = dpo_recipe(model_folder, tmp_path / "nowhere")
    ended = duplexgen("doctor", written(dpo, tmp_path), cwd=tmp_path)
    assert ended.status == 1 and "MISSING  data" in ended.said and "ok       model" in ended.said


def test_the_papers_model_without_its_weights(tmp_path: Path) -> None:
    """Its configuration is enough: 9.4 thousand million weights take 16 bytes each, or an eighth of it on each of 8."""
    GlmConfig().save_pretrained(tmp_path / "models" / "glm-4-voice-9b")
    ended = duplexgen("doctor", "bayling_sft", cwd=tmp_path)
    assert ended.status == 1
    for missing in ("MISSING  data", "MISSING  model", "which are not there", "MISSING  machine"):
        assert missing in ended.said
    assert 150 < gigabytes(ended.said, 1) < 200
    assert 19 < gigabytes(ended.said, 8) < 40
    assert 5 < gigabytes(ended.said, 32) < gigabytes(ended.said, 8)


def test_few_trained_weights_take_less(tmp_path: Path) -> None:
    GlmConfig().save_pretrained(tmp_path / "models" / "glm-4-voice-9b")
    (tmp_path / "few.yaml").write_text("extends: bayling_sft\nlora: {rank: 16}\noptimization: {sharded: false}\n")
    ended = duplexgen("doctor", "few.yaml", cwd=tmp_path)
    assert gigabytes(ended.said, 1) < 40


def test_a_card_that_is_too_small_is_told(data_sets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = written(sft_recipe(data_sets("turn_taking").path, precision="fp32"), tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tiny")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=10**6))
    ended = duplexgen("doctor", recipe, cwd=tmp_path)
    assert ended.status == 1
    assert "1 × Tiny" in ended.said and "set optimization.sharded" in " ".join(ended.said.split())


@pytest.mark.parametrize(("sharded", "needs"), [(True, 37.6), (False, 8 * 37.6)])
def test_a_divided_model_is_loaded_once_per_machine(
    sharded: bool, needs: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes of eight GPUs would otherwise read a model of 9 thousand million weights eight times."""
    GlmConfig().save_pretrained(tmp_path / "models" / "glm-4-voice-9b")
    (tmp_path / "whole.yaml").write_text(f"extends: bayling_sft\noptimization: {{sharded: {str(sharded).lower()}}}\n")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H100")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=80 * 10**9))
    monkeypatch.setattr("duplexgen.training.doctor.machine_bytes", lambda: 100 * 10**9)
    said = " ".join(duplexgen("doctor", "whole.yaml", cwd=tmp_path).said.split())
    found = re.search(r"(\w+) machine (\w+) process loads the whole model, ([\d.]+) GB in all", said)
    assert found, said
    assert found[1] == ("ok" if sharded else "MISSING")
    assert float(found[3]) == pytest.approx(needs, rel=0.01)


def test_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("extends: sft_small\noptimization: {micro_batch_size: 0}\n")
    ended = duplexgen("doctor", "bad.yaml", cwd=tmp_path)
    assert ended.status == 1 and "bad.yaml:2: optimization.micro_batch_size" in ended.said
