"""Reads files of models without loading a model: configurations, shapes of tensors, and checksums, which are cached."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ..errors import UserError
from .atomic import atomic_path, canonical_json, file_sha256
from .paths import read_bytes

HEADER_LENGTH_BYTES = 8  # of a safetensors file
LONGEST_HEADER_BYTES = 100_000_000  # the limit of safetensors itself
LARGEST_JSON_BYTES = 1 << 26  # tokenizers of large vocabularies have 10 to 30 MB
LARGEST_INTEGER = 10**12
MOST_LAYERS = 10_000  # of anything that a configuration repeats


def place(path: str) -> Path:
    """A path of a model in a recipe, made absolute here: a worker has another working folder."""
    with suppress(RuntimeError):  # no such user: then the path is reported as missing
        return Path(path).expanduser().absolute()
    return Path(path).absolute()


def folder_checksum(folder: Path, files: Iterable[str]) -> str:
    """sha256 over the names and contents of files of a folder. The folder's own path does not matter."""
    return hashlib.sha256(canonical_json({name: checksum(folder / name) for name in files}).encode()).hexdigest()


def checksum(path: Path) -> str:
    """sha256 of a file. The user's cache folder keeps it as long as the file's size and time do not change.

    Raises UserError if it cannot be read.
    """
    try:
        status = path.resolve().stat()
        identity = canonical_json([str(path.resolve()), status.st_size, status.st_mtime_ns])
        cache = user_cache_path("duplexgen") / "checksums" / hashlib.sha256(identity.encode()).hexdigest()
        with suppress(OSError):
            return cache.read_text(encoding="ascii")
        computed = file_sha256(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    with suppress(UserError), atomic_path(cache) as file:  # without a writable cache, only time is lost
        file.write_text(computed, encoding="ascii")
    return computed


def read_json_object(path: Path, largest_bytes: int = LARGEST_JSON_BYTES) -> dict[str, Any]:
    """A JSON object of a model's folder.

    `Infinity` and `-Infinity` are read: JSON does not have them, but configurations of models do (Mamba-2's
    `time_step_limit`). NaN is refused, and so is a number too large for a float (1e400). Raises ValueError, in words,
    if the file is missing, damaged, nested too deep, or larger than `largest_bytes`.
    """
    try:
        content = read_bytes(path, largest_bytes)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_infinity, parse_float=_finite)
    except RecursionError as error:
        raise ValueError(f"{path} cannot be read as JSON: it is nested too deep") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object")
    return value


def _infinity(text: str) -> float:
    """Infinity or -Infinity. Python also reads the constant NaN, which equals nothing and is no setting."""
    if text == "NaN":
        raise ValueError("NaN is no number")
    return float(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number in JSON")
    return value


def check_numbers(config: Mapping[str, Any], path: Path | None = None, infinite: bool = False) -> None:
    """Raise ValueError, with the file and the key, at a number of a model's configuration that no model has.

    With such a number, the library that makes the model may fill the memory or never end.
    infinite: whether infinities are allowed: in files of models they are; in a recipe they are not, because a manifest,
    which is JSON, could not repeat them.
    """
    where = f"{path}: " if path else ""
    items: list[tuple[str, Any]] = list(config.items())
    while items:
        key, value = items.pop()
        if isinstance(value, dict):
            items += value.items()
        elif isinstance(value, list):
            items += [(key, item) for item in value]
        elif isinstance(value, float) and not math.isfinite(value) and not (infinite and math.isinf(value)):
            raise ValueError(f"{where}{key}: expected a finite number, got {value}")
        elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            raise ValueError(
                f"{where}{key}: expected at most {LARGEST_INTEGER:,}, got a number of {value.bit_length()} bits"
            )
        elif isinstance(value, int) and ("layer" in key or "experts" in key) and value > MOST_LAYERS:
            raise ValueError(f"{where}{key}: expected at most {MOST_LAYERS:,}, got {value}")


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is in a safetensors file."""

    path: Path
    dtype: str  # as the file names it: F32, BF16
    shape: tuple[int, ...]
    start: int  # its first byte in the file
    end: int  # one past its last byte


def stored_tensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file by their names. Only its header is read.

    Raises ValueError, in words, if the file is of another kind or shorter than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
        if not 2 <= header_bytes <= min(size - HEADER_LENGTH_BYTES, LONGEST_HEADER_BYTES):
            raise ValueError(f"{path} is not a safetensors file, or only the beginning of one: copy it again")
        data = HEADER_LENGTH_BYTES + header_bytes
        try:
            header = json.loads(file.read(header_bytes))
            tensors = {name: _stored(path, tensor, data) for name, tensor in header.items() if name != "__metadata__"}
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path} is not a safetensors file: {error}") from error
    if (expected := max((tensor.end for tensor in tensors.values()), default=data)) != size:
        raise ValueError(f"{path} has {size} bytes and its header says {expected}: copy it again")
    return tensors


def _stored(path: Path, described: Mapping[str, Any], data: int) -> StoredTensor:
    """data: the first byte of the file that is of a tensor."""
    start, end = (int(offset) for offset in described["data_offsets"])
    if not 0 <= start <= end:
        raise ValueError(f"a tensor has the bytes {start} to {end}")
    return StoredTensor(path, str(described["dtype"]), tuple(described["shape"]), data + start, data + end)


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a safetensors file; see `stored_tensors`."""
    return {name: tensor.shape for name, tensor in stored_tensors(path).items()}
