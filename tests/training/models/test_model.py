"""Model folders that cannot be used, and devices that are too small."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError, enough_memory
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.live.interleaved import sampled_ids
from duplexgen.training.models.model import DuplexModel, load_model, save_model
from duplexgen.training.models.start import start_from_config
from duplexgen.training.objectives.sft import train_sft
from duplexgen.training.sequences import SequenceFormat
from tests.dataset.test_verify import seal
from tests.training.conftest import TINY
from tests.training.objectives.test_sft import sft_recipe

Sets = Callable[[str], Dataset]


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a finished model .* no training\.json"):
        load_model(tmp_path)


def rows(model: DuplexModel) -> int:
    """The rows of its embedding."""
    weight = model.network.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return len(weight)


def test_a_model_says_what_pads_and_ends(model_folder: Path) -> None:
    """Other programs look it up in the configurations and in the tokenizer."""
    model = load_model(model_folder)
    end = model.format.vocabulary.end_of_text
    assert end == model.format.size - 1 == rows(model) - 1
    for name in ("config.json", "generation_config.json"):
        config = json.loads((model_folder / name).read_text())
        assert (config.get("bos_token_id"), config["eos_token_id"], config["pad_token_id"]) == (None, end, end)
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == end
    assert isinstance(model.format.vocabulary, SharedVocabulary)
    text, audio = sampled_ids(model.format.vocabulary)
    assert end not in text and end not in audio, "it is never said"


def test_a_model_of_an_earlier_format_is_refused(model_folder: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(model_folder, tmp_path / "old"))
    described = json.loads((old / "vocabulary.json").read_text())
    del described["margin_frames"]
    (old / "vocabulary.json").write_text(json.dumps(described | {"format_version": 1}))
    with pytest.raises(UserError, match=r"vocabulary\.json is malformed: .*format_version"):
        load_model(old)


@pytest.mark.parametrize("name", ["vocabulary/model.safetensors", "vocabulary/.netrc"])
def test_weights_and_links_in_a_vocabulary_reach_no_model(data_sets: Sets, tmp_path: Path, name: str) -> None:
    """Training refuses them before any step, and a model is not saved with them."""
    hostile = Path(shutil.copytree(data_sets("turn_taking").path, tmp_path / "hostile"))
    (tmp_path / "secret").write_bytes(b"machine hub login me password secret")
    (hostile / name).symlink_to(tmp_path / "secret")
    seal(hostile, lambda manifest: manifest["files"].append({"path": name}))
    seal(hostile, lambda _: None)
    with pytest.raises(UserError, match=r"is not what was built, and nothing was trained"):
        train_sft(sft_recipe(hostile), tmp_path / "run", Display())
    assert not (tmp_path / "run").exists()
    network = start_from_config(TINY, SequenceFormat.read(hostile), seed=0)
    with pytest.raises(UserError, match="a vocabulary has"):
        save_model(network, network.state_dict(), hostile, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("damage", [{"layout": {}}, {"ids": None}, {"format_version": 99}, {"ids": {"state": [1]}}])
def test_a_vocabulary_that_is_damaged(model_folder: Path, tmp_path: Path, damage: dict[str, object]) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    path = tmp_path / "model" / "vocabulary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(UserError, match=r"vocabulary\.json is malformed: "):
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


def test_a_model_that_does_not_fit_the_device_says_how_it_may(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`talk` has an option for it, `evaluate` a key of its recipe."""

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(UserError, match=r"--precision bf16 with `talk`, and precision: bf16 in a recipe of `evaluate`"):
        load_model(model_folder)


def test_a_model_is_loaded_to_run_without_cudnn_attention(model_folder: Path) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    load_model(model_folder)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
