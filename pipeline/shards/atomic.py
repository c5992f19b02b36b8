"""Files that are either whole or not there."""

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import UserError

TEMPORARY_SUFFIX = ".tmp"


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`, which takes the target's name once the block ends well.

    The file is on disk before it is renamed, so a crash leaves the target as it was or whole.
    Raises UserError if the disk is full or may not be written.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            sync(temporary)
            temporary.replace(target)
            sync(target.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Raise what the file system refuses inside as a UserError that names the target and says what to do."""
    try:
        yield
    except OSError as error:
        raise _explained(error, target) from error


@contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Hold a lock file; raises UserError, which starts with the message, if another process holds it."""
    lock = FileLock(path, timeout=0)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(f"{message}. Wait until it ends; nothing was changed.") from None
    try:
        yield
    finally:
        lock.release()


def write_json(target: Path, value: Any) -> None:
    """Write JSON that is the same bytes for the same value; bytes of names that are no text become escapes."""
    with atomic_path(target) as path:
        path.write_text(canonical_json(value, indent=2) + "\n", encoding="utf-8", errors="backslashreplace")


def canonical_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_temporary(folder: Path) -> None:
    """Remove what a killed build left behind, at any depth. Call it with the folder's lock held."""
    for path in folder.rglob(f".*{TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(error: OSError, target: Path) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{target}: the disk is full. What was committed is safe: make room and run the same command again."
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return UserError(f"{target}: may not be written ({error.strerror}). Choose another folder, or allow it.")
    return UserError(f"{target}: could not be written: {error}. What was committed is safe.")
