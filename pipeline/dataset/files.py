"""Whether the files of a data set are those that its manifest lists."""

import hashlib
import os
from collections.abc import Iterator

import pyarrow as pa

from ..errors import UserError
from ..escapes import visible
from ..storage.atomic import file_sha256
from ..storage.objects import ObjectPath, Place
from ..storage.paths import read_bytes
from .manifest import REJECTED, File
from .reader import LARGEST_JSON_BYTES, MANIFEST, SUCCESS, Dataset, link_in, open_table
from .schema import REJECTED as REJECTED_COLUMNS

LONGEST_NAME = 200  # characters of a name in a message
NOT_ITS_MANIFEST = f"{MANIFEST}: is not the one that {SUCCESS} was written for"


def check_files(dataset: Dataset, columns: pa.Schema) -> Iterator[str]:
    """What is wrong with files, in words: those that do not have the bytes that the manifest says, and extra ones.

    columns: of its shards. Hidden files may be there: .gitattributes and .cache/ come with a download from the Hub,
    .nfs* with NFS.
    """
    if is_of_another_build(dataset):
        yield NOT_ITS_MANIFEST
        return
    files = dataset.manifest.files
    for file in files:
        if problem := _not_there(dataset, file) or _file_problem(dataset, file, columns):
            yield f"{file.path}: {problem}"
    listed = {file.path for file in files} | {MANIFEST, SUCCESS}
    for extra in sorted(set(_visible(dataset.place)) - listed):
        yield f"{visible(extra, LONGEST_NAME)}: is not listed in {MANIFEST}"


def missing_files(dataset: Dataset) -> Iterator[str]:
    """What `check_files` finds without reading the files: those that are missing, are links, or have another size."""
    if is_of_another_build(dataset):
        yield NOT_ITS_MANIFEST
        return
    for file in dataset.manifest.files:
        if problem := _not_there(dataset, file):
            yield f"{file.path}: {problem}"


def is_of_another_build(dataset: Dataset) -> bool:
    """Whether the manifest is another one than _SUCCESS was written for."""
    path = dataset.place / MANIFEST
    try:
        return hashlib.sha256(read_bytes(path, LARGEST_JSON_BYTES)).hexdigest() != dataset.success.manifest_sha256
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {dataset.place} is no finished data set of duplexgen.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _not_there(dataset: Dataset, file: File) -> str:
    path = dataset.place / file.path
    try:
        if link_in(dataset.place, file.path):
            return "is a link or lies behind one, and a data set has none"
        if not path.is_file():
            return "is no plain file" if path.exists() else "is missing"
        if (size := path.stat().st_size) != file.bytes:
            return f"has {size} bytes, expected {file.bytes}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _file_problem(dataset: Dataset, file: File, columns: pa.Schema) -> str:
    path = dataset.place / file.path
    try:
        same = file_sha256(path) == file.sha256
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not same:
        return f"its sha256 is not the one in {MANIFEST}"
    return "" if file.rows is None else _table_problem(path, file, columns)


def _table_problem(path: Place, file: File, columns: pa.Schema) -> str:
    try:
        table, problems = open_table(path, REJECTED_COLUMNS if file.path.startswith(REJECTED) else columns)
    except pa.ArrowException as error:
        return f"cannot be read as Parquet: {error}"
    with table:
        if (rows := table.metadata.num_rows) != file.rows:
            return f"has {rows} rows, expected {file.rows}"
    return "; ".join(problems)


def _visible(folder: Place, below: str = "") -> Iterator[str]:
    """Every file of a folder that is not hidden, relative to it; links are files."""
    if isinstance(folder, ObjectPath):
        yield from (name for name in folder.below() if not any(part.startswith(".") for part in name.split("/")))
        return
    with os.scandir(folder / below) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _visible(folder, f"{below}{entry.name}/")
            else:
                yield f"{below}{entry.name}"
