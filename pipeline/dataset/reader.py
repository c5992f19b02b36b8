"""Reading a finished data set. Only here are its files opened; models check their content and give typed values.

A data set may come from a stranger. So no link inside it is followed, the size of a file is checked before it is read,
and MalformedDataset names each wrong value.
"""

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
from ..storage.objects import ObjectPath, Place, SizedFile
from ..storage.paths import local, read_bytes
from ..tokens.described import Sha256
from ..tokens.section import Tokens
from .manifest import DATA, FORMAT_VERSION, VOCABULARY, Manifest
from .recipe import Recipe
from .row_sizes import rows_of

MANIFEST = "manifest.json"
SUCCESS = "_SUCCESS"
LARGEST_JSON_BYTES = 16_000_000  # a manifest of 80,000 shards; the objects of 16 MB of brackets still fit the memory
LARGEST_TOKENIZER_BYTES = 64_000_000
MOST_PROBLEMS = 20  # per message
LONGEST_ERROR = 300  # characters of a library's message
BATCH_ROWS = 32
MOST_VALUES = 64_000_000  # per column of a row group: more than 100 MB of codes
S = TypeVar("S", bound=Section)


class MalformedDataset(UserError):
    """A file of a data set holds something that duplexgen does not write.

    failures: everything that is wrong, in words, as `duplexgen verify` lists it.
    """

    def __init__(self, message: str, failures: Sequence[str]) -> None:
        super().__init__(message)
        self.failures = failures


def read_json(path: Place, most_bytes: int = LARGEST_JSON_BYTES) -> dict[str, Any]:
    """A JSON object of a data set or a model; raises UserError if it is missing or damaged.

    Repeated keys, NaN, infinite numbers and unpaired surrogates are refused, too.
    """
    try:
        text = read_bytes(path, most_bytes).decode("utf-8")
        value = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is no finished data set or model of duplexgen.") from None
    except RecursionError:
        raise UserError(f"{path} cannot be read: it is nested too deeply.") from None
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged: expected a JSON object.")
    return value


def link_in(folder: Place, file: str) -> bool:
    """Whether a path in a folder is a link or goes through one. A data set has no links."""
    if isinstance(folder, ObjectPath):
        return False
    path = folder / file
    return any(part.is_symlink() for part in (path, *path.parents) if part != folder and folder in part.parents)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has a key twice")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number in JSON")


def validated(model: type[S], value: Mapping[str, Any], file: Place, at: Location = ()) -> S:
    """The value as a model; raises MalformedDataset with everything that is wrong. at: its place in the file."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise malformed(file, [*_problems(error, at)]) from None


def malformed(file: Place, problems: Sequence[str]) -> MalformedDataset:
    """The error to raise for a file that duplexgen did not write like this. problems: in words."""
    more = len(problems) - MOST_PROBLEMS
    listed = [*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
    return MalformedDataset(
        f"{file} is malformed: {'; '.join(listed)}. It is damaged, or it was written by another version of duplexgen "
        f"than this one, {__version__}: build the data set again.",
        [f"{file.name}: {problem}" for problem in listed],
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
    """_SUCCESS, which is written last."""

    manifest_sha256: Sha256


def read_described(folder: Place) -> Described:
    """vocabulary.json of a data set or of a model; raises UserError if it is missing or damaged."""
    return validated(Described, read_json(folder / VOCABULARY), folder / VOCABULARY)


@contextmanager
def opened(shard: Place, columns: pa.Schema | None = None) -> Iterator[pq.ParquetFile]:
    """A shard to read from. Raises UserError if it is missing or damaged, also if that shows only in the block.

    columns: the schema that the shard must have; None: any.
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


def open_table(path: Place, columns: pa.Schema | None) -> tuple[pq.ParquetFile, list[str]]:
    """A table, and what is wrong with its footer, in words. Raises ArrowInvalid if it is no table."""
    try:
        # pyarrow asks for what it needs, column by column
        file = pq.ParquetFile(path.parts() if isinstance(path, ObjectPath) else path)
        if columns is not None and (wrong := [*_wrong_columns(file.schema_arrow, columns)]):
            return file, wrong
        _check_footer(path, file.metadata)
        return file, [*_wrong_counts(file.metadata)]
    except (OSError, ValueError, LookupError, OverflowError, pa.ArrowException) as error:  # also names in bad UTF-8
        raise pa.ArrowInvalid(visible(str(error), LONGEST_ERROR)) from error


def _wrong_columns(schema: pa.Schema, columns: pa.Schema) -> Iterator[str]:
    if schema.equals(columns, check_metadata=False):
        return
    if schema.names != columns.names and sorted(schema.names) == sorted(columns.names):
        yield f"its columns are in another order than {', '.join(columns.names)}"
        return
    for name in dict.fromkeys([*columns.names, *schema.names]):
        theirs, ours = ([str(one.field(at)) for at in one.get_all_field_indices(name)] for one in (schema, columns))
        if theirs != ours:
            is_, expected = (reprlib.repr(", ".join(fields)) if fields else "not there" for fields in (theirs, ours))
            yield f"the column {visible(name)} is {is_}, expected {expected}"


class _PageWanted(Exception):
    pass


