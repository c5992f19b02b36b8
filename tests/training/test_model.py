"""Model folders that cannot be used, and devices that are too small."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from duplexgen.pipeline.errors import UserError, enough_memory
from duplexgen.training.model import load_model


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has finished: there is no training\.json"):
        load_model(tmp_path)


@pytest.mark.parametrize("damage", [{"layout": {}}, {"state": None}, {"format_version": 99}, {"audio": [1]}])
def test_a_vocabulary_that_is_damaged(model_folder: Path, tmp_path: Path, damage: dict[str, object]) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    path = tmp_path / "model" / "vocabulary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(UserError, match=r"vocabulary\.json is damaged, or of another version"):
        load_model(tmp_path / "model")


def test_weights_that_are_cut_short(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(tmp_path / "model")


def test_code_that_comes_with_a_model_is_not_run(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda _="": "y")  # what transformers asks for leave with
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    shutil.copytree(model_folder, tmp_path / "model")
    (tmp_path / "model" / "strange.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')\n")
    names = {"AutoConfig": "strange.Config", "AutoModelForCausalLM": "strange.Model"}
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "strange", "auto_map": names}))
    with pytest.raises(UserError, match=r"(?s)cannot be loaded.* code that comes with a model is never run"):
        load_model(tmp_path / "model")
    assert not (tmp_path / "was_run").exists()


def test_half_precision_is_half_as_large(model_folder: Path) -> None:
    whole, half = (load_model(model_folder, precision=name).network for name in ("fp32", "bf16"))
    assert whole.get_memory_footprint() == pytest.approx(2 * half.get_memory_footprint(), rel=0.01)


def test_a_device_without_memory_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"CUDA out of memory.* take fewer"), enough_memory("take fewer"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")


def test_a_model_is_loaded_to_run_without_cudnn_attention(model_folder: Path) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    load_model(model_folder)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
