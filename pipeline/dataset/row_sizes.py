"""Limits that are checked before rows become Python objects: a stranger's shard may unpack to any size."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MOST_EVENTS = 10_000
MOST_VALUES = 10_000_000  # of one list in a row
MOST_BYTES = 200_000_000  # per row
LONGEST_ID = 4096  # characters
LONGEST_TEXT = 100_000  # characters of an event: more than a person says in one hour

CheckedRow = tuple[str | None, dict[str, Any] | None, str]
"""The dialogue_id of a row, the row or None, and what is wrong with it, in words, or ""."""


def rows_of(batch: pa.RecordBatch) -> Iterator[CheckedRow]:
    """Each row of a batch."""
    return chain.from_iterable(groups_of(batch))


def groups_of(batch: pa.RecordBatch) -> Iterator[list[CheckedRow]]:
    """The rows of a batch, as many at a time as may be in memory: all, or each alone if they are too large together."""
    if not _problem(batch):
        yield [(row.get("dialogue_id"), row, "") for row in batch.to_pylist()]
        return
    for number in range(batch.num_rows):
        row = batch.slice(number, 1)
        if problem := _problem(row):
            yield [(_dialogue_id(row), None, problem)]
        else:
            (read,) = row.to_pylist()
            yield [(read.get("dialogue_id"), read, "")]


def _problem(rows: pa.RecordBatch) -> str:
    """What is wrong with rows, in words. Several rows may be too large together although none of them is."""
    try:
        rows.validate(full=True)
    except pa.ArrowException as error:
        return f"cannot be read: {error}"
    if (size := rows.nbytes) > MOST_BYTES:
        return f"has {size:,} bytes, more than {MOST_BYTES:,}"
    if "dialogue_id" in rows.schema.names and rows.num_rows:
        lengths = pc.min_max(pc.utf8_length(rows["dialogue_id"])).as_py()
        if not 0 < lengths["min"] <= lengths["max"] <= LONGEST_ID:
            return f"its dialogue_id is empty or longer than {LONGEST_ID:,} characters"
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        if pa.types.is_list(column.type) and (problem := _list_problem(name, column)):
            return problem
    return _text_problem(rows["events"].flatten()) if "events" in rows.schema.names else ""


def _list_problem(name: str, column: pa.Array) -> str:
    values = column
    while pa.types.is_list(values.type):
        values = values.flatten()
        if len(values) > (most := MOST_EVENTS if name == "events" else MOST_VALUES):
            return f"{name} has {len(values):,} values, more than {most:,}"
        if values.null_count:
            return f"{name} has a null among its values"
    return ""


def _text_problem(events: pa.StructArray) -> str:
    fields = [field.name for field in events.type]
    longest = pc.max(pc.utf8_length(pc.struct_field(events, "text"))).as_py() if "text" in fields else 0
    return f"an event has {longest:,} characters, more than {LONGEST_TEXT:,}" if (longest or 0) > LONGEST_TEXT else ""


def _dialogue_id(row: pa.RecordBatch) -> str | None:
    try:
        return str(row["dialogue_id"][0].as_py())[:LONGEST_ID]
    except (ValueError, KeyError, pa.ArrowException):  # KeyError: it is not among the columns
        return None
