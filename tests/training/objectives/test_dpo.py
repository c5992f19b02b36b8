"""Preference optimization, whole: pairs and a trained model in, a model with better timing out."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
import torch

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.pairs.build import build, prepare
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.models.model import load_model
from duplexgen.training.objectives.dpo import train_dpo
from duplexgen.training.objectives.sft import train_sft
from duplexgen.training.recipe import DPORecipe
from tests.corpus import run_stages
from tests.training.conftest import TINY
from tests.training.objectives.test_sft import StopAt, log, sft_recipe


@pytest.fixture(scope="module")
def pairs(data_sets, tmp_path_factory):
    """Make the pairs of a data set."""
    work = tmp_path_factory.mktemp("pairs")

    def make(dataset):
        out = work / f"{dataset.path.name}.pairs"
        if not out.exists():
            recipe = PairsRecipe(name="timing", seed=2)
            run_stages(prepare(recipe, dataset.path, work / "work"))
            build(recipe, dataset.path, out, work / "work", Display())
        return out

    return make


@pytest.fixture(scope="module")
def sft(data_sets, tmp_path_factory):
    """A model that has learned a little."""
    out = tmp_path_factory.mktemp("sft") / "run"
    folders = [data_sets("turn_taking").path, data_sets("interruption").path]
    train_sft(sft_recipe(*folders, steps=30, batch_size=8, micro_batch_size=8), out, Display())
    return out


def dpo_recipe(model, *folders, beta=0.5, ftx=0.5, **optimization):
    settings = {"learning_rate": 1e-3, "batch_size": 4, "micro_batch_size": 2, "steps": 8, "precision": "fp32"}
    return DPORecipe.model_validate(
        {
            "name": "dpo",
            "seed": 5,
            "model": str(model),
            "data": [str(folder) for folder in folders],
            "preference": {"beta": beta, "ftx": ftx},
            "optimization": settings | {"warmup_share": 0.05} | optimization,
        }
    )


@pytest.fixture(scope="module")
def both(pairs, data_sets):
    return [pairs(data_sets("turn_taking")), pairs(data_sets("interruption"))]


@pytest.fixture(scope="module")
def alone(sft, both, tmp_path_factory):
    out = tmp_path_factory.mktemp("dpo") / "run"
    train_dpo(dpo_recipe(sft, *both, checkpoint_every=3), out, Display())
    return out


def test_the_margin_rises_from_nothing(alone):
    figures = log(alone)
    assert figures[0]["margin"] == pytest.approx(0, abs=1e-3), "the policy starts as the reference"
    assert figures[0]["dpo"] == pytest.approx(0.6931, abs=1e-3)
    assert figures[-1]["margin"] > 1
    assert figures[-1]["accuracy"] == 1
    assert figures[-1]["dpo"] < 0.3
    for line in figures:
        assert line["loss"] == pytest.approx(line["dpo"] + 0.5 * line["ftx"], rel=1e-5)


def test_it_goes_on_as_if_never_stopped(sft, both, alone, tmp_path):
    recipe, out = dpo_recipe(sft, *both, checkpoint_every=3), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_dpo(recipe, out, StopAt(5))
    reference = (out / "reference.parquet").stat().st_mtime_ns
    train_dpo(recipe, out, Display())
    assert (out / "reference.parquet").stat().st_mtime_ns == reference, "computed once"
    assert log(out) == log(alone)
    assert (out / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()


def test_the_reference_is_the_sft_model(sft, both, alone):
    """log π_ref as a plain forward pass gives it."""
    model = load_model(sft)
    stored = pq.read_table(alone / "reference.parquet").to_pylist()
    rows = [row for folder in both for shard in (folder / "data").glob("*") for row in pq.read_table(shard).to_pylist()]
    assert len(stored) == len(rows)
    for row, reference in list(zip(rows, stored, strict=True))[::3]:  # 8 steps of 4 see every pair
        for side in ("chosen_input_ids", "rejected_input_ids"):
            ids = torch.tensor([row[side]])
            with torch.no_grad():
                scores = model.network(ids).logits.log_softmax(-1)[0, :-1]
            taken = scores.gather(1, ids[0, 1:, None])[:, 0].double()
            counted = torch.arange(1, ids.shape[1]) % 25 >= 10
            assert reference[side] == pytest.approx(taken[counted].sum().item(), rel=1e-5)


def test_without_the_sft_term(sft, both, tmp_path):
    train_dpo(dpo_recipe(sft, *both, ftx=0, steps=2), tmp_path / "run", Display())
    for line in log(tmp_path / "run"):
        assert line["loss"] == pytest.approx(line["dpo"], rel=1e-6)


def test_dropout_follows_from_the_seed(sft, both, tmp_path):
    shutil.copytree(sft, tmp_path / "model")
    config = json.loads((sft / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"attention_dropout": 0.3}))
    recipe = dpo_recipe(tmp_path / "model", *both, steps=2)
    for name, state in (("one", 1), ("two", 2)):
        torch.manual_seed(state)
        train_dpo(recipe, tmp_path / name, Display())
    train_dpo(recipe.model_copy(update={"seed": 6}), tmp_path / "other", Display())
    assert log(tmp_path / "one") == log(tmp_path / "two") != log(tmp_path / "other")


def test_pairs_of_another_data_set_are_refused(sft, pairs, data_sets, tmp_path):
    other = pairs(data_sets("turn_taking", name="other", seed=4))
    with pytest.raises(UserError, match="and the model was not trained on it"):
        train_dpo(dpo_recipe(sft, other), tmp_path / "run", Display())
    assert not (tmp_path / "run").exists()


def test_what_is_no_pairs_is_refused_and_pairs_are_no_sft_data(sft, both, data_sets, tmp_path):
    with pytest.raises(UserError, match="expected one of preferences"):
        train_dpo(dpo_recipe(sft, data_sets("turn_taking").path), tmp_path / "dpo", Display())
    with pytest.raises(UserError, match="expected one of dialogues"):
        train_sft(sft_recipe(both[0], model={"config": TINY}), tmp_path / "sft", Display())


def test_pairs_of_another_vocabulary_are_refused(sft, both, tmp_path):
    described = json.loads((sft / "vocabulary.json").read_text())
    described["layout"]["ast_offset"] = 0
    shutil.copytree(sft, tmp_path / "model")
    (tmp_path / "model" / "vocabulary.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match="another vocabulary or layout"):
        train_dpo(dpo_recipe(tmp_path / "model", *both), tmp_path / "run", Display())
