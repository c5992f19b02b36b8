"""How processes that divide a model load it: one reads it, the others hold their parts alone, and all is as if read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from duplexgen.pipeline.dataset.dialogues import DIALOGUES
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.pairs.build import build, prepare
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.storage.atomic import write_json
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer
from duplexgen.training.data import TrainingData
from duplexgen.training.models.model import ABOUT, load_model, save_model
from duplexgen.training.models.start import start, start_from_config
from duplexgen.training.recipe import Common, DPORecipe, SFTRecipe
from duplexgen.training.sequences import SequenceFormat
from tests.corpus import run_stages
from tests.training.conftest import TINY
from tests.training.launched import Job, launch
from tests.training.loaded import PEAK
from tests.training.objectives.test_dpo import dpo_recipe
from tests.training.objectives.test_sft import sft_recipe
from tests.training.objectives.test_train_streams import LAYOUTS, SMALL

LARGE = TINY | {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
PROCESSES = 2
Recipes = dict[str, Common]


def plain_model(folder: Path, tied: bool, config: dict[str, Any]) -> str:
    """A language model that knows no states and no codes."""
    torch.manual_seed(1)
    bpe = Tokenizer.from_str(BytePairTokenizer().to_json())
    from_config: Any = AutoModelForCausalLM.from_config
    size = {"vocab_size": bpe.get_vocab_size(), "tie_word_embeddings": tied}
    from_config(AutoConfig.for_model(**config | size)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=bpe).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def recipes(data_sets: Callable[..., Dataset], tmp_path_factory: pytest.TempPathFactory) -> Recipes:
    """Small models of several shapes, then large ones, which start from files, from random weights and from stage I.

    The small ones come first, so that what a process imports does not count as memory of the large ones.
    """
    folder = tmp_path_factory.mktemp("recipes")
    chats, streams = data_sets("turn_taking").path, data_sets("turn_taking", name="flm", layout=LAYOUTS["flm"]).path
    trained, pairs = folder / "trained", folder / "pairs"
    network = start_from_config(LARGE, SequenceFormat.read(chats), seed=3)
    save_model(network, network.state_dict(), chats, trained)
    write_json(trained / ABOUT, {"data": TrainingData([chats], DIALOGUES).provenance()})
    timing = PairsRecipe(name="timing", seed=2)
    prepared: Any = prepare(timing, chats, folder / "work")
    run_stages(prepared)
    build(timing, chats, pairs, folder / "work", Display())
    large, small = (plain_model(folder / name, True, config) for name, config in (("large", LARGE), ("small", TINY)))
    apart = plain_model(folder / "apart", False, TINY)
    of_streams = {"pretrained": small, "depth": SMALL["depth"]}
    return {
        "apart": sft_recipe(chats, model={"pretrained": apart}, sharded=True),
        "streams": sft_recipe(streams, model=of_streams, sharded=True),
        "random_streams": sft_recipe(streams, model=SMALL, sharded=True),
        "files": sft_recipe(chats, model={"pretrained": large}, sharded=True),
        "random": sft_recipe(chats, model={"config": LARGE}, sharded=True),
        "stage_1": dpo_recipe(trained, pairs, sharded=True),
    }


def whole(recipe: Common) -> Any:
    """What one process starts from."""
    if isinstance(recipe, DPORecipe):
        return load_model(Path(recipe.model)).network
    assert isinstance(recipe, SFTRecipe)
    data_set = recipe.data_folders[0]
    return start(recipe.model, data_set, SequenceFormat.read(data_set), recipe.seed)


@pytest.fixture(scope="module")
def loaded(recipes: Recipes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PEAK.exists():
        pytest.skip("this system does not tell how much memory a process has had")
    folder = tmp_path_factory.mktemp("loaded")
    jobs = [Job.of(recipe, folder / name) for name, recipe in recipes.items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")  # else glibc keeps what the model before has left, and fills it
        launch(jobs, PROCESSES, "tests.training.loaded", processor=True)
    return folder


@pytest.mark.parametrize("name", ["files", "random", "stage_1"])
def test_only_the_first_process_holds_the_whole_model(recipes: Recipes, loaded: Path, name: str) -> None:
    size = whole(recipes[name]).get_memory_footprint()
    assert size > 150e6, "beside it all else that a process loads is little"
    first, second = (json.loads((loaded / name / f"{index}.json").read_text()) for index in range(PROCESSES))
    assert second < 0.8 * size < first


@pytest.mark.parametrize("name", ["files", "random", "stage_1", "apart", "streams", "random_streams"])
def test_a_divided_model_is_that_of_one_process(recipes: Recipes, loaded: Path, name: str) -> None:
    """Bit for bit: rows of new tokens, random weights, and what is in no file, such as frequencies of positions."""
    network = whole(recipes[name])
    expected = network.state_dict() | dict(network.named_buffers())
    assert "model.rotary_emb.inv_freq" in expected or "backbone.model.rotary_emb.inv_freq" in expected
    for index in range(PROCESSES):
        tensors = load_file(loaded / name / f"{index}.safetensors")
        assert tensors.keys() == expected.keys()
        for tensor in expected:
            assert torch.equal(tensors[tensor], expected[tensor]), tensor
