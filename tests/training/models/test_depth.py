"""The depth transformer: the numbers of the public models, causality, and steps that give what the whole pass gives."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from duplexgen.training.models.depth import Cache, DepthShape, DepthTransformer
from tests.training.models import public_numbers
from tests.training.models.public_weights import flm_shape, from_flm, from_moshi, moshi_shape

SMALL = DepthShape(input_size=12, codebooks=4, codes=9, audio_size=11, hidden_size=16, num_layers=2, num_heads=4)
SHAPES = [
    replace(SMALL, weights="mlp", text_size=None),
    replace(SMALL, weights="all", text_size=7, final_norm=False),
    replace(SMALL, weights="shared", text_size=7),
]


def made(shape: DepthShape) -> DepthTransformer:
    torch.manual_seed(1)
    model = DepthTransformer(shape)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def columns(shape: DepthShape, count: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, codes and text tokens."""
    torch.manual_seed(2)
    codes = torch.randint(0, shape.audio_size, (count, shape.codebooks))
    return torch.randn(count, shape.input_size), codes, torch.randint(0, 7, (count,))


def numbers(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Committed weights of a public model; and what it read and gave."""
    with np.load(public_numbers.NUMBERS / f"{name}.npz", allow_pickle=False) as file:
        found = {key: torch.from_numpy(file[key]) for key in file.files}
    weights = {key.removeprefix("weights/"): value for key, value in found.items() if key.startswith("weights/")}
    return weights, {key: value for key, value in found.items() if not key.startswith("weights/")}


def test_ours_gives_the_numbers_of_flm_audio() -> None:
    weights, seen = numbers("flm")
    model = DepthTransformer(flm_shape(weights, public_numbers.HEADS))
    model.load_state_dict(from_flm(weights, audio_start=public_numbers.CODES + 1))
    logits = model(seen["hidden"], seen["codes"], text=torch.zeros(len(seen["codes"]), dtype=torch.long))
    torch.testing.assert_close(logits, seen["logits"], atol=1e-5, rtol=1e-5)


def test_ours_gives_the_numbers_of_moshi() -> None:
    weights, seen = numbers("moshi")
    model = DepthTransformer(moshi_shape(weights, public_numbers.HEADS))
    model.load_state_dict(from_moshi(weights))
    logits = model(seen["hidden"], seen["codes"], seen["text"])
    torch.testing.assert_close(logits, seen["logits"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "variable", "compute"),
    [("flm", "DUPLEXGEN_FLM_AUDIO", public_numbers.flm), ("moshi", "DUPLEXGEN_MOSHI", public_numbers.moshi)],
)
def test_the_numbers_are_still_those_of_the_public_code(
    name: str, variable: str, compute: Callable[[Path], public_numbers.Arrays]
) -> None:
    if variable not in os.environ:
        pytest.skip(f"{variable} names no clone")
    if name == "moshi":
        pytest.importorskip("einops")
    weights, seen = numbers(name)
    live = compute(Path(os.environ[variable]))
    committed = {f"weights/{key}": value for key, value in weights.items()} | seen
    assert live.keys() == committed.keys()
    for key, value in live.items():
        torch.testing.assert_close(torch.from_numpy(value), committed[key], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_steps_give_the_logits_of_the_whole_pass(shape: DepthShape) -> None:
    """Also if the same cache serves a second column: codebook 0 starts it anew."""
    model = made(shape)
    hidden, codes, text = columns(shape)
    whole = model(hidden, codes, text)
    cache: Cache = []
    for _ in range(2):
        for index in range(shape.codebooks):
            before = text if index == 0 else codes[:, index - 1]
            torch.testing.assert_close(model.step(hidden, before, index, cache), whole[:, index])
            assert [keys.shape[2] for keys, _ in cache] == [index + 1] * shape.num_layers


@pytest.mark.parametrize("shape", SHAPES)
def test_a_code_depends_on_the_codes_before_it_alone(shape: DepthShape) -> None:
    model = made(shape)
    hidden, codes, text = columns(shape)
    for index in range(shape.codebooks):
        other = codes.clone()
        other[:, index] = (codes[:, index] + 1) % shape.codes
        same = torch.isclose(model(hidden, codes, text), model(hidden, other, text)).all(dim=2).all(dim=0)
        assert same.tolist() == [later <= index for later in range(shape.codebooks)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_text_token_counts_only_if_it_is_read(shape: DepthShape) -> None:
    model = made(shape)
    hidden, codes, text = columns(shape)
    same = torch.isclose(model(hidden, codes, text), model(hidden, codes, (text + 1) % 7)).all()
    assert bool(same) == (shape.text_size is None)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_codes_that_are_generated_are_those_that_the_whole_pass_finds_best(shape: DepthShape) -> None:
    model = made(shape)
    hidden, _, text = columns(shape)
    codes = model.generate(hidden, text, lambda logits, _: logits.argmax(-1))
    assert codes.shape == (len(hidden), shape.codebooks)
    assert torch.equal(model(hidden, codes, text).argmax(-1), codes)


@pytest.mark.parametrize("shape", SHAPES)
def test_recomputed_activations_give_the_same_gradients(shape: DepthShape) -> None:
    model = made(shape).train()
    found = []
    for recomputed in (False, True):
        model.gradient_checkpointing = recomputed
        model.zero_grad()
        model(*columns(shape)).square().mean().backward()
        found.append([weight.grad for weight in model.parameters()])
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second)


def test_heads_that_do_not_divide_the_size() -> None:
    with pytest.raises(ValueError, match="no multiple of its num_heads"):
        replace(SMALL, num_heads=3)
