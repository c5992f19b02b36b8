"""Training recipes: those that ship can be loaded, and all mistakes are told at once, with their lines."""

from pathlib import Path
from typing import Any

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.recipe.file import RECIPES, load, shipped
from duplexgen.training.recipe import TRAINING_RECIPES, DPORecipe, SFTRecipe

PUBLISHED = {"glm-4-voice-9b": "glm", "SmolLM2-135M-Instruct": "llama", "Qwen2.5-7B-Instruct": "qwen2"}
"""`model_type` in the config.json of what a recipe may start from; of GLM-4-Voice, that of the class it names."""


def loaded(name: str) -> SFTRecipe | DPORecipe:
    model: type[SFTRecipe | DPORecipe] = DPORecipe if "dpo" in name else SFTRecipe
    return load(name, model, TRAINING_RECIPES)[0]


def test_those_that_ship_can_be_loaded():
    names = shipped(TRAINING_RECIPES)
    assert {"sft_small", "dpo_small", "bayling_sft", "bayling_dpo"} <= set(names)
    for name in names:
        recipe = loaded(name)
        assert recipe.name == name
        steps = recipe.optimization.steps
        assert steps is None or recipe.optimization.checkpoint_every < steps, f"{name} would never write a checkpoint"


def starts_from(recipe: Any) -> str | None:
    """The model that a recipe names, or None if it starts from random weights."""
    return recipe.model if isinstance(recipe, DPORecipe) else recipe.model.pretrained


def test_each_starts_from_a_model_that_can_be_loaded():
    """A model that is downloaded is of a class of causal language models, and any other is what a recipe trains."""
    assert "qwen2_5_vl" not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, "Qwen2.5-VL is no causal language model"
    names = shipped(TRAINING_RECIPES)
    for name in names:
        if (start := starts_from(loaded(name))) is None:
            continue
        folder, model = Path(start).parts
        if folder == "out":
            assert model in names, f"{name} starts from what no recipe trains"
        else:
            assert PUBLISHED[model] in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, f"{name} starts from {model}"


@pytest.mark.parametrize("name", [name for name in shipped(TRAINING_RECIPES) if not name.endswith("_small")])
def test_data_have_the_text_tokens_of_the_model(name: str):
    """The data that a recipe names are those of a recipe that ships, and read the folder that its stages start from."""
    recipe = loaded(name)
    start = starts_from(recipe)
    while start is not None and Path(start).parts[0] == "out":
        start = starts_from(loaded(Path(start).name))
    data = {content.name: content for content in (load(name, Recipe, RECIPES)[0] for name in shipped())}
    for folder in recipe.data_folders:
        tokens = data[folder.name.removesuffix(".pairs")].tokens
        assert (tokens.pretrained.folder if tokens.pretrained else None) == start


def test_the_papers_hyper_parameters():
    """Section 4.1."""
    sft, _ = load("bayling_sft", SFTRecipe, TRAINING_RECIPES)
    assert (sft.optimization.epochs, sft.optimization.batch_size, sft.optimization.learning_rate) == (1, 32, 1e-5)
    assert (sft.weights.silence, sft.weights.assistant, sft.weights.epad) == (0.1, 10, 10)
    dpo, _ = load("bayling_dpo", DPORecipe, TRAINING_RECIPES)
    assert (dpo.optimization.steps, dpo.optimization.learning_rate) == (200, 3e-7)
    assert (dpo.preference.beta, dpo.preference.ftx) == (0.5, 0.5)


def test_flm_audios_stages_are_those_of_table_3():
    """Each starts from the one before."""
    names = ["flm_post_training", "flm_post_training_2", "flm_fine_tuning_1", "flm_fine_tuning_2"]
    epochs, rates = (3.3, 1, 2, 6), (2e-4, 1e-5, 1e-5, 8e-6)
    final_rates = (1e-5, 8e-6, 8e-6, 7e-6)
    stages = [loaded(name) for name in names]
    settings = [stage.optimization for stage in stages]
    assert tuple(each.epochs for each in settings) == epochs
    assert tuple(each.learning_rate for each in settings) == rates
    assert tuple(each.final_learning_rate for each in settings) == final_rates
    assert all((each.batch_size, each.pack_columns, each.warmup_share) == (256, 8192, 0) for each in settings)
    assert [starts_from(stage) for stage in stages[1:]] == [f"out/{name}" for name in names[:-1]]


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
