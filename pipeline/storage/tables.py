"""Turns tables into rows."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa


def rows_of_table(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of a table. Lists of integers, and lists of these, are NumPy arrays: Python's own integers are slow."""
    columns = [_values(column) for column in table.columns]
    return [dict(zip(table.column_names, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    inner = column.type.value_type if pa.types.is_list(column.type) else None
    if inner is not None and pa.types.is_integer(inner):
        return [value for chunk in column.chunks for value in _arrays(chunk)]
    if inner is not None and pa.types.is_list(inner) and pa.types.is_integer(inner.value_type):
        return [value for chunk in column.chunks for value in _nested(chunk)]
    values: list[Any] = column.to_pylist()
    return values


def _arrays(chunk: pa.ListArray) -> list[Any]:
    offsets, numbers = chunk.offsets.to_numpy(), chunk.values.to_numpy()
    parts = (numbers[first:past] for first, past in pairwise(offsets))
    return [part if valid else None for part, valid in zip(parts, chunk.is_valid().to_pylist(), strict=True)]


def _nested(chunk: pa.ListArray) -> list[Any]:
    """Lists of lists: an array of two dimensions, or a list of arrays if their lengths differ."""
    lists = _arrays(chunk.values)
    parts = (lists[first:past] for first, past in pairwise(chunk.offsets.to_numpy()))
    return [_stacked(part) if valid else None for part, valid in zip(parts, chunk.is_valid().to_pylist(), strict=True)]


def _stacked(lists: list[Any]) -> Any:
    lengths = {None if values is None else len(values) for values in lists}
    return np.stack(lists) if len(lengths) == 1 and None not in lengths else lists
