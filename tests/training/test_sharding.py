"""A model that two devices divide among them: what it learns, and how it goes on after it was killed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.pairs.build import build, prepare
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.loop import make_accelerator
from duplexgen.training.models.model import load_model
from duplexgen.training.objectives.dpo import train_dpo
from duplexgen.training.objectives.sft import train_sft
from duplexgen.training.recipe import DPORecipe, SFTRecipe
from tests.corpus import run_stages
from tests.training.conftest import TINY
from tests.training.launched import Job, launch
from tests.training.objectives.test_dpo import dpo_recipe
from tests.training.objectives.test_sft import log, sft_recipe
from tests.training.objectives.test_train_streams import LAYOUTS, SMALL

UNEVEN = {"batch_size": 5, "micro_batch_size": 1, "steps": 4}  # of the second of two batches, one device has less
ROUNDING = 2.0**-13
"""Between neighbours of float32 from 1,024 to 2,048, where log π of these rows lies: the order of a sum changes it."""
Recipes = dict[str, SFTRecipe | DPORecipe]


@pytest.fixture(scope="module")
def recipes(data_sets: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory) -> Recipes:
    """By the folder of their run. The model of `dpo` is that of `sft`, trained by one process."""
    folder = tmp_path_factory.mktemp("recipes")
    chats, streams = data_sets("turn_taking").path, data_sets("turn_taking", name="flm", layout=LAYOUTS["flm"]).path
    both = [chats, data_sets("interruption").path]
    sft = sft_recipe(*both, **UNEVEN, sharded=True, gradient_checkpointing=True, checkpoint_every=2)
    train_sft(sft, folder / "sft", Display())
    pairs = PairsRecipe(name="timing", seed=2)
    prepared: Any = prepare(pairs, chats, folder / "work")
    run_stages(prepared)
    build(pairs, chats, folder / "pairs", folder / "work", Display())
    tied = SMALL | {"config": TINY | {"tie_word_embeddings": True}}
    of_streams = sft_recipe(streams, model=tied, batch_size=3, micro_batch_size=1, steps=2, sharded=True)
    dpo = dpo_recipe(folder / "sft", folder / "pairs", batch_size=3, micro_batch_size=1, steps=2, sharded=True)
    train_sft(of_streams, folder / "streams", Display())
    train_dpo(dpo, folder / "dpo", Display())
    return {str(folder / "sft"): sft, str(folder / "streams"): of_streams, str(folder / "dpo"): dpo}


@pytest.fixture(scope="module")
def two(recipes: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two processes: of each recipe, `half` of `sft` in bf16, and `killed`, which SIGKILL ends after step 3."""
    folder = tmp_path_factory.mktemp("two")
    jobs = [Job.of(recipe, folder / Path(one).name) for one, recipe in recipes.items()]
    sft = next(iter(recipes.values()))
    half = sft.model_copy(update={"optimization": sft.optimization.model_copy(update={"precision": "bf16"})})
    killed = Job.of(sft, folder / "killed", stop_after=3, killed=True)
    launch([*jobs, Job.of(half, folder / "half"), killed], processes=2)
    return folder


@pytest.mark.parametrize("name", ["sft", "streams", "dpo"])
def test_two_devices_that_divide_a_model_learn_what_one_learns(recipes: Recipes, two: Path, name: str) -> None:
    one = next(Path(folder) for folder in recipes if Path(folder).name == name)
    for ours, theirs in zip(log(two / name), log(one), strict=True):
        margins = ours.pop("margin", 0.0), theirs.pop("margin", 0.0)
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
        assert margins[0] == pytest.approx(margins[1], rel=1e-4, abs=ROUNDING)
    learned, expected = (load_model(folder).network.state_dict() for folder in (two / name, one))
    for weight in expected:
        torch.testing.assert_close(learned[weight], expected[weight], atol=1e-4, rtol=1e-3, msg=weight)


def test_a_divided_model_learns_in_half_precision(recipes: Recipes, two: Path) -> None:
    """With activations that are computed once more, as `bayling_sft` has them."""
    for ours, theirs in zip(log(two / "half"), log(two / "sft"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.02)
        assert ours["loss"] != theirs["loss"]
    assert {weight.dtype for weight in load_file(two / "half" / "model.safetensors").values()} == {torch.float32}


def test_each_device_keeps_half(recipes: Recipes, two: Path) -> None:
    parts = [
        load_file(two / f"sft/checkpoints/step-00000002/part-0000{index}-of-00002.safetensors") for index in (0, 1)
    ]
    sizes = [sum(part.numel() for part in of_device.values()) for of_device in parts]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02), "of weights and of AdamW's figures"
    weights = load_model(two / "sft").network.num_parameters()
    assert sum(sizes) == pytest.approx(3 * weights, rel=0.02)
    assert not list((two / "sft").rglob("*.pkl")) + list((two / "sft").rglob("*.bin")), "nothing is pickled"


def test_a_killed_run_goes_on_as_if_never_killed(recipes: Recipes, two: Path, tmp_path: Path) -> None:
    assert not (two / "killed" / "training.json").exists()
    out = shutil.copytree(two / "killed", tmp_path / "killed")
    launch([Job.of(next(iter(recipes.values())), out)], processes=2)
    assert log(out) == log(two / "sft")
    assert (out / "model.safetensors").read_bytes() == (two / "sft" / "model.safetensors").read_bytes()


def test_it_goes_on_with_another_number_of_devices(recipes: Recipes, two: Path, tmp_path: Path) -> None:
    out = shutil.copytree(two / "killed", tmp_path / "killed")
    train_sft(next(recipe for recipe in recipes.values() if isinstance(recipe, SFTRecipe)), out, Display())
    for ours, theirs in zip(log(out), log(two / "sft"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_accelerate_is_not_to_divide_the_model_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match=r"set optimization\.sharded: true"):
        make_accelerator(tmp_path, sft_recipe("data").optimization)


def test_a_gpu_without_bf16_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """torch would imitate bf16 on such a GPU, and say that it has it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    with pytest.raises(UserError, match=r"Tesla V100, has no bf16\. Set optimization.precision: fp32"):
        make_accelerator(tmp_path, sft_recipe("data", precision="bf16").optimization)
    with pytest.raises(UserError, match=r"Tesla V100, has no bf16\. Set precision: fp32, of `talk`"):
        load_model(tmp_path, "cuda", "bf16")
