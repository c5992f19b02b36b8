"""Contents of folders of models, without loading a model: tensors, and checksums that are cached."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ..errors import UserError
from .atomic import atomic_path, canonical_json, file_sha256
from .paths import read_bytes

HEADER_LENGTH_BYTES = 8  # of a safetensors file
LONGEST_HEADER_BYTES = 100_000_000  # that safetensors reads itself
LARGEST_JSON_BYTES = 1 << 26  # tokenizers of large vocabularies have 10 to 30 MB
LARGEST_INTEGER = 10**12
MOST_LAYERS = 10_000  # of anything that a configuration repeats


def place(path: str) -> Path:
    """A path of a recipe's section, absolute: relative ones start at the working folder, and workers have their own."""
    with suppress(RuntimeError):  # no such user: the path is reported as missing, like any other
        return Path(path).expanduser().absolute()
    return Path(path).absolute()


def folder_checksum(folder: Path, files: Iterable[str]) -> str:
    """sha256 over the names and contents of files of a folder, wherever the folder lies."""
    return hashlib.sha256(canonical_json({name: checksum(folder / name) for name in files}).encode()).hexdigest()


def checksum(path: Path) -> str:
    """sha256 of a file; cached in the user's cache folder as long as its size and time do not change.

    Raises UserError if it cannot be read.
    """
    try:
        found = path.resolve().stat()
        identity = canonical_json([str(path.resolve()), found.st_size, found.st_mtime_ns])
        known = user_cache_path("duplexgen") / "checksums" / hashlib.sha256(identity.encode()).hexdigest()
        with suppress(OSError):
            return known.read_text(encoding="ascii")
        computed = file_sha256(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    with suppress(UserError), atomic_path(known) as file:  # without a writable cache, only time is lost
        file.write_text(computed, encoding="ascii")
    return computed


def read_json_object(path: Path, largest_bytes: int = LARGEST_JSON_BYTES) -> dict[str, Any]:
    """A JSON object of a model's folder.

    `Infinity` and `-Infinity` are read, which JSON does not have and configurations of models do (Mamba-2's
    `time_step_limit`). NaN is refused, and so is a number too large for a float (1e400). Raises ValueError, in words,
    if the file is missing, damaged, deeper or larger than any is.
    """
    try:
        content = read_bytes(path, largest_bytes)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    try:
        found = json.loads(content.decode("utf-8"), parse_constant=_infinity, parse_float=_finite)
    except RecursionError as error:
        raise ValueError(f"{path} cannot be read as JSON: it is nested too deep") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object")
    return found


def _infinity(text: str) -> float:
    """Infinity or -Infinity: the third constant that Python reads, NaN, equals nothing and is no setting."""
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

    A library that makes a model of it would take all memory, or go on for ever, before it noticed.
    infinite: whether infinities are allowed, as they are in files of models; manifests cannot repeat a recipe's.
    """
    where = f"{path}: " if path else ""
    waiting: list[tuple[str, Any]] = list(config.items())
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(key, item) for item in value]
        elif isinstance(value, float) and not math.isfinite(value) and not (infinite and math.isinf(value)):
            raise ValueError(f"{where}{key}: expected a finite number, got {value}")
        elif isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            raise ValueError(
                f"{where}{key}: expected at most {LARGEST_INTEGER:,}, got a number of {value.bit_length()} bits"
            )
        elif isinstance(value, int) and ("layer" in key or "experts" in key) and value > MOST_LAYERS:
            raise ValueError(f"{where}{key}: expected at most {MOST_LAYERS:,}, got {value}")


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a safetensors file, from only its header.

    Raises ValueError, in words, if the file is of another kind or shorter than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
        if not 2 <= header_bytes <= min(size - HEADER_LENGTH_BYTES, LONGEST_HEADER_BYTES):
            raise ValueError(f"{path} is not a safetensors file, or only the beginning of one: copy it again")
        try:
            header = json.loads(file.read(header_bytes))
            tensors = {name: described for name, described in header.items() if name != "__metadata__"}
            shapes = {name: tuple(described["shape"]) for name, described in tensors.items()}
            data_bytes = max((int(described["data_offsets"][1]) for described in tensors.values()), default=0)
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{path} is not a safetensors file: {error}") from error
    if (expected := HEADER_LENGTH_BYTES + header_bytes + data_bytes) != size:
        raise ValueError(f"{path} has {size} bytes and its header says {expected}: copy it again")
    return shapes
