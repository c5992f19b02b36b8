"""Rows of Arrow tables and Parquet files. A value that Python cannot hold rejects its row if the shape needs it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..dialogue import Rejection
from .json_files import DECODER
from .row import LONGEST_ROW, RestLost, Row, Unusable

ROWS_AT_ONCE = 64
BYTES_AT_ONCE = 2**26
MOST_COUNTED = 10**6  # rows at most that a damaged part of a file may plausibly have
DAMAGE = (pa.ArrowException, OSError, ValueError, ArithmeticError)  # what pyarrow raises over a file that is damaged


def parquet_rows(path: Path, name: str, keys: Sequence[str]) -> Iterator[Row | Rejection]:
    """Every row of a Parquet file; of its columns those of `keys`, the others as None.

    Rows of a damaged part are rejected, each with its number. Raises RestLost if their number is not known, and OSError
    if the disk fails.
    """
    with path.open("rb") as stream:
        try:
            file = pq.ParquetFile(stream, page_checksum_verification=True)
            names = file.schema_arrow.names
            # Nothing is asked of a column's metadata: pyarrow ends the process if they are damaged.
            groups = [
                (group.num_rows, group.total_byte_size)
                for group in map(file.metadata.row_group, range(file.num_row_groups))
            ]
        except DAMAGE as error:
            raise RestLost(f"cannot be read as Parquet: {_why(error)}") from error
        used = [key for key in keys if key in names]
        first = 1
        for index, (rows, size) in enumerate(groups):
            numbers = range(first, first + rows)
            at_once = min(ROWS_AT_ONCE, max(1, BYTES_AT_ONCE * rows // max(1, size)))
            batches = file.iter_batches(at_once, row_groups=[index], columns=used, use_threads=False)
            yield from _group_rows(batches, name, numbers, names)
            first = numbers.stop
        if (rows := file.metadata.num_rows) != first - 1:
            raise RestLost(f"it says that it has {rows} rows, and has {first - 1}")


def _group_rows(
    batches: Iterator[pa.RecordBatch], name: str, numbers: range, names: Sequence[str]
) -> Iterator[Row | Rejection]:
    count, why = 0, "there are fewer rows than the file says"
    try:
        for batch in batches:
            yield from table_rows(batch, names, name, numbers.start + count)
            count += batch.num_rows
    except DAMAGE as error:
        why = _why(error)
    missing = numbers[count:]
    if len(missing) > MOST_COUNTED:
        raise RestLost(f"item {missing.start} and all items after it are lost: {why}")
    for number in missing:
        yield Rejection(f"{name}#{number}", "source", "broken_file", why)


def table_rows(
    table: pa.RecordBatch | pa.Table, names: Iterable[str], label: str, first: int
) -> Iterator[Row | Rejection]:
    """The rows of a table, numbered from `first`. names: all that a row has, those that the table lacks as None."""
    blank = dict.fromkeys(names)
    columns = list(zip(table.column_names, table.columns, strict=True))
    long = table.nbytes > LONGEST_ROW
    for index in range(table.num_rows):
        where = f"{label}#{first + index}"
        if long and table.slice(index, 1).nbytes > LONGEST_ROW:
            yield Rejection(where, "source", "row_too_long", f"longer than {LONGEST_ROW} bytes")
        else:
            yield Row(where, blank | _mapping((name, column[index]) for name, column in columns))


def _why(error: Exception) -> str:
    """What is wrong with a file; raises the error again if it is the disk's."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return " ".join(str(error).split())[:500]


def _mapping(fields: Iterable[tuple[str, pa.Scalar]]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for name, scalar in fields:
        mapping[name] = Unusable("a field that appears twice") if name in mapping else _value(scalar)
    return mapping


def _value(scalar: Any) -> Any:
    """A value as JSON would give it. In text, bytes that are not UTF-8 become lone surrogates."""
    if isinstance(scalar, pa.DictionaryScalar):
        scalar = scalar.value
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.StructScalar):
        return _mapping((field.name, scalar[index]) for index, field in enumerate(scalar.type))
    if isinstance(scalar, pa.ListScalar):
        return [_value(item) for item in scalar.values]
    if isinstance(scalar, pa.StringScalar):
        return scalar.as_buffer().to_pybytes().decode("utf-8", "surrogateescape")
    try:
        return DECODER.decode(_value(scalar.value)) if isinstance(scalar, pa.JsonScalar) else scalar.as_py()
    except Exception as error:  # a date, decimal, time zone or extension type that Python lacks
        return Unusable(f"a {scalar.type} that cannot be read ({_short(error)})")


def _short(error: Exception) -> str:
    return "broken JSON" if isinstance(error, json.JSONDecodeError) else " ".join(str(error).split())[:80]
