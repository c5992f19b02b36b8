"""Rows of files, folders and Hub data sets, each with the place it came from."""

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from ..dialogue import Rejection
from ..errors import DialogueRejected, UserError
from ..escapes import one_line
from .json_files import Bytes, line_rows, value_rows
from .row import RestLost, Row
from .section import Source
from .shapes import WRONG_SHAPE, Item, LeftOut, dialogue, matches, needed_keys

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet")
UNPACKED_UNASKED = 16 * 2**20  # bytes that any archive may unpack to, whatever its own size
LARGEST_RATIO = 200  # unpacked to packed bytes, beyond that; that of text is about 10, seldom 50
DAMAGE = (RestLost, OSError, EOFError, zlib.error)


def location(source: Source, base: Path) -> Path:
    """The file or folder a local source names; a relative path starts at the recipe's folder `base`."""
    if source.path is None:
        raise ValueError(f"source {source.name} is not local")
    return base / Path(source.path).expanduser()


def shown(path: Path) -> str:
    """A file's name as text of one line; no two files of a folder have the same."""
    return escaped(path.name)


def escaped(name: str) -> str:
    r"""A name of the file system as text of one line: bytes that are not UTF-8 as \xff, a \ as \\."""
    return one_line(os.fsencode(name).replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace"))


def problem(source: Source, base: Path) -> str | None:
    """Why a local source cannot be read, or None."""
    path = location(source, base)
    if not path.exists():
        return f"no such file or folder: {path}" + (" (a link that leads nowhere)" if path.is_symlink() else "")
    if path.is_dir():
        return _folder_problem(path)
    if not _has_suffix(path):
        return f"{path} does not end in any of {', '.join(SUFFIXES)}"
    return None if path.is_file() else f"{path} is not an ordinary file"


def _folder_problem(folder: Path) -> str | None:
    entries = [entry for entry in folder.iterdir() if _has_suffix(entry)]
    if not entries:
        return f"the folder {folder} has no file that ends in {', '.join(SUFFIXES)}"
    if wrong := sorted(shown(entry) for entry in entries if not entry.is_file()):
        return (
            f"in {folder}, these are not ordinary files: {', '.join(wrong)}. Remove them; a folder needs its own `path`"
        )
    return None


def files(source: Source, base: Path) -> list[Path]:
    """The files of a local source, in order of their names (a folder is not searched deeper).

    Raises UserError if there is none.
    """
    try:
        if message := problem(source, base):
            raise UserError(f"source {source.name}: {message}")
        path = location(source, base)
        return sorted(entry for entry in path.iterdir() if _has_suffix(entry)) if path.is_dir() else [path]
    except OSError as error:
        raise UserError(f"source {source.name}: cannot be read: {error}") from error


def read_rows(source: Source, base: Path, lost: list[str]) -> Iterator[Item]:
    """Every row of a source in the order of its files, as a dialogue or as what is wrong with it, or left out.

    lost: gets a message for every file without a readable row, or with an unknown number of lost rows.
    Raises UserError if the disk, or a Hub data set, cannot be read.
    """
    if source.hub is not None:
        for row in _hub_rows(source, needed_keys(source)):
            yield _as_dialogue(row, source)
        return
    for path in files(source, base):
        try:
            yield from _file_rows(path, source, lost)
        except OSError as error:
            raise UserError(f"source {source.name}: cannot read {one_line(str(path))}: {error.strerror}") from error


def _as_dialogue(row: Row | Rejection, source: Source) -> Item:
    if isinstance(row, Rejection):
        return row
    try:
        return dialogue(row.value, source) if matches(row.value, source) else LeftOut()
    except DialogueRejected as rejected:
        return Rejection(row.where, "source", rejected.reason, rejected.detail)


def _file_rows(path: Path, source: Source, lost: list[str]) -> Iterator[Item]:
    total, readable, problem, other_shape = 0, 0, "", False
    try:
        for row in _rows_of(path, needed_keys(source)):
            item = _as_dialogue(row, source)
            total += 1
            if isinstance(row, Row) and isinstance(row.value, dict):
                readable += 1
                other_shape = row.is_alone and isinstance(item, Rejection) and item.reason == WRONG_SHAPE
            if isinstance(item, Rejection):
                problem = problem or f"{item.dialogue_id}: {item.reason}: {item.detail}"
            yield item
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk's; a damaged archive's has none
            raise
        rows = f"only {readable} of its rows could be read" if readable else "no row could be read"
        lost.append(f"{path}: {rows}: {error}")
        yield Rejection(shown(path), "source", "broken_file", f"{rows}: {error}")
        return
    if other_shape and total == 1:  # its rows may be deeper, under a key of the object, and cannot be counted
        lost.append(f"{path}: it is one object, but not a dialogue; {problem}")
    elif problem and not readable:
        hint = (
            ". A .jsonl has one row per line; rows over several lines are read from a .json" if _is_lines(path) else ""
        )
        lost.append(f"{path}: no row could be read; {problem}{hint}")


def _is_lines(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(".jsonl")


def _has_suffix(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def _rows_of(path: Path, keys: Sequence[str]) -> Iterator[Row | Rejection]:
    """The rows of a file; raises one of DAMAGE where it cannot be read further."""
    name, lower = shown(path), path.name.lower()
    if lower.endswith(".parquet"):
        from .arrow_rows import parquet_rows

        yield from parquet_rows(path, name, keys)
        return
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(path.open("rb"))
        if lower.endswith(".gz") and not plain.peek(1):
            raise RestLost("it is empty, and an archive never is")
        stream: Bytes = stack.enter_context(_Archive(plain)) if lower.endswith(".gz") else plain
        yield from (line_rows if _is_lines(path) else value_rows)(name, stream)


class _Archive(gzip.GzipFile):
    """A gzip archive. Reading raises RestLost if it unpacks to more than text does."""

    def __init__(self, plain: IO[bytes]) -> None:
        super().__init__(fileobj=plain)
        self.plain = plain

    def read1(self, size: int = -1) -> bytes:
        data = super().read1(size)
        if self.tell() > max(UNPACKED_UNASKED, LARGEST_RATIO * self.plain.tell()):
            raise RestLost(f"it unpacks to more than {LARGEST_RATIO} times its size, and text never does")
        return data


def _hub_rows(source: Source, keys: Sequence[str]) -> Iterator[Row | Rejection]:
    """Rows of a data set that `datasets` can load: a Hub name, or a local folder it understands."""
    import datasets

    from .arrow_rows import table_rows

    label = "/".join(part for part in (source.hub, source.config, source.split) if part)
    number = 0
    try:
        loaded = datasets.load_dataset(
            str(source.hub), source.config, split=source.split, revision=source.revision, streaming=True
        )
        for table in loaded.with_format("arrow").iter(batch_size=64):
            used = [index for index, name in enumerate(table.column_names) if name in keys]
            yield from table_rows(table.select(used), table.column_names, label, number + 1)
            number += table.num_rows
    except Exception as error:  # any error of a loader, a network or a server ends the command in the same way
        raise UserError(
            f"source {source.name}: cannot read the data set {source.hub!r} (config {source.config!r}, split "
            f"{source.split!r}) beyond {number} rows: {type(error).__name__}: {error}. Check the name, the split and "
            "the network; a private data set needs HF_TOKEN in the environment"
        ) from error
