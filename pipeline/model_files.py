"""What folders of models hold, told without loading it: tensors, and checksums that are remembered."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from .errors import UserError
from .shards.atomic import atomic_path, canonical_json, file_sha256

HEADER_LENGTH_BYTES = 8  # of a safetensors file


def place(path: str) -> Path:
    """A path of a recipe's section, absolute: relative ones start at the working folder, and workers have their own."""
    with suppress(RuntimeError):  # no such user: the path is reported as missing, like any other
        return Path(path).expanduser().absolute()
    return Path(path).absolute()


def folder_checksum(folder: Path, files: Iterable[str]) -> str:
    """sha256 over the names and contents of files of a folder, wherever the folder lies."""
    return hashlib.sha256(canonical_json({name: checksum(folder / name) for name in files}).encode()).hexdigest()


def checksum(path: Path) -> str:
    """sha256 of a file; remembered in the user's cache folder for as long as its size and time stay as they are.

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
    with suppress(UserError), atomic_path(known) as file:  # a cache that may not be written costs time alone
        file.write_text(computed, encoding="ascii")
    return computed


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a safetensors file, from its header alone.

    Raises ValueError, in words, if the file is of another kind or shorter than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(HEADER_LENGTH_BYTES), "little")
        if not 2 <= header_bytes <= size - HEADER_LENGTH_BYTES:
            raise ValueError(f"{path} is no safetensors file, or only the beginning of one: copy it again")
        try:
            header = json.loads(file.read(header_bytes))
            tensors = {name: described for name, described in header.items() if name != "__metadata__"}
            shapes = {name: tuple(described["shape"]) for name, described in tensors.items()}
            data_bytes = max((described["data_offsets"][1] for described in tensors.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no safetensors file: {error}") from error
    if (expected := HEADER_LENGTH_BYTES + header_bytes + data_bytes) != size:
        raise ValueError(f"{path} has {size} bytes and its header says {expected}: copy it again")
    return shapes
