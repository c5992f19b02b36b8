"""A row through BayLing-Duplex's published loop and GLM-4-Voice's published code, with a model that was converted there
and back: it is fed the row, and gives the logits that transformers' class gives."""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from duplexgen.pipeline.dialogue import TURN, CodedTrack, Event, Role
from duplexgen.pipeline.layouts.bayling import Bayling, BaylingSection
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.tokens.section import Pretrained, Tokens
from duplexgen.pipeline.tokens.text.pretrained import PretrainedTokenizer
from duplexgen.training.convert.glm4voice import convert, export
from tests.layouts.public.programs import clones, numbers, run
from tests.training.convert.folders import CODES, published

CLONES = ("bayling-duplex", "glm-4-voice-sft", "glm-4-tokenizer")
SPF, FRAMES, MARGIN = 1280, 80, 20
REPLIES = ("It's ten past two.", "你好")
TOLERANCE = 2e-5  # of logits in fp32, which go up to 5 here: their sums are in another order
silent = nullcontext(lambda done: None)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("glm")
    convert(published(folder / "published"), folder / "converted", lambda total: silent)
    return folder / "converted"


def vocabulary(model: Path) -> tuple[SharedVocabulary, list[list[int]]]:
    """Of a model's folder, with the ids of the replies."""
    tokenizer = PretrainedTokenizer(Tokens(pretrained=Pretrained(folder=str(model))))
    return SharedVocabulary.extending(tokenizer, CODES), [tokenizer.encode(text) for text in REPLIES]


def track() -> CodedTrack:
    """Two turns of the user and two replies. Among the codes is the last one, which the published model cannot name."""
    codes = np.random.RandomState(5).randint(0, CODES, (2, 1, FRAMES + MARGIN)).astype(np.int16)
    codes[:, :, 15:17] = [0, CODES - 1]
    spans: tuple[tuple[Role, int, int], ...] = (
        ("user", 0, 12),
        ("assistant", 22, 38),
        ("user", 42, 50),
        ("assistant", 60, 74),
    )
    events = [
        Event(0, channel, TURN, start * SPF, end * SPF, end * SPF, place - 1 if place % 2 else None)
        for place, (channel, start, end) in enumerate(spans)
    ]
    return CodedTrack(codes[0], codes[1], MARGIN, SPF, tuple(events), ("", REPLIES[0], "", REPLIES[1]))


def row(model: Path) -> np.ndarray:
    """The ids of our row."""
    shared, (first, second) = vocabulary(model)
    ids: np.ndarray = Bayling(BaylingSection(), shared, SPF).encode(track(), [[], first, [], second])["input_ids"]
    return ids


def with_code(source: Path) -> Path:
    """A published folder with the code of the clones in place of its own."""
    public = clones(*CLONES)
    for name in ("configuration_chatglm.py", "modeling_chatglm.py"):
        shutil.copy(public / "glm-4-voice-sft/model" / name, source)
    tokenizer = (public / "glm-4-tokenizer/glm-4-9b-chat/tokenization_chatglm.py").read_text()
    (source / "tokenization_chatglm.py").write_text(tokenizer.partition("\ntokenizer = ")[0])  # and a try of its author
    return source


def asked(folder: Path) -> dict[str, Any]:
    """What the loop is given; needs the clones. The model is converted there and back, with the code of the clones."""
    source = with_code(published(folder / "published"))
    convert(source, folder / "converted", lambda total: silent)
    export(folder / "converted", source, folder / "exported", lambda total: silent)
    ids, (shared, _) = row(folder / "converted"), vocabulary(folder / "converted")
    return {"model": str(folder / "exported"), "examples": {"row": given(ids, shared) | shown(ids)}}


def given(ids: np.ndarray, shared: SharedVocabulary) -> dict[str, Any]:
    """What the user says in a row, and what the loop is made to sample."""
    blocks = ids.reshape(-1, 25)
    return {
        "user": (blocks[:, :10].ravel() - shared.audio_first_id).tolist(),
        "text": blocks[:, 10:15].ravel().tolist(),
        "assistant": blocks[:, 15:].ravel().tolist(),
    }


def shown(ids: np.ndarray) -> dict[str, list[int]]:
    """Which logits are compared one by one: some positions, and of the vocabulary every 600th id and the last ones."""
    return {"rows": [*range(0, len(ids), 9)], "columns": [*range(0, 20492, 600), *range(20489, 20500)]}


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bayling")
    return run("bayling", folder, asked(folder), *CLONES)


@pytest.fixture(scope="module", params=["recorded", "now"])
def seen(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.getfixturevalue("now") if request.param == "now" else numbers("bayling")
    return found


def test_the_model_is_fed_the_row(seen: dict[str, Any], converted: Path) -> None:
    ids, replayed = row(converted), seen["examples"]["row"]
    assert seen["about"]["class"] == "ChatGLMForConditionalGeneration"
    assert replayed["fed"] == ids.tolist() and replayed["positions"] == [*range(len(ids))]


def test_what_it_says_is_what_the_row_says(seen: dict[str, Any], converted: Path) -> None:
    (shared, _), replayed = vocabulary(converted), seen["examples"]["row"]
    assert seen["about"]["states"] == shared.state
    assert seen["about"]["audio_vocab_size"] == shared.audio_size == CODES
    said = track().assistant_codes[0, 10 : FRAMES + 10]
    assert replayed["assistant"] == said.tolist() and replayed["texts"] == [*REPLIES]


def test_logits_are_those_of_transformers_class(seen: dict[str, Any], converted: Path) -> None:
    """The loop computes them step by step over its cache, transformers' class for the whole row at once."""
    ids, replayed = row(converted), seen["examples"]["row"]
    network = AutoModelForCausalLM.from_pretrained(converted, dtype=torch.float32).eval()
    assert type(network).__name__ == "GlmForCausalLM"
    with torch.no_grad():
        logits = network(torch.from_numpy(ids).long()[None]).logits[0]
    places = shown(ids)
    theirs = np.array(replayed["logits"])
    assert theirs.std() > 1, "so that a tolerance says something"
    np.testing.assert_allclose(logits[places["rows"]][:, places["columns"]].numpy(), theirs, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(logits.logsumexp(dim=1).numpy(), replayed["logsumexp"], rtol=0, atol=TOLERANCE)


def test_the_recorded_numbers_are_what_the_program_does_now(now: dict[str, Any]) -> None:
    recorded, replayed = numbers("bayling")["examples"]["row"], dict(now["examples"]["row"])
    for name in ("logits", "logsumexp"):
        np.testing.assert_allclose(replayed.pop(name), recorded.pop(name), rtol=0, atol=TOLERANCE)
    assert replayed == recorded and now["about"] == numbers("bayling")["about"]
