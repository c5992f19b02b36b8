"""Tables to rows."""

from itertools import pairwise
from typing import Any

import pyarrow as pa


def rows_of_table(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of a table; what is a list of numbers is an array, as Python's lists of sequences would be slow."""
    columns = [_values(column) for column in table.columns]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    if not (pa.types.is_list(column.type) and pa.types.is_integer(column.type.value_type)):
        values: list[Any] = column.to_pylist()
        return values
    arrays: list[Any] = []
    for chunk in column.chunks:
        offsets, numbers = chunk.offsets.to_numpy(), chunk.values.to_numpy()
        parts = (numbers[first:past] for first, past in pairwise(offsets))
        arrays += [part if valid else None for part, valid in zip(parts, chunk.is_valid().to_pylist(), strict=True)]
    return arrays
