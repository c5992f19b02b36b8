"""Reading a finished data set: only here are its files opened, and their content is checked by a model.

A data set may come from a stranger. So a link inside it is never followed, the size of a file is checked before it is
read, and a MalformedDataset names each wrong value. Readers get typed values.
"""

import io
import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from .. import __version__
from ..errors import UserError
from ..escapes import visible
from ..layouts.described import Described
from ..layouts.layout import Layout
from ..recipe.file import Location, dotted
from ..recipe.sections import Section
from ..storage.paths import read_bytes
from ..tokens.described import Sha256
from ..tokens.section import Tokens
from .manifest import DATA, FORMAT_VERSION, VOCABULARY, Manifest
from .recipe import Recipe
from .row_sizes import rows_of

MANIFEST = "manifest.json"
SUCCESS = "_SUCCESS"
LARGEST_JSON_BYTES = 16_000_000  # a manifest of 80,000 shards; what 16 MB of brackets become fits the memory
LARGEST_TOKENIZER_BYTES = 64_000_000
MOST_PROBLEMS = 20  # that are named
LONGEST_ERROR = 300  # characters of what a library says
BATCH_ROWS = 32
MOST_VALUES = 64_000_000  # of a column in a row group: more than 100 MB of codes
S = TypeVar("S", bound=Section)


class MalformedDataset(UserError):
    """A data set exists, but the content of a file is not what duplexgen writes.

    failures: each thing that is wrong, in words, as `duplexgen verify` lists them.
    """

    def __init__(self, message: str, failures: Sequence[str]) -> None:
        super().__init__(message)
        self.failures = failures


def read_json(path: Path, most_bytes: int = LARGEST_JSON_BYTES) -> dict[str, Any]:
    """A JSON object of a data set or a model; raises UserError if it is missing or damaged.

    Repeated keys, numbers that JSON does not have and halves of characters are refused, too.
    """
    try:
        text = read_bytes(path, most_bytes).decode("utf-8")
        value = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is no finished data set of duplexgen.") from None
    except RecursionError:
        raise UserError(f"{path} cannot be read: it is nested too deeply.") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object: it is damaged.")
    return value


def link_in(folder: Path, file: str) -> bool:
    """Whether a path below a folder goes through a link. A data set has no links."""
    path = folder / file
    return any(part.is_symlink() for part in (path, *path.parents) if part != folder and folder in part.parents)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("an object has a key twice")
    return made


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number in JSON")


def validated(model: type[S], value: Mapping[str, Any], file: Path, at: Location = ()) -> S:
    """A value read from a place in a file as its model; raises MalformedDataset with all that is wrong with it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise malformed(file, [*_problems(error, at)]) from None


def malformed(file: Path, problems: Sequence[str]) -> MalformedDataset:
    """What to raise where a file says what duplexgen does not write. problems: in words."""
    more = len(problems) - MOST_PROBLEMS
    said = [*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
    return MalformedDataset(
        f"{file} is malformed: {'; '.join(said)}. It is damaged, or it was written by another version of duplexgen "
        f"than this one, {__version__}: build the data set again.",
        [f"{file.name}: {problem}" for problem in said],
    )


def _problems(error: ValidationError, at: Location) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        where = dotted((*at, *(part if isinstance(part, int) else visible(part) for part in problem["loc"])))
        given = "" if isinstance(problem["input"], dict) else f", got {reprlib.repr(problem['input'])}"
        if problem["type"] == "extra_forbidden":
            yield f"{where} is not known"
        elif problem["type"] == "missing":
            yield f"{where} is missing"
        elif where:
            yield f"{where}: {problem['msg'].removeprefix('Value error, ')}{given}"
        else:
            yield problem["msg"].removeprefix("Value error, ")


class Success(Section):
    manifest_sha256: Sha256


def read_described(folder: Path) -> Described:
    """vocabulary.json of a data set or of a model; raises UserError if it is missing or damaged."""
    return validated(Described, read_json(folder / VOCABULARY), folder / VOCABULARY)


@contextmanager
def opened(shard: Path, columns: pa.Schema | None = None) -> Iterator[pq.ParquetFile]:
    """A shard to read from; raises UserError if it is missing or damaged, also of what is read inside.

    columns: a schema that is expected to be the shard's; None: any.
    """
    try:
        file, problems = open_table(shard, columns)
        with file:
            if problems:
                raise malformed(shard, problems)
            yield file
    except (OSError, pa.ArrowException) as error:
        says = visible(str(error), LONGEST_ERROR)
        message = f"{shard} is damaged ({says}). `duplexgen verify` says what else is."
        raise MalformedDataset(message, [f"{shard.name}: is damaged ({says})"]) from error


def open_table(path: Path, columns: pa.Schema | None) -> tuple[pq.ParquetFile, list[str]]:
    """A table, and what of its footer is not as the writer has it, in words; raises ArrowInvalid if it is none."""
    try:
        file = pq.ParquetFile(path)
        if columns is not None and (wrong := [*_wrong_columns(file.schema_arrow, columns)]):
            return file, wrong
        _check_footer(path, file.metadata)
        return file, [*_wrong_counts(file.metadata)]
    except (OSError, ValueError, LookupError, OverflowError, pa.ArrowException) as error:  # of names in bad UTF-8, too
        raise pa.ArrowInvalid(visible(str(error), LONGEST_ERROR)) from error


def _wrong_columns(found: pa.Schema, columns: pa.Schema) -> Iterator[str]:
    if found.equals(columns, check_metadata=False):
        return
    if found.names != columns.names and sorted(found.names) == sorted(columns.names):
        yield f"its columns are in another order than {', '.join(columns.names)}"
        return
    for name in dict.fromkeys([*columns.names, *found.names]):
        theirs, ours = ([str(of.field(at)) for at in of.get_all_field_indices(name)] for of in (found, columns))
        if theirs != ours:
            is_, expected = (reprlib.repr(", ".join(fields)) if fields else "not there" for fields in (theirs, ours))
            yield f"the column {visible(name)} is {is_}, expected {expected}"


class _PageWanted(Exception):
    pass


class _WithoutPages(io.FileIO):
    """A file that is opened for what its footer says, and never read."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise _PageWanted


