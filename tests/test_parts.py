"""A build of other parts than the embedded ones, on Ray: a language model's endpoint, a neural speech tokenizer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from duplexgen.pipeline.commands.build import build
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer
from tests.corpus import recipe_dict
from tests.rewriting.llm.conftest import endpoint  # noqa: F401
from tests.serving import Endpoint
from tests.tokens.tiny import write_glm4voice

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture
def parts(tmp_path: Path, endpoint: Endpoint) -> dict[str, Any]:  # noqa: F811
    text = tmp_path / "text"
    text.mkdir()
    (text / "tokenizer.json").write_text(BytePairTokenizer().to_json())
    return {
        "rewriting": {"engine": "llm", "llm": {"url": endpoint.url, "model": "some-model"}},
        "tokens": {
            "speech_tokenizer": "glm4voice",
            "glm4voice": {"checkpoint": str(write_glm4voice(tmp_path / "codec")), "device": "cpu"},
            "text_tokenizer": "pretrained",
            "pretrained": {"folder": str(text)},
        },
    }


def test_other_parts_make_a_data_set_that_verifies(
    corpus: Path,
    parts: dict[str, Any],
    endpoint: Endpoint,  # noqa: F811
    tmp_path: Path,
) -> None:
    dataset = _build(corpus, parts, "turn_taking", tmp_path)
    assert list(verify(dataset.path, lambda _: None)) == []
    rows = list(dataset.rows())
    assert len(rows) == len(endpoint.requests) == 3
    for row in rows:
        assert all(of["text"].startswith("Well, ") for of in row["events"])
        codes = np.array(row["user_codes"])
        assert codes.shape[0] == 1 and codes.max() < 512 and len(np.unique(codes)) > 2
    tokenizer = AutoTokenizer.from_pretrained(dataset.path / "vocabulary")
    assert str(tokenizer.convert_ids_to_tokens(int(rows[0]["input_ids"][0]))).startswith("<|audio_")
    _build(corpus, parts, "interruption", tmp_path)
    assert len(endpoint.requests) == 3, "the second data set over the same dialogues asks nothing"


def _build(corpus: Path, parts: dict[str, Any], scenario: str, folder: Path) -> Dataset:
    recipe = Recipe.model_validate(recipe_dict(corpus, scenario, **parts))
    build(recipe, Path("/"), folder / scenario, folder / "work", 3, Display())
    return Dataset(folder / scenario)
