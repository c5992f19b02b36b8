"""From GLM-4-Voice as it is published, over a data set of ours, to a trained model and back to its programs."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.convert.glm4voice import convert, export
from duplexgen.training.models.model import load_model
from duplexgen.training.objectives.sft import train_sft
from tests.layouts.public.programs import run
from tests.layouts.public.test_bayling import CLONES, TOLERANCE, given, with_code
from tests.tokens.tiny import write_glm4voice
from tests.training.convert.folders import CODES, loaded, published
from tests.training.objectives.test_sft import sft_recipe

silent = nullcontext(lambda done: None)


@dataclass(frozen=True)
class Chain:
    published: Path
    converted: Path
    data: Dataset
    trained: Path
    exported: Path


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, data_sets: Callable[..., Dataset]) -> Chain:
    folder = tmp_path_factory.mktemp("chain")
    source = published(folder / "published", seq_length=4096)
    convert(source, folder / "converted", lambda total: silent)
    tokens = {
        "speech_tokenizer": "glm4voice",
        "glm4voice": {"checkpoint": str(write_glm4voice(folder / "tokenizer", codes=CODES)), "device": "cpu"},
        "text_tokenizer": "pretrained",
        "pretrained": {"folder": str(folder / "converted")},
    }
    data = data_sets("interruption", "glm", tokens=tokens)
    recipe = sft_recipe(data.path, steps=3, model={"pretrained": str(folder / "converted")})
    train_sft(recipe, folder / "trained", Display(quiet=True))
    export(folder / "trained", source, folder / "exported", lambda total: silent)
    return Chain(source, folder / "converted", data, folder / "trained", folder / "exported")


def test_training_changes_the_weights_and_nothing_else_of_the_published_folder(chain: Chain) -> None:
    before, after = loaded(chain.published), loaded(chain.exported)
    assert {name: weight.shape for name, weight in before.items()} == {
        name: weight.shape for name, weight in after.items()
    }
    for name, weight in before.items():
        moved = float((weight - after[name]).abs().max())
        assert moved == 0 if name.endswith("inv_freq") else 0 < moved < 1, name
    states = chain.data.described.vocabulary.ids()["state"]
    names = (chain.exported / "tokenizer_config.json").read_text()
    assert all(f'"{id_}"' in names for id_ in states.values())
    config = (chain.published / "config.json").read_text()
    assert sorted((chain.exported / "config.json").read_text().split()) == sorted(config.split())


def test_who_trains_from_the_published_folder_is_told_to_convert_it(chain: Chain, tmp_path: Path) -> None:
    recipe = sft_recipe(chain.data.path, model={"pretrained": str(chain.published)})
    with pytest.raises(UserError, match=r"`duplexgen models convert glm-4-voice-9b .*published --out NEW_FOLDER`"):
        train_sft(recipe, tmp_path / "model", Display(quiet=True))


def test_the_published_loop_runs_the_trained_model_over_the_whole_data_set(chain: Chain, tmp_path: Path) -> None:
    with_code(chain.exported)
    shared = chain.data.described.vocabulary
    assert isinstance(shared, SharedVocabulary)
    rows = {row["dialogue_id"]: np.array(row["input_ids"]) for row in chain.data.rows(["dialogue_id", "input_ids"])}
    examples = {name: given(ids, shared) for name, ids in rows.items()}
    replayed = run("bayling", tmp_path, {"model": str(chain.exported), "examples": examples}, *CLONES)["examples"]
    network = load_model(chain.trained).network
    for name, ids in rows.items():
        assert replayed[name]["fed"] == ids.tolist(), name
        with torch.no_grad():
            logits = network(torch.from_numpy(ids).long()[None]).logits[0]
        theirs = replayed[name]["logsumexp"]
        np.testing.assert_allclose(logits.logsumexp(dim=1).numpy(), theirs, rtol=0, atol=TOLERANCE)
