"""What must hold of the account of a data set: asked by the build before it says that it is done, and by `verify`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def ledger_failures(
    folder: Path, ledger: Sequence[dict[str, Any]], files: Sequence[dict[str, Any]], fan_out: Mapping[str, int]
) -> Iterator[str]:
    """Everything that does not add up, in words.

    folder: of the data set. ledger, files: as the manifest has them. fan_out: rows that a stage makes of one row, by
    the stage's name, where it is not 1.
    """
    for counts in ledger:
        stage = counts["stage"]
        if counts["planned"] != counts["emitted"] + counts["rejected"]:
            yield f"ledger: {stage}: planned is not emitted + rejected: {counts}"
        if counts["rejected"] != sum(counts["reasons"].values()):
            yield f"ledger: {stage}: the reasons do not add up to {counts['rejected']}"
    for before, counts in pairwise(ledger):
        expected = before["emitted"] * fan_out.get(counts["stage"], 1)
        if counts["planned"] != expected:
            yield f"ledger: {counts['stage']} planned {counts['planned']}, but {before['stage']} hands on {expected}"
    rows = sum(file["rows"] for file in files if file["path"].startswith("data/"))
    if rows != ledger[-1]["emitted"]:
        yield f"ledger: {ledger[-1]['emitted']} emitted, but data/ has {rows} rows"
    rejected: Counter[tuple[str, str]] = Counter()
    for file in files:
        if file["path"].startswith("rejected/"):
            table = pq.read_table(folder / file["path"], columns=["stage", "reason"])
            rejected.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    listed = {(counts["stage"], reason): count for counts in ledger for reason, count in counts["reasons"].items()}
    if rejected != listed:
        yield f"ledger: the rejected table counts {dict(rejected)}, the ledger {listed}"