class _WithoutPages(SizedFile):
    """A file of which only the footer is used: to read a page raises an error."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise _PageWanted


def _check_footer(path: Place, footer: pq.FileMetaData) -> None:
    """Raise pyarrow's error if it cannot use the footer's metadata of a column.

    `RowGroupMetaData.column` would end the process for such a column. A reader of rows makes the same objects before it
    reads a page, and raises an error.
    """
    # With a buffer, pyarrow makes the readers of all columns before it reads the first page.
    with (
        _WithoutPages(path.stat().st_size) as pages,
        pq.ParquetFile(pages, metadata=footer, buffer_size=1, pre_buffer=False) as file,
    ):
        for number in range(footer.num_row_groups):
            with suppress(_PageWanted):
                next(file.iter_batches(1, row_groups=[number], use_threads=False), None)


def _wrong_counts(footer: pq.FileMetaData) -> Iterator[str]:
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    if (rows := sum(group.num_rows for group in groups)) != footer.num_rows:
        yield f"its footer counts {footer.num_rows} rows, and its row groups {rows}"
    for number, group in enumerate(groups):
        if group.num_columns != footer.num_columns:
            yield f"row group {number} has {group.num_columns} columns, expected {footer.num_columns}"
            continue
        values = max((group.column(column).num_values for column in range(group.num_columns)), default=0)
        if not 0 <= group.num_rows <= values <= MOST_VALUES:
            yield f"row group {number} has {group.num_rows} rows and {values} values: duplexgen did not write it"


@dataclass(frozen=True)
class Dataset:
    """A finished data set of any kind. Its rows are read from disk when they are used."""

    place: Place
    expected: pa.Schema | None = None  # the columns that its kind gives shards; None: the kind was not asked

    @property
    def path(self) -> Path:
        """Its folder. Raises UserError if it is in an object store."""
        return local(self.place)

    @cached_property
    def success(self) -> Success:
        return validated(Success, self._read_json(SUCCESS), self.place / SUCCESS)

    @cached_property
    def manifest(self) -> Manifest:
        """Raises UserError if it is missing or of another version, MalformedDataset if duplexgen did not write it."""
        file = self.place / MANIFEST
        if isinstance(self.place, ObjectPath):
            self.own(SUCCESS)  # objects appear one by one
        stored = self._read_json(MANIFEST)
        if stored.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{file} is of format version {reprlib.repr(stored.get('format_version'))}: the data set was built by "
                f"another version of duplexgen than this one, {__version__}, which reads version {FORMAT_VERSION}. "
                "Build it again."
            )
        manifest = validated(Manifest, stored, file)
        if manifest.source is None:
            validated(Recipe, manifest.recipe, file, ("recipe",))  # `made_of` relies on this
        return manifest

    def recipe_as(self, model: type[S]) -> S:
        """Its recipe as the model of its kind; raises MalformedDataset if it does not fit."""
        return validated(model, self.manifest.recipe, self.place / MANIFEST, ("recipe",))

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @cached_property
    def described(self) -> Described:
        return validated(Described, self._read_json(VOCABULARY), self.place / VOCABULARY)

    @property
    def tokens(self) -> Tokens:
        """The section of the dialogues' recipe that says where the tokenizers are."""
        return self.manifest.made_of.tokens

    @property
    def sample_rate(self) -> int:
        return self.described.sample_rate

    @cached_property
    def layout(self) -> Layout:
        return self.described.make_layout()

    @cached_property
    def columns(self) -> pa.Schema:
        """The columns of its shards: those that its kind gives, or those of the first shard if it was not asked."""
        if self.expected is not None:
            return self.expected
        with opened(self.shards[0]) as file:
            return file.schema_arrow

    @property
    def shards(self) -> list[Place]:
        return [self.own(file.path) for file in self.manifest.listed(DATA)]

    def own(self, file: str) -> Place:
        """The path of a plain file of the data set; raises UserError if the file is missing, or is behind a link."""
        path = self.place / file
        if link_in(self.place, file):
            raise UserError(f"{path} is a link, and a data set has none: copy the files themselves.")
        if not path.is_file():
            problem = "is not a plain file" if path.exists() else "is missing"
            raise UserError(f"{path} {problem}: {self.place} is no finished data set of duplexgen.{self._hint(file)}")
        return path

    def _hint(self, file: str) -> str:
        near = self.place.parent / "out" / self.place.name  # where commands write, unless they are told otherwise
        return f" Did you mean {near}?" if isinstance(near, Path) and (near / file).is_file() else ""

    def _read_json(self, file: str) -> dict[str, Any]:
        return read_json(self.own(file))

    def batches(
        self, columns: list[str] | None = None, shards: Sequence[Place] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows in order, BATCH_ROWS at a time. Only pages of a shard are in memory, never a whole shard.

        columns: None: all. shards: some of its own; None: all. Raises UserError if there are no such columns.
        """
        if missing := {name.partition(".")[0] for name in columns or ()} - set(self.columns.names):
            raise malformed(self.shards[0], [f"has no column {', '.join(sorted(missing))}"])
        for shard in self.shards if shards is None else shards:
            with opened(shard, self.columns) as file:
                yield from file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """Rows in order, a few in memory at a time. Raises UserError at a row that cannot be read.

        columns: None: all.
        """
        number = 0
        for batch in self.batches(columns):
            for _, row, problem in rows_of(batch):
                if row is None:
                    raise UserError(
                        f"{self.place}: row {number} {problem}. `duplexgen verify` says what else is wrong."
                    )
                yield row
                number += 1

    def number_of(self, dialogue_id: str) -> int | None:
        """The number of the row with an id, counted from 0; None: there is none. All ids are read."""
        ids = (row["dialogue_id"] for row in self.rows(["dialogue_id"]))
        return next((number for number, one in enumerate(ids) if one == dialogue_id), None)
