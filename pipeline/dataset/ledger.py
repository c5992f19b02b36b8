"""Checks the counts of a data set. A build does it before it finishes, and `verify` does it again."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import pyarrow as pa

from ..storage.objects import Place
from .manifest import DATA, REJECTED, File, StageCounts
from .reader import opened
from .schema import REJECTED as REJECTED_COLUMNS

BATCH_ROWS = 10_000
MOST_REJECTED_ROWS = 100_000  # per file


def ledger_failures(
    folder: Place, ledger: Sequence[StageCounts], files: Sequence[File], fan_out: Mapping[str, int]
) -> Iterator[str]:
    """Everything that does not add up, in words.

    folder: of the data set. ledger, files: as in the manifest. fan_out: how many rows a stage makes of one, by the name
    of the stage, where it is not 1. Raises UserError if a rejected table cannot be read.
    """
    for counts in ledger:
        stage, planned, emitted, rejected = counts.stage, counts.planned, counts.emitted, counts.rejected
        if planned != emitted + rejected:
            yield f"ledger: {stage}: planned is not emitted + rejected: {planned} is not {emitted} + {rejected}"
        if rejected != sum(counts.reasons.values()):
            yield f"ledger: {stage}: the reasons do not add up to {rejected}"
    for before, counts in pairwise(ledger):
        expected = before.emitted * fan_out.get(counts.stage, 1)
        if counts.planned != expected:
            yield f"ledger: {counts.stage} planned {counts.planned}, but {before.stage} hands on {expected}"
    rows = sum(file.rows or 0 for file in files if file.path.startswith(DATA))
    if rows != ledger[-1].emitted:
        yield f"ledger: {ledger[-1].emitted} emitted, but data/ has {rows} rows"
    listed = {(counts.stage, reason): count for counts in ledger for reason, count in counts.reasons.items()}
    in_tables: Counter[tuple[str, str]] = Counter()
    for file in files:
        if file.path.startswith(REJECTED):
            yield from _count_rejected(folder, file.path, listed, in_tables)
    for (stage, reason), count in listed.items():
        if in_tables[stage, reason] != count:
            rows = in_tables[stage, reason]
            yield f"ledger: {stage}: the rejected table counts {rows} of {reason!r}, the ledger {count}"


def _count_rejected(
    folder: Place, file: str, listed: Mapping[tuple[str, str], int], in_tables: Counter[tuple[str, str]]
) -> Iterator[str]:
    """Add the rows of a rejected table to `in_tables`, by stage and reason; yields what is wrong with it, in words."""
    with opened(folder / file, REJECTED_COLUMNS) as table:
        if table.metadata.num_rows > MOST_REJECTED_ROWS:
            yield f"{file}: has {table.metadata.num_rows} rows, more than {MOST_REJECTED_ROWS}"
            return
        unlisted = 0
        for batch in table.iter_batches(BATCH_ROWS, columns=["stage", "reason"], use_threads=False):
            try:
                batch.validate(full=True)
            except pa.ArrowException as error:
                yield f"{file}: cannot be read: {error}"
                return
            counts = Counter(zip(*(column.to_pylist() for column in batch.columns), strict=True))
            in_tables.update({key: count for key, count in counts.items() if key in listed})
            unlisted += sum(count for key, count in counts.items() if key not in listed)
        if unlisted:
            yield f"{file}: {unlisted} rows have a stage and a reason that the ledger does not have"
