"""Low-rank changes of a model: what is trained, what is written, and how a run goes on."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.models.lora import adapt, new_ids
from duplexgen.training.models.model import load_model
from duplexgen.training.models.start import start, start_from_config
from duplexgen.training.objectives.sft import train_sft
from duplexgen.training.recipe import Lora, Model, SFTRecipe
from duplexgen.training.sequences import SequenceFormat
from tests.training.conftest import TINY
from tests.training.objectives.test_sft import StopAt, log, sft_recipe
from tests.training.objectives.test_train_streams import LAYOUTS, SMALL

ONE = Lora(rank=4, alpha=8, targets=["q_proj", "down_proj"])


@pytest.fixture(scope="module")
def recipe(data_sets: Any) -> SFTRecipe:
    plain: SFTRecipe = sft_recipe(data_sets("turn_taking").path, steps=4, checkpoint_every=2)
    return plain.model_copy(update={"lora": ONE})


@pytest.fixture(scope="module")
def alone(recipe: SFTRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lora") / "run"
    train_sft(recipe, out, Display())
    return out


def test_what_was_trained_is_in_the_model_that_is_written(
    recipe: SFTRecipe, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)  # it is not needed to load the model
    model = load_model(alone)
    before = start(recipe.model, recipe.data_folders[0], model.format, recipe.seed).state_dict()
    after = model.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    layers = {
        f"model.layers.{layer}.{name}.weight" for layer in (0, 1) for name in ("self_attn.q_proj", "mlp.down_proj")
    }
    assert changed == layers | {"model.embed_tokens.weight", "lm_head.weight"}
    new = torch.zeros(model.format.size, dtype=torch.bool)
    new[new_ids(model.format)] = True
    for table in ("model.embed_tokens.weight", "lm_head.weight"):
        rows = (before[table] != after[table]).any(dim=1)
        assert not rows[~new].any() and rows[new].any()
    assert log(alone)[-1]["loss"] < log(alone)[0]["loss"]


def test_a_checkpoint_has_only_what_is_trained(alone: Path) -> None:
    (path,) = (alone / "checkpoints" / "step-00000002").glob("part-*")
    weights = [name for name in load_file(path) if name.startswith("weight/")]
    assert weights and all("lora_" in name or "trainable_tokens" in name for name in weights)


def test_a_run_goes_on_as_if_never_stopped(recipe: SFTRecipe, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_sft(recipe, out, StopAt(3))
    train_sft(recipe, out, Display())
    assert log(out) == log(alone)
    assert (out / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()


@pytest.mark.parametrize("tied", [False, True])
def test_merging_changes_no_logits(data_sets: Any, tied: bool) -> None:
    sequence_format = SequenceFormat.read(data_sets("turn_taking").path)
    network = start_from_config(TINY | {"tie_word_embeddings": tied}, sequence_format, seed=0)
    names = set(network.state_dict())
    merge = adapt(network, Lora(rank=2), new_ids(sequence_format), 0, "fp32")
    for weight in network.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight, std=0.1)
    ids = torch.randint(0, sequence_format.size, (1, 12))
    before = network(ids).logits
    merge()
    assert set(network.state_dict()) == names
    torch.testing.assert_close(network(ids).logits, before, rtol=1e-4, atol=1e-4)


def test_the_depth_transformer_of_streams_is_trained_whole(data_sets: Any) -> None:
    folder = data_sets("turn_taking", name="flm", layout=LAYOUTS["flm"]).path
    sequence_format = SequenceFormat.read(folder)
    network = start(Model.model_validate(SMALL), folder, sequence_format, seed=0)
    adapt(network, ONE, new_ids(sequence_format), 0, "bf16")
    for name, weight in network.named_parameters():
        is_new = not name.startswith("backbone.") or "lora_" in name or "trainable_tokens" in name
        assert weight.requires_grad == is_new, name
        assert weight.dtype == (torch.float32 if is_new else torch.bfloat16), name


def test_layers_that_are_not_there_are_told(data_sets: Any) -> None:
    sequence_format = SequenceFormat.read(data_sets("turn_taking").path)
    network = start_from_config(TINY, sequence_format, seed=0)
    with pytest.raises(UserError, match=r"lora\.targets: .*query_key_value.* Expected names of linear layers"):
        adapt(network, Lora(targets=["query_key_value"]), new_ids(sequence_format), 0, "fp32")


def test_peft_is_asked_for_by_who_needs_it(data_sets: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence_format = SequenceFormat.read(data_sets("turn_taking").path)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"needs the package peft .*pip install 'duplexgen\[train\]'"):
        adapt(start_from_config(TINY, sequence_format, seed=0), ONE, new_ids(sequence_format), 0, "fp32")


def test_few_weights_are_not_divided() -> None:
    keys = sft_recipe("data", sharded=True).model_dump() | {"lora": {"rank": 8}}
    with pytest.raises(ValidationError, match=r"set optimization\.sharded: false"):
        SFTRecipe.model_validate(keys)
