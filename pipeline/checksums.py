"""Checksums of model folders, which are too large to be read again at each start."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from pipeline.errors import UserError
from pipeline.shards.atomic import atomic_path, canonical_json, file_sha256


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
