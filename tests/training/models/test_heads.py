"""The loss of many positions in pieces: the same numbers, and no logits of all positions."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from duplexgen.training.models import heads
from duplexgen.training.models.heads import FLOAT32_BYTES, allow_pieces, cross_entropy, losses_at
from tests.layouts.streams import flm
from tests.training.streams import LLAMA, ids_of, network_of

SIZE, PIECE = 300, 7
GEMMA: dict[str, Any] = LLAMA | {"model_type": "gemma2", "num_key_value_heads": 2, "head_dim": 16}


def causal(config: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    from_config: Any = AutoModelForCausalLM.from_config
    network = from_config(AutoConfig.for_model(**config, vocab_size=SIZE))
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return network


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Logits of up to PIECE positions may be computed at once; how many positions each computation has."""
    seen: list[int] = []

    def recorded(logits: Tensor, ids: Tensor) -> Tensor:
        seen.append(logits.flatten(0, -2).shape[0])
        return cross_entropy(logits, ids)

    monkeypatch.setattr(heads, "LOGITS_BYTES", PIECE * SIZE * FLOAT32_BYTES)
    monkeypatch.setattr(heads, "cross_entropy", recorded)
    return seen


def losses_and_gradients(network: Any, ids: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    network.zero_grad()
    with losses_at(network.get_output_embeddings(), targets) as losses_of:
        logits = network(input_ids=ids, use_cache=False).logits
    losses = losses_of(logits)
    (losses * torch.linspace(0.1, 2, losses.numel()).view_as(losses)).sum().backward()
    return losses.detach(), {name: weight.grad for name, weight in network.named_parameters()}


@pytest.mark.parametrize("tied", [False, True])
def test_pieces_give_the_losses_and_the_gradients_of_the_whole(sizes: list[int], tied: bool) -> None:
    network = causal(LLAMA | {"tie_word_embeddings": tied})
    ids, targets = torch.randint(0, SIZE, (2, 2, 11))
    whole = losses_and_gradients(network, ids, targets)
    assert sizes == [22], "nobody has allowed pieces"
    allow_pieces(network, 22)
    in_pieces = losses_and_gradients(network, ids, targets)
    assert max(sizes[1:]) == PIECE and sum(sizes[1:]) == 2 * 22, "once for the loss, once for its gradients"
    torch.testing.assert_close(in_pieces, whole, rtol=1e-5, atol=1e-6)
    assert network(ids).logits.shape == (2, 11, SIZE), "the head is itself again"


def test_few_positions_are_computed_as_ever(sizes: list[int]) -> None:
    network = causal(LLAMA)
    allow_pieces(network, 22)
    ids, targets = torch.randint(0, SIZE, (2, 1, PIECE))
    losses_and_gradients(network, ids, targets)
    assert sizes == [PIECE]


def test_a_model_that_changes_the_logits_of_its_head_is_left_alone(sizes: list[int]) -> None:
    """Gemma 2 bends them between its head and its output."""
    network = causal(GEMMA)
    allow_pieces(network, 22)
    ids, targets = torch.randint(0, SIZE, (2, 2, 11))
    losses, _ = losses_and_gradients(network, ids, targets)
    assert sizes == [22]
    torch.testing.assert_close(losses, cross_entropy(network(ids).logits, targets))


def test_the_text_of_streams_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = flm()
    network = network_of(layout)
    ids = torch.from_numpy(ids_of(layout, 20, 0)).long()[None].repeat(2, 1, 1)
    targets = torch.arange(1, 21)
    found = []
    for piece in (1000, 3):
        monkeypatch.setattr(heads, "LOGITS_BYTES", piece * network.config.text_config.vocab_size * FLOAT32_BYTES)
        allow_pieces(network, 40)
        network.zero_grad()
        losses = network(ids, targets, torch.ones(2, 20, dtype=torch.bool)).losses
        losses.mean().backward()
        found.append((losses.detach(), {name: weight.grad for name, weight in network.named_parameters()}))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)
