"""Paths of the command line or of a recipe, and the small text files that they name.

A path that no file system here can have is refused. A file that could fill the memory or never end is not read.
"""

import os
import re
import stat
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from ..errors import UserError
from .objects import SCHEME as S3
from .objects import ObjectPath, Place

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # s3://, gs://, file:/; a drive of Windows has one letter
LONGEST_NAME_BYTES = 255  # of each part of a path, on every file system that is in use
LONGEST_PATH_BYTES = 4095
DEEPEST = 200  # folders in one another: Python makes them by recursion
LARGEST_TEXT_BYTES = 1 << 20  # of a recipe, a prompt, a list of answers
TOO_LARGE = "it has {:,} bytes, expected at most {:,}"
STORE = (
    "is an address, not a path of a file system (it would become the folder {folder}). Expected a local or shared "
    "folder. Only `build` writes to a store, at s3://bucket/path, and `verify`, `inspect` and `train` read from there. "
    "For the rest, copy with the store's own tool (aws s3 sync, gcloud storage rsync, hdfs dfs -put)"
)


def problem(text: str) -> str | None:
    """Why a text cannot be a path on this machine, in words that follow the text; None if it can."""
    if scheme := SCHEME.match(text):
        return STORE.format(folder=f"./{scheme[0]}…")
    if not text.strip():
        return "is empty: expected a path"
    try:
        if "\0" in text or len(os.fsencode(text)) > LONGEST_PATH_BYTES:
            return f"is not a path: expected at most {LONGEST_PATH_BYTES} bytes and no NUL among them"
        parts = Path(text).parts
        if len(parts) > DEEPEST or any(len(os.fsencode(part)) > LONGEST_NAME_BYTES for part in parts):
            return (
                f"has a name that is too long, or too many: expected at most {LONGEST_NAME_BYTES} bytes between two "
                f"slashes, and {DEEPEST} folders within each other. Choose a shorter one"
            )
        Path(text).expanduser()
    except (UnicodeEncodeError, RuntimeError):
        return "is not a path here: it holds half a character, or starts with the home of an unknown user"
    return None


def path(text: str) -> Path:
    """A path of the command line, with `~` expanded. Raises UserError if it is not a path, or a circle of links."""
    if reason := problem(text):
        raise UserError(f"{shortened(text)} {reason}.")
    expanded = Path(text).expanduser()
    try:
        expanded.resolve()
    except (OSError, RuntimeError) as error:
        raise UserError(f"{shortened(text)} cannot be followed: {error}.") from error
    return expanded


def place(text: str) -> Place:
    """A data set of the command line: a path, or its address in an object store.

    Raises UserError if it is neither.
    """
    return ObjectPath.parse(text) if text.startswith(S3) else path(text)


def local(place: Place) -> Path:
    """The folder. Raises UserError if it is an address in an object store."""
    if isinstance(place, Path):
        return place
    raise UserError(f"{place} {problem(str(place))}.")


def read_text(file: Path, largest_bytes: int = LARGEST_TEXT_BYTES) -> str:
    """The text of a small file of a user. Raises UserError if it is missing, not plain, too large, or not UTF-8."""
    try:
        if not file.is_file():
            reason = "expected a plain file, not a folder, pipe or device" if file.exists() else "there is no such file"
            raise UserError(f"{file}: cannot be read: {reason}")
        with file.open("rb") as stream:
            content = stream.read(largest_bytes + 1)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    if len(content) > largest_bytes:
        raise UserError(f"{file}: is too large: expected at most {largest_bytes:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}: line {line}: cannot be read as text: expected UTF-8 ({error.reason})") from None


def read_bytes(path: Place, most_bytes: int) -> bytes:
    """The bytes of a plain file or of an object; raises ValueError if it is not plain, such as a pipe, or too large."""
    if isinstance(path, ObjectPath):
        if (size := path.stat().st_size) > most_bytes:
            raise ValueError(TOO_LARGE.format(size, most_bytes))
        return path.read_bytes()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a plain file")
        if status.st_size > most_bytes:
            raise ValueError(TOO_LARGE.format(status.st_size, most_bytes))
        return file.read(most_bytes)


def shortened(text: str, most: int = 120) -> str:
    """A text that a message may quote: a long one is cut."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _usable(text: str) -> str:
    if reason := problem(text):
        raise ValueError(reason)
    return text


def _usable_place(text: str) -> str:
    if not text.startswith(S3):
        return _usable(text)
    try:
        return str(ObjectPath.parse(text))
    except UserError as error:
        raise ValueError(str(error)) from None


PathText = Annotated[str, AfterValidator(_usable)]
"""A path in a recipe, or a name on the Hub, which may be a path. Its section says what it is relative to."""
PlaceText = Annotated[str, AfterValidator(_usable_place)]
"""A data set in a recipe: a path, or its address in an object store."""
