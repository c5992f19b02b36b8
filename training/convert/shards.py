"""Weights in files of safetensors, read and written a block at a time: a model of any size needs little memory."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...pipeline.errors import UserError
from ...pipeline.storage.atomic import write_json
from ...pipeline.storage.model_files import HEADER_LENGTH_BYTES, StoredTensor, read_json_object, stored_tensors

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
BLOCK_BYTES = 1 << 26
DTYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}

Shards = dict[str, dict[str, StoredTensor]]
"""By the names of files: tensors by their names."""


@dataclass(frozen=True)
class Rows:
    """Rows first … last - 1 of a stored tensor."""

    tensor: StoredTensor
    first: int
    last: int


@dataclass(frozen=True)
class NewTensor:
    """A tensor to write: parts, one below the other. A part that is no `Rows` holds its rows, float64 [rows, …]."""

    dtype: str
    shape: tuple[int, ...]
    parts: tuple[Rows | NDArray[np.float64], ...]

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * DTYPES[self.dtype].itemsize


NewShards = Mapping[str, Mapping[str, NewTensor]]


def whole(tensor: StoredTensor) -> Rows:
    return Rows(tensor, 0, tensor.shape[0])


def read_shards(folder: Path) -> Shards:
    """Where the weights of a folder are. Raises UserError if a file is missing, or is not whole."""
    try:
        index = read_json_object(folder / INDEX)["weight_map"] if (folder / INDEX).is_file() else None
        if index is None:
            shards = {SINGLE: stored_tensors(folder / SINGLE)}
        else:
            shards = {file: stored_tensors(folder / file) for file in _files(folder, index)}
            _check_index(index, shards, folder)
        for file, tensors in shards.items():
            for name, tensor in tensors.items():
                _check_tensor(folder / file, name, tensor)
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename}: there is no such file. Expected weights in safetensors, {SINGLE} or the files of "
            f"{INDEX}: copy the folder again, whole."
        ) from None
    except OSError as error:
        raise UserError(f"the weights in {folder} cannot be read: {error}.") from error
    except (KeyError, ValueError) as error:
        raise UserError(f"the weights in {folder} cannot be read: {error}.") from error
    return shards


def _files(folder: Path, index: Any) -> list[str]:
    """The files of an index, which a stranger may have written: names alone, and no paths."""
    if not isinstance(index, dict) or not index:
        raise ValueError(f"weight_map in {folder / INDEX} names no tensors")
    for file in index.values():
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise ValueError(f"{folder / INDEX} names {file!r}, expected a file *.safetensors beside it")
    return sorted(set(index.values()))


def _check_index(index: dict[str, str], shards: Shards, folder: Path) -> None:
    stored = {name: file for file, tensors in shards.items() for name in tensors}
    if unlike := sorted(name for name in index.keys() | stored.keys() if index.get(name) != stored.get(name)):
        name = unlike[0]
        raise ValueError(
            f"{folder / INDEX} has {name!r} in {index.get(name, 'no file')}, and it is in "
            f"{stored.get(name, 'no file')}: copy the folder again"
        )


def _check_tensor(path: Path, name: str, tensor: StoredTensor) -> None:
    if tensor.dtype not in DTYPES:
        raise ValueError(f"{path} has {name!r} as {tensor.dtype}, expected {', '.join(DTYPES)}: no quantized weights")
    if not tensor.shape or any(not isinstance(size, int) or size < 1 for size in tensor.shape):
        raise ValueError(f"{path} has {name!r} of shape {[*tensor.shape]}")
    if tensor.end - tensor.start != prod(tensor.shape) * DTYPES[tensor.dtype].itemsize:
        raise ValueError(f"{path} has {tensor.end - tensor.start} bytes for {name!r} of shape {[*tensor.shape]}")


def mean(rows: Rows) -> NDArray[np.float64]:
    """The mean row, [1, …]."""
    shape = (-1, *rows.tensor.shape[1:])
    sums = [block.to(torch.float64).view(shape).numpy().sum(axis=0) for block in _blocks(rows)]
    found: NDArray[np.float64] = np.sum(sums, axis=0, keepdims=True) / (rows.last - rows.first)
    return found


def write_shards(folder: Path, shards: NewShards, report: Callable[[int], None]) -> None:
    """Write tensors into the files of a new folder, and the index that says which file has which.

    report: is called with the number of tensors that were written so far.
    """
    written = 0
    for file, tensors in shards.items():
        for _ in _write(folder / file, tensors):
            written += 1
            report(written)
    if [*shards] != [SINGLE]:
        total = sum(tensor.num_bytes for tensors in shards.values() for tensor in tensors.values())
        names = {name: file for file, tensors in shards.items() for name in tensors}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": names})


def _write(path: Path, tensors: Mapping[str, NewTensor]) -> Iterator[str]:
    """Write one file as safetensors itself does, wide numbers first. Yields each name once its tensor is written."""
    ordered = sorted(tensors.items(), key=lambda item: (-DTYPES[item[1].dtype].itemsize, item[0]))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.num_bytes
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
    described = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    described += b" " * (-len(described) % HEADER_LENGTH_BYTES)
    with path.open("wb") as file:
        file.write(len(described).to_bytes(HEADER_LENGTH_BYTES, "little") + described)
        for name, tensor in ordered:
            for part in tensor.parts:
                for block in _blocks(part) if isinstance(part, Rows) else [torch.from_numpy(part)]:
                    file.write(block.to(DTYPES[tensor.dtype]).contiguous().view(torch.uint8).numpy().data)
            yield name


def _blocks(rows: Rows) -> Iterator[torch.Tensor]:
    """The numbers of some rows, flat: [whole rows · …] at a time, and not more than BLOCK_BYTES if a row has less."""
    tensor = rows.tensor
    row_bytes = (tensor.end - tensor.start) // tensor.shape[0]
    step = max(1, BLOCK_BYTES // row_bytes)
    with tensor.path.open("rb") as file:
        file.seek(tensor.start + rows.first * row_bytes)
        for first in range(rows.first, rows.last, step):
            block = bytearray(min(step, rows.last - first) * row_bytes)
            if file.readinto(block) != len(block):
                raise UserError(f"{tensor.path} became shorter while it was read: copy it again.")
            yield torch.frombuffer(block, dtype=DTYPES[tensor.dtype])
