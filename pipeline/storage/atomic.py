"""Files and folders that are either whole or not there."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import UserError
from .objects import Place

TEMPORARY_SUFFIX = ".tmp"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what file systems answer that have no locks


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
def atomic_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, which takes the target's name once the block ends well, and else is removed.

    All files in it are on disk before it is renamed. What a process that was killed has left there is removed first.
    Raises UserError if there is anything at `target`, if another process writes it, or if the disk is full.
    """
    staging, lock = (target.with_name(f".{target.name}{suffix}") for suffix in (TEMPORARY_SUFFIX, ".lock"))
    check_free(target)
    with locked(lock, f"{target} is being written by another process"):
        try:
            with explained(target):
                shutil.rmtree(staging, ignore_errors=True)
                staging.mkdir()
                yield staging
                sync_all(staging)
                check_free(target)
                staging.rename(target)
                sync(target.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            lock.unlink(missing_ok=True)


def check_free(target: Path) -> None:
    """Raise UserError if there is anything at a path where a new folder is to be."""
    if os.path.lexists(target):
        raise UserError(f"{target} exists already: choose another name, or remove it.")


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn an error of the file system in the block into a UserError that names the target and says what to do."""
    try:
        yield
    except OSError as error:
        raise _explained(error, target) from error


@contextmanager
def locked(path: Path, message: str | None) -> Iterator[None]:
    """Hold a lock file; raises UserError, which starts with the message, if another process holds it.

    message: None: wait until the lock is free. Any other problem with the lock is raised as a UserError, too.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(path, wait=message is None)
    if descriptor is None:
        raise UserError(f"{message}. Wait until it ends; nothing was changed.")
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path, wait: bool) -> int | None:
    """A descriptor that holds the lock as long as it is open, or None if another process holds it."""
    while True:
        descriptor = _open_lock(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            raise _no_lock(error, path) from error
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # its last holder has removed the file since it was opened here: it protects nothing


def _no_lock(error: OSError, path: Path) -> UserError:
    if error.errno in NO_LOCKS:
        return UserError(
            f"{path}: the file system there keeps no locks ({error.strerror}), and without them two builds could "
            "write the same files. Choose a folder on another one, or, if it is NFS, start its lock service."
        )
    return UserError(f"{path}: could not be locked ({error.strerror}). Choose another folder, or allow it.")


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if path.is_symlink() or path.is_dir():
            kind = "a link" if path.is_symlink() else "a folder"
            raise UserError(f"{path} is {kind}, where a lock file is expected. Remove it.") from error
        raise _explained(error, path) from error


def write_json(target: Path, value: Any) -> None:
    """Write JSON: equal values give equal bytes. Bytes of file names that are not text become escapes."""
    with atomic_path(target) as path:
        path.write_text(canonical_json(value, indent=2) + "\n", encoding="utf-8", errors="backslashreplace")


def canonical_json(value: Any, indent: int | None = None) -> str:
    """JSON with sorted keys: equal values give equal texts. Raises ValueError at a number that JSON does not have."""
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False)


def file_sha256(path: Place) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_temporary(folder: Path) -> None:
    """Remove temporary files of a build that was killed, at any depth. Call it while you hold the folder's lock."""
    for path in folder.rglob(f".*{TEMPORARY_SUFFIX}"):
        path.unlink(missing_ok=True)


def remove_others(folder: Path, files: Collection[str]) -> None:
    """Remove everything but these files, named by their paths in the folder. Of a link, only the link is removed."""
    with explained(folder):
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        elif folder.is_dir():
            _remove_others(folder, files, "")


def _remove_others(folder: Path, files: Collection[str], prefix: str) -> None:
    for path in list(folder.iterdir()):
        name = prefix + path.name
        if path.is_dir() and not path.is_symlink():
            _remove_others(path, files, f"{name}/")
            if not any(path.iterdir()):
                path.rmdir()
        elif name not in files or path.is_symlink() or not path.is_file():
            path.unlink()


def sync(path: Path) -> None:
    """Wait until a file is on disk; of a folder, until the names in it are."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Wait until a folder and all files below it are on disk, also those that other libraries wrote."""
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink() and (path.is_file() or path.is_dir()):  # a pipe would wait
            sync(path)


def _explained(error: OSError, target: Path) -> UserError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{target}: the disk is full. Committed work is safe: make room and run the same command again."
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return UserError(f"{target}: may not be written ({error.strerror}). Choose another folder, or allow it.")
    if error.errno == errno.ENAMETOOLONG:
        return UserError(f"{target}: the name is too long for the file system. Choose a shorter one.")
    return UserError(f"{target}: could not be written: {error}. Committed work is safe.")
