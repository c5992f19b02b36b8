"""A model in parts: each of several devices has a part of the weights, the gradients and AdamW's figures (FSDP 2).

It is torch's `fully_shard`, called here and not by accelerate, which divides models only among GPUs: so two processes
of a processor test what GPUs run. Each weight is divided along its first axis, as `torch.chunk` would divide it.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from ..pipeline.errors import UserError
from .models.heads import IN_PIECES
from .recipe import Precision


def shard(network: PreTrainedModel, device: torch.device, precision: Precision) -> PreTrainedModel:
    """Divide a network among all processes, in place.

    Only the first process passes it with its weights, on the processor, and gives each of the others its part. These
    pass the same network on `meta`, so none of them ever has more than its part and one whole tensor.

    A layer is put together while it computes, in bf16 if that is the precision; gradients are summed in fp32, and AdamW
    has fp32. Unlike under autocast, what flows between layers is then bf16, too. Raises UserError if the processes'
    networks differ.
    """
    half = precision == "bf16"
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if half else MixedPrecisionPolicy()
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    _agree(network, device)
    wholes = _taken(network)
    for layer in _layers(network):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    for table in _tables(network):
        fully_shard(table, mesh=mesh, mp_policy=policy, reshard_after_forward=table is network.get_input_embeddings())
    fully_shard(network, mesh=mesh, mp_policy=policy)
    network.to_empty(device=device)
    _hand_out(network, wholes)
    return network


def _agree(network: PreTrainedModel, device: torch.device) -> None:
    """Take over what the first process knows beside its weights. Raises UserError if its network is another one."""
    head = network.get_output_embeddings()  # type: ignore[no-untyped-call]
    shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in _tensors(network)}
    told: list[Any] = [shapes, getattr(head, IN_PIECES, False), torch.get_rng_state()]
    torch.distributed.broadcast_object_list(told, src=0, device=device)
    expected, in_pieces, random_state = told
    if unlike := sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name)):
        raise UserError(
            f"the model's files have other tensors than its configuration says, {len(unlike)} of them, such as "
            f"{unlike[0]}: such a model cannot be divided. Set optimization.sharded: false, or use another model."
        )
    setattr(head, IN_PIECES, in_pieces)
    torch.set_rng_state(random_state)


def _tensors(network: nn.Module) -> list[tuple[str, Tensor]]:
    """Weights, each once, and what belongs to a network beside them, such as the frequencies of positions."""
    return [*network.named_parameters(), *network.named_buffers(remove_duplicate=False)]


@torch.no_grad()
def _taken(network: nn.Module) -> dict[str, Tensor]:
    """Take the tensors of a network, which stays on `meta`. Names that share a weight there share it still."""
    wholes = {name: tensor.detach() for name, tensor in _tensors(network)}
    outlines: dict[nn.Parameter, nn.Parameter] = {}
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            outlined = nn.Parameter(weight.to("meta"), weight.requires_grad)
            setattr(module, name, outlines.setdefault(weight, outlined))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, buffer.to("meta"))
    return wholes


@torch.no_grad()
def _hand_out(network: nn.Module, wholes: dict[str, Tensor]) -> None:
    """Set the tensors of each process to what the first one has in `wholes`, which are freed one by one."""
    is_first = torch.distributed.get_rank() == 0
    for name, tensor in _tensors(network):
        whole = wholes.pop(name)
        if not is_first:
            whole = torch.empty_like(whole, device=tensor.device)
        if isinstance(tensor, DTensor):
            tensor.copy_(distribute_tensor(whole, tensor.device_mesh, tensor.placements))
        else:
            torch.distributed.broadcast(tensor.copy_(whole), src=0)


def _layers(network: PreTrainedModel) -> Iterator[nn.Module]:
    """What is put together one at a time: the blocks that transformers never splits between devices."""
    names = set(network._no_split_modules or ())
    yield from (module for module in network.modules() if type(module).__name__ in names)


def _tables(network: PreTrainedModel) -> list[nn.Module]:
    """The embedding and the head, unless they share their weights: these stay with the rest, which is used throughout.

    The head's backward pass follows its forward pass at once, so it stays whole in between.
    """
    embedding, head = network.get_input_embeddings(), network.get_output_embeddings()  # type: ignore[no-untyped-call]
    return [] if embedding.weight is head.weight else [embedding, head]


def divide_again(network: nn.Module) -> None:
    """Divide what a forward pass has put together and no backward pass has divided again.

    Until then `parameters` gives whole weights, and what is done to them is lost.
    """
    for module in network.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def is_sharded(network: nn.Module) -> bool:
    return any(isinstance(weight, DTensor) for weight in network.parameters())


def part_of(tensor: Tensor) -> Tensor:
    """The part that this process has: all of it if the tensor is not divided. Shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def rows_of_part(tensor: Tensor) -> slice:
    """Which rows of the whole tensor `part_of` gives."""
    rows = tensor.shape[0] if tensor.dim() else 1
    if not isinstance(tensor, DTensor):
        return slice(0, rows)
    size = -(-rows // tensor.device_mesh.size())
    start = min(rows, size * tensor.device_mesh.get_local_rank())
    return slice(start, min(rows, start + size))


def whole_norm(norm: Tensor) -> Tensor:
    """A norm over all parts."""
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


@torch.no_grad()
def whole_state(network: nn.Module, keep: bool) -> dict[str, Tensor]:
    """The state of a network, put together one tensor at a time, on the processor. keep: empty for other processes."""
    divide_again(network)
    wholes: dict[int, Tensor] = {}  # names that share a tensor share the whole one, too
    named = network.state_dict(keep_vars=True)
    for tensor in named.values():
        if id(tensor) not in wholes:
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.detach()
            wholes[id(tensor)] = whole.cpu() if keep else whole.new_empty(0)
    return {name: wholes[id(tensor)] for name, tensor in named.items()} if keep else {}
