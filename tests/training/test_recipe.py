"""Training recipes: those that ship can be loaded, and all mistakes are told at once, with their lines."""

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.recipe.file import load, shipped
from duplexgen.training.recipe import TRAINING_RECIPES, DPORecipe, SFTRecipe


def test_those_that_ship_can_be_loaded():
    names = shipped(TRAINING_RECIPES)
    assert {"sft_small", "dpo_small", "bayling_sft", "bayling_dpo"} <= set(names)
    for name in names:
        model = DPORecipe if "dpo" in name else SFTRecipe
        recipe, _ = load(name, model, TRAINING_RECIPES)
        assert recipe.name == name
        steps = recipe.optimization.steps
        assert steps is None or recipe.optimization.checkpoint_every < steps, f"{name} would never write a checkpoint"


def test_the_papers_hyper_parameters():
    """Section 4.1."""
    sft, _ = load("bayling_sft", SFTRecipe, TRAINING_RECIPES)
    assert (sft.optimization.epochs, sft.optimization.batch_size, sft.optimization.learning_rate) == (1, 32, 1e-5)
    assert (sft.weights.silence, sft.weights.assistant, sft.weights.epad) == (0.1, 10, 10)
    dpo, _ = load("bayling_dpo", DPORecipe, TRAINING_RECIPES)
    assert (dpo.optimization.steps, dpo.optimization.learning_rate) == (200, 3e-7)
    assert (dpo.preference.beta, dpo.preference.ftx) == (0.5, 0.5)


def test_every_mistake_is_told(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: bad\ndata: []\nmodel: {pretrained: a, config: {}}\nweights: {silence: -1}\n"
        "optimization:\n  learning_rate: fast\n  steps: 1\n  epochs: 1\nbeta: 0.5\n"
    )
    with pytest.raises(UserError) as caught:
        load(str(path), SFTRecipe, TRAINING_RECIPES)
    message = str(caught.value)
    places = ((2, "data"), (3, "model"), (4, "weights.silence"), (6, "optimization.learning_rate"), (9, "beta"))
    for line, key in places:
        assert f"{path}:{line}: {key}: " in message
