"""The head of a language model, whose logits are the largest tensors of training: [positions, ids], in float32.

For 168,000 ids, 3,750 positions take 2.5 GB, and the loss has three of such tensors at a time. So the loss of many
positions is computed in pieces, and the logits of a piece once more for its gradients.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

LOGITS_BYTES = 1 << 30  # of the logits of a piece, in float32
FLOAT32_BYTES = 4
IN_PIECES = "computes_losses_in_pieces"  # an attribute of heads that may


def cross_entropy(logits: Tensor, ids: Tensor) -> Tensor:
    """ℓ of ids [...], float32. logits: [..., size]."""
    return functional.cross_entropy(logits.flatten(0, -2).float(), ids.flatten(), reduction="none").view_as(ids)


def allow_pieces(network: PreTrainedModel, positions: int) -> None:
    """Let the head of a network compute losses in pieces if so many positions at once need it, and if it can.

    It cannot if the model's class changes the logits that its head gives, as Gemma's does. On `meta` this cannot be
    tried: `shard` tells such a network what the first process found.
    """
    head: Any = network.get_output_embeddings()  # type: ignore[no-untyped-call]
    if positions <= _piece(head) or head.weight.is_meta:
        return
    codebooks: Any = getattr(network, "codebooks", 0)  # of a model of parallel streams
    shape = (1, 2, 1 + 2 * codebooks) if codebooks else (1, 2)
    ids = torch.zeros(shape, dtype=torch.long, device=network.device)
    with torch.no_grad(), outputs_of(head) as seen:
        output = network(ids)
    logits = output.text_logits if codebooks else output.logits
    if len(seen) == 1 and torch.equal(seen[0], logits):
        setattr(head, IN_PIECES, True)


@contextmanager
def losses_at(head: nn.Module, ids: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
    """In the block, let a network run once; what is yielded turns its logits [B, K, size] into ℓ of ids [B, K].

    If the loss is computed in pieces, the head gives ℓ in the place of its logits.
    """
    piece = _piece(head)
    if ids.numel() <= piece or not getattr(head, IN_PIECES, False):
        yield lambda logits: cross_entropy(logits, ids)
        return
    plain = head.forward

    def losses(hidden: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(plain(hidden), targets)

    def forward(hidden: Tensor) -> Tensor:
        pairs = zip(torch.split(hidden.flatten(0, 1), piece), torch.split(ids.flatten(), piece), strict=True)
        pieces = [checkpoint(losses, *pair, use_reentrant=False, preserve_rng_state=False) for pair in pairs]
        return torch.cat(pieces).view(*ids.shape, 1)

    vars(head)["forward"] = forward
    try:
        yield lambda given: given[..., 0]
    finally:
        del vars(head)["forward"]


def _piece(head: Any) -> int:
    """How many positions may be computed at once."""
    return max(1, LOGITS_BYTES // (FLOAT32_BYTES * int(head.weight.shape[0])))


@contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """The inputs of a module, each time that it is called. The head's input is the hidden state, in any model."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs of a module, each time that it is called."""
    seen: list[Tensor] = []
    handle = module.register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        yield seen
    finally:
        handle.remove()