def _check_footer(path: Path, footer: pq.FileMetaData) -> None:
    """Raises what pyarrow raises if it cannot use what the footer says of a column.

    `RowGroupMetaData.column` ends the process there. A reader of rows makes the same objects before its first page,
    and raises.
    """
    # With a buffer, the reader of each column is made before a page of the first is read.
    with (
        _WithoutPages(path) as pages,
        pq.ParquetFile(pages, metadata=footer, buffer_size=1, pre_buffer=False) as file,
    ):
        for number in range(footer.num_row_groups):
            with suppress(_PageWanted):
                next(file.iter_batches(1, row_groups=[number], use_threads=False), None)


def _wrong_counts(footer: pq.FileMetaData) -> Iterator[str]:
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    if (rows := sum(group.num_rows for group in groups)) != footer.num_rows:
        yield f"says that it has {footer.num_rows} rows, and its row groups have {rows}"
    for number, group in enumerate(groups):
        if group.num_columns != footer.num_columns:
            yield f"row group {number} has {group.num_columns} columns, expected {footer.num_columns}"
            continue
        values = max((group.column(column).num_values for column in range(group.num_columns)), default=0)
        if not 0 <= group.num_rows <= values <= MOST_VALUES:
            yield f"row group {number} has {group.num_rows} rows and {values} values: duplexgen did not write it"


@dataclass(frozen=True)
class Dataset:
    """A finished data set of any kind; rows are read from disk as they are asked for."""

    path: Path
    expected: pa.Schema | None = None  # columns of its shards, where its kind was asked (`pipeline/kinds.py`)

    @cached_property
    def success(self) -> Success:
        return validated(Success, self._read_json(SUCCESS), self.path / SUCCESS)

    @cached_property
    def manifest(self) -> Manifest:
        """Raises UserError if it is missing or of another version, MalformedDataset if duplexgen writes none such."""
        file = self.path / MANIFEST
        stored = self._read_json(MANIFEST)
        if stored.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{file} is of format version {reprlib.repr(stored.get('format_version'))}: the data set was built by "
                f"another version of duplexgen than this one, {__version__}, which reads version {FORMAT_VERSION}. "
                "Build it again."
            )
        manifest = validated(Manifest, stored, file)
        if manifest.source is None:
            validated(Recipe, manifest.recipe, file, ("recipe",))  # which `made_of` is
        return manifest

    def recipe_as(self, model: type[S]) -> S:
        """The recipe of its kind; raises MalformedDataset if it is none."""
        return validated(model, self.manifest.recipe, self.path / MANIFEST, ("recipe",))

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @cached_property
    def described(self) -> Described:
        return validated(Described, self._read_json(VOCABULARY), self.path / VOCABULARY)

    @property
    def tokens(self) -> Tokens:
        """Of its recipe, or of that of the data set it was made from: what says where its tokenizers are."""
        return self.manifest.made_of.tokens

    @property
    def sample_rate(self) -> int:
        return self.described.sample_rate

    @cached_property
    def layout(self) -> Layout:
        return self.described.make_layout()

    @cached_property
    def columns(self) -> pa.Schema:
        """Of its shards: those of its kind, or if that was not asked, of the first shard."""
        if self.expected is not None:
            return self.expected
        with opened(self.shards[0]) as file:
            return file.schema_arrow

    @property
    def shards(self) -> list[Path]:
        return [self.own(file.path) for file in self.manifest.listed(DATA)]

    def own(self, file: str) -> Path:
        """The path of a plain file of the data set; raises UserError if it is missing, or a link leads there."""
        path = self.path / file
        if link_in(self.path, file):
            raise UserError(f"{path} is a link, and a data set has none: copy the files themselves.")
        if not path.is_file():
            found = "is not a plain file" if path.exists() else "is missing"
            raise UserError(f"{path} {found}: {self.path} is no finished data set of duplexgen.")
        return path

    def _read_json(self, file: str) -> dict[str, Any]:
        return read_json(self.own(file))

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Rows in order, BATCH_ROWS at a time; no more of a shard is in memory than its pages.

        Raises UserError if they have no such columns.
        """
        if missing := {name.partition(".")[0] for name in columns or ()} - set(self.columns.names):
            raise malformed(self.shards[0], [f"has no column {', '.join(sorted(missing))}"])
        for shard in self.shards:
            with opened(shard, self.columns) as file:
                yield from file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """Rows in order, a few in memory at a time; raises UserError at one that cannot be read.

        columns: all, if none are named.
        """
        number = 0
        for batch in self.batches(columns):
            for _, row, problem in rows_of(batch):
                if row is None:
                    raise UserError(f"{self.path}: row {number} {problem}. `duplexgen verify` says what else is wrong.")
                yield row
                number += 1
