"""Rows of files, folders and Hub data sets, each with the place it came from."""

import contextlib
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..dialogue import Rejection
from ..errors import UserError
from ..recipe import Source

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".parquet")
ByteStream = IO[bytes] | gzip.GzipFile

LONGEST_ROW_BYTES = 16 * 2**20  # a longer line is no dialogue; it would only fill the memory


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a source: `where` is `file.jsonl:17` (a line) or `file.json#17` (an item), counted from 1."""

    where: str
    value: Any


def location(source: Source, base: Path) -> Path:
    """The file or folder a local source names; a relative path starts at the recipe's folder `base`."""
    if source.path is None:
        raise ValueError(f"source {source.name} is not local")
    return base / Path(source.path).expanduser()


def shown(path: Path) -> str:
    """A file's name; bytes of it that are not UTF-8 are written as escapes."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


def problem(source: Source, base: Path) -> str | None:
    """Why a local source cannot be read, or None."""
    path = location(source, base)
    if not path.exists():
        return f"no such file or folder: {path}"
    if not path.is_dir():
        return None if _has_suffix(path) else f"{path} is none of {', '.join(SUFFIXES)}"
    if not any(_has_suffix(entry) for entry in path.iterdir()):
        return f"the folder {path} has no file that ends in {', '.join(SUFFIXES)}"
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


def read_rows(source: Source, base: Path) -> Iterator[Row | Rejection]:
    """Every row of a source in the order of its files, or what is wrong with it. Lines are streamed."""
    if source.hub is not None:
        yield from _hub_rows(source)
        return
    for path in files(source, base):
        try:
            yield from _parquet_rows(path) if path.suffix == ".parquet" else _json_rows(path)
        except (PermissionError, FileNotFoundError) as error:
            raise UserError(f"source {source.name}: cannot read {path}: {error.strerror}") from error
        except (OSError, EOFError, zlib.error) as error:  # a damaged archive: what was read of it stands
            yield Rejection(shown(path), "source", "broken_file", f"{shown(path)}: {error}")


def _has_suffix(path: Path) -> bool:
    return path.is_file() and path.name.endswith(SUFFIXES) and not path.name.startswith(".")


def _json_rows(path: Path) -> Iterator[Row | Rejection]:
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(path.open("rb"))
        stream: ByteStream = stack.enter_context(gzip.open(plain)) if path.suffix == ".gz" else plain
        if _is_list(stream):
            yield from _list_rows(shown(path), stream.read())
        else:
            yield from _line_rows(shown(path), stream)


def _is_list(stream: ByteStream) -> bool:
    """Whether a stream holds one JSON list instead of lines; leaves the stream at its start."""
    head = stream.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()
    stream.seek(0)
    return head.startswith(b"[")


def _list_rows(name: str, content: bytes) -> Iterator[Row | Rejection]:
    value = _parsed(name, content)
    if isinstance(value, Rejection):
        yield value
        return
    for number, item in enumerate(value, 1):
        yield Row(f"{name}#{number}", item)


def _line_rows(name: str, stream: ByteStream) -> Iterator[Row | Rejection]:
    number = 0
    while line := stream.readline(LONGEST_ROW_BYTES):
        number += 1
        where = f"{name}:{number}"
        if len(line) == LONGEST_ROW_BYTES and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_ROW_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield Rejection(where, "source", "row_too_long", f"longer than {LONGEST_ROW_BYTES} bytes")
            continue
        if not line.strip():
            continue
        value = _parsed(where, line)
        yield value if isinstance(value, Rejection) else Row(where, value)


def _parsed(where: str, content: bytes) -> Any | Rejection:
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Rejection(where, "source", "invalid_text", f"not UTF-8 at byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Rejection(where, "source", "broken_json", str(error))


def _parquet_rows(path: Path) -> Iterator[Row | Rejection]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=256):
                for value in batch.to_pylist():
                    number += 1
                    yield Row(f"{shown(path)}#{number}", value)
    except pyarrow.ArrowException as error:
        yield Rejection(shown(path), "source", "broken_file", f"{shown(path)}: {error}")


def _hub_rows(source: Source) -> Iterator[Row]:
    """Rows of a data set that `datasets` can load: a Hub name, or a local folder it understands."""
    import datasets

    label = "/".join(part for part in (source.hub, source.config, source.split) if part)
    try:
        loaded = datasets.load_dataset(
            str(source.hub), source.config, split=source.split, revision=source.revision, streaming=True
        )
        for number, value in enumerate(loaded, 1):
            yield Row(f"{label}#{number}", value)
    except Exception as error:  # whatever a loader, a network or a server can raise ends the command alike
        raise UserError(
            f"source {source.name}: cannot load the data set {source.hub!r} (config {source.config!r}, split "
            f"{source.split!r}): {type(error).__name__}: {error}. Check the name, the split and the network; a set "
            "that is private needs HF_TOKEN in the environment"
        ) from error
