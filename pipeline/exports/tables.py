"""Parquet files that rows are written into one by one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..storage.partitions import COMPRESSION
from .exporter import Row

ROWS_TOGETHER = 256  # per row group

Add = Callable[[Row], None]


@contextmanager
def parquet(path: Path, schema: pa.Schema) -> Iterator[Add]:
    """A new Parquet file; yields a function that adds a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        pq.ParquetWriter(path, schema, compression=COMPRESSION, write_page_index=True) as writer,
        batched(schema, writer.write_table) as add,
    ):
        yield add


@contextmanager
def batched(schema: pa.Schema, write: Callable[[pa.Table], Any]) -> Iterator[Add]:
    """Yields a function that takes rows, which are written ROWS_TOGETHER at a time."""
    waiting: list[Row] = []

    def add(row: Row) -> None:
        waiting.append(row)
        if len(waiting) == ROWS_TOGETHER:
            flush()

    def flush() -> None:
        write(pa.Table.from_pylist(waiting, schema=schema))
        waiting.clear()

    yield add
    if waiting:
        flush()
