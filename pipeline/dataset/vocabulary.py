"""The vocabulary of a data set, as pairs and trained models copy it: only the files with known names."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..layouts.vocabulary import TOKENIZER_FILES
from ..storage.objects import ObjectPath, Place
from .manifest import VOCABULARY, VOCABULARY_FOLDER

VOCABULARY_FILES = (*(f"{VOCABULARY_FOLDER}/{name}" for name in TOKENIZER_FILES), VOCABULARY)
"""Relative to a data set."""
ADVICE = "Build the data set again; if it is from the Hub, `hf download` it with --local-dir."


def read_vocabulary(data_set: Place) -> dict[str, bytes]:
    """What VOCABULARY_FILES hold, by name.

    A data set may be a stranger's: no link is followed, and no other file is taken along. Raises UserError if a file
    is missing, or is a link or anything else but a file, or if `vocabulary/` holds more than a vocabulary has.
    """
    if isinstance(data_set, ObjectPath):
        return _read_objects(data_set)
    path = data_set / VOCABULARY_FOLDER
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise UserError(f"{path}: expected a folder, and no link to one ({error.strerror}). {ADVICE}") from None
    try:
        with os.scandir(folder) as entries:
            strange = sorted({entry.name for entry in entries} - set(TOKENIZER_FILES))
        _refuse(path, strange)
        files = {f"{VOCABULARY_FOLDER}/{name}": _read(path / name, name, folder) for name in TOKENIZER_FILES}
    finally:
        os.close(folder)
    return files | {VOCABULARY: _read(data_set / VOCABULARY, data_set / VOCABULARY, None)}


def _read_objects(data_set: ObjectPath) -> dict[str, bytes]:
    folder = data_set / VOCABULARY_FOLDER
    _refuse(folder, sorted(folder.below().keys() - set(TOKENIZER_FILES)))
    try:
        return {name: (data_set / name).read_bytes() for name in VOCABULARY_FILES}
    except FileNotFoundError as error:
        raise UserError(f"{data_set}: its vocabulary is not whole: {error}. {ADVICE}") from None


def _refuse(folder: Place, strange: Sequence[str]) -> None:
    if strange:
        has = " and ".join(TOKENIZER_FILES)
        raise UserError(f"{folder} holds {strange[0]!a}, and a vocabulary has only {has}. {ADVICE}")


def _read(path: Path, name: str | Path, folder: int | None) -> bytes:
    """path: to speak of. name: in the open folder, or a path."""
    try:
        # O_NONBLOCK: a named pipe would wait until somebody writes into it
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return file.read()
    except OSError as error:
        raise UserError(f"{path}: expected a file, and no link to one ({error.strerror}). {ADVICE}") from None
    raise UserError(f"{path}: expected a file. {ADVICE}")
