"""Data sets of both scenarios, and a tiny model over their vocabulary."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from duplexgen.pipeline.commands.build import build, prepare
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.storage.atomic import write_json
from duplexgen.training.models.model import ABOUT, DuplexModel, load_model, save_model
from duplexgen.training.models.start import start_from_config
from duplexgen.training.sequences import SequenceFormat
from tests.corpus import recipe_dict, run_stages

TINY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 1500,
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_kernels() -> Iterator[None]:
    """Undo what training chose for the process, for the tests that follow."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def data_sets(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Callable[[str], Dataset]:
    """The data set of a scenario, four dialogues long."""
    folder = tmp_path_factory.mktemp("data_sets")

    def make(scenario: str, name: str | None = None, **changes: Any) -> Dataset:
        out = folder / (name or scenario)
        if not out.exists():
            recipe = Recipe.model_validate(recipe_dict(corpus, scenario, **changes))
            run_stages(prepare(recipe, Path("/"), folder / "work", 4, Display()))
            build(recipe, Path("/"), out, folder / "work", 4, Display())
        return Dataset(out)

    return make


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, data_sets: Callable[[str], Dataset]) -> Path:
    """A model that has learned nothing, as `duplexgen train` would have written it."""
    data_set = data_sets("turn_taking")
    folder = tmp_path_factory.mktemp("models") / "tiny"
    network = start_from_config(TINY, SequenceFormat.read(data_set.path), seed=0)
    save_model(network, network.state_dict(), data_set.path, folder)
    write_json(folder / ABOUT, {"recipe": {"name": "tiny"}})
    return folder


@pytest.fixture(scope="session")
def model(model_folder: Path) -> DuplexModel:
    return load_model(model_folder)
