"""The state of training as files: weights, AdamW's figures and random states, exactly, without pickle.

Each process writes the part that it has. Parts are rows of tensors, so any number of processes can read them again.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .sharding import is_sharded, part_of, rows_of_part

WEIGHT = "weight"  # beside the names that the optimizer gives to its figures
RANDOM = "random-{:05d}.safetensors"


def write_state(network: nn.Module, optimizer: torch.optim.Optimizer, folder: Path, index: int, processes: int) -> None:
    """Write the part of process `index`; if the model is not divided, the first process writes all."""
    count = processes if is_sharded(network) else 1
    if index >= count:
        return
    figures = {f"{key}/{name}": value for name, key, value in _figures(network, optimizer)}
    weights = {f"{WEIGHT}/{name}": tensor for name, tensor in _weights(network).items()}
    parts = {name: part_of(tensor.detach()).contiguous() for name, tensor in (weights | figures).items()}
    filled = {name: part for name, part in parts.items() if part.numel()}
    save_file(filled, folder / f"part-{index:05d}-of-{count:05d}.safetensors")


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """What training may change: weights that it learns, and tensors that are no weights but belong to the model."""
    weights = dict(network.named_parameters())
    names = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    others = {name: tensor for name, tensor in network.state_dict().items() if name not in names}
    return {name: weight for name, weight in weights.items() if weight.requires_grad} | others


def _figures(network: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, str, Tensor]]:
    for name, weight in network.named_parameters():
        yield from ((name, key, value) for key, value in optimizer.state.get(weight, {}).items())


@torch.no_grad()
def read_state(network: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Set a network and its optimizer to what `write_state` wrote. Raises KeyError if a part or a tensor is missing."""
    with ExitStack() as stack:
        paths = sorted(folder.glob("part-*.safetensors"))
        files = [stack.enter_context(safe_open(path, framework="pt")) for path in paths]
        if not files:
            raise KeyError("part-*.safetensors")
        places: dict[str, list[Any]] = {}
        for file in files:
            for name in file.keys():  # noqa: SIM118  it is no mapping
                places.setdefault(name, []).append(file)
        for name, tensor in _weights(network).items():
            _fill(tensor, places, f"{WEIGHT}/{name}")
        for name, weight in network.named_parameters():
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in places]
            if keys:
                optimizer.state[weight] = {key: _empty(weight, key) for key in keys}
            for key in keys:
                _fill(optimizer.state[weight][key], places, f"{key}/{name}")


def _empty(weight: Tensor, key: str) -> Tensor:
    return torch.zeros(()) if key == "step" else torch.zeros_like(weight)


def _fill(tensor: Tensor, places: Mapping[str, list[Any]], name: str) -> None:
    """Read the rows that this process has, whatever files they are in. places: the files that have each name."""
    if not tensor.dim():
        tensor.copy_(places[name][0].get_tensor(name))
        return
    part, rows, first = part_of(tensor), rows_of_part(tensor), 0
    for file in places[name] if tensor.numel() else ():
        place = file.get_slice(name)
        past = first + place.get_shape()[0]
        start, stop = max(first, rows.start), min(past, rows.stop)
        if start < stop:
            part[start - rows.start : stop - rows.start] = place[start - first : stop - first].to(part.device)
        first = past


def write_random(folder: Path, index: int) -> None:
    """Write torch's random states of this process: models with dropout draw from them."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    save_file(states, folder / RANDOM.format(index))


def read_random(folder: Path, index: int) -> None:
    """Continue with these random states, if there was such a process."""
    if not (path := folder / RANDOM.format(index)).exists():
        return
    states = load_file(path)
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
