"""What exports cost: processor time and memory of each format, beside reading the data set.

    python -m benchmarks.exports DATASET [DATASET…] [--out FOLDER]

Give it data sets of different sizes to see that memory does not grow with them. See README.md.
"""

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.exports.exporters import EXPORTERS, export
from duplexgen.pipeline.kinds import opened

READING = "reading"
MB = 1_000_000


def read(dataset: Dataset) -> None:
    for _ in dataset.rows():
        pass


def measure(folder: Path, name: str, out: Path) -> dict[str, Any]:
    """Seconds and bytes of one export, in this process. name: of an exporter, or READING."""
    dataset = opened(folder)
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    try:
        if name == READING:
            read(dataset)
        else:
            export(dataset, name, out)
    except UserError as error:
        return {"says": str(error)}
    took_s, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "processor_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "took_s": took_s,
        "peak_mb": after.ru_maxrss * 1024 / MB,
        "written_mb": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / MB,
    }


def hours(dataset: Dataset) -> float:
    statistics = dataset.manifest.statistics
    tally = statistics.get("dialogue_s") or statistics["pair_s"]
    return tally.total / 3600


def line(name: str, figures: dict[str, Any], hours_: float) -> str:
    if "says" in figures:
        return f"{name:18} {figures['says'][:120]}"
    return (
        f"{name:18} {figures['processor_s'] / hours_:8.1f} s of a processor per hour of audio, "
        f"peak {figures['peak_mb']:5.0f} MB, {figures['written_mb'] / hours_:7.1f} MB per hour written, "
        f"took {figures['took_s']:.1f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help="write exports to this folder, and remove them again")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    every: dict[str, dict[str, Any]] = {}
    spawned = multiprocessing.get_context("spawn")  # each export in a process of its own: its peak of memory
    for folder in given.dataset:
        dataset = opened(folder)
        hours_ = hours(dataset)
        print(f"{folder}: {dataset.manifest.rows:,} rows, {hours_:.2f} h, {len(dataset.shards)} shards")
        for name in (READING, *EXPORTERS):
            with tempfile.TemporaryDirectory(dir=given.out) as work, spawned.Pool(1) as pool:
                out = Path(work) / "out"
                figures = pool.apply(measure, (folder, name, out))
                shutil.rmtree(out, ignore_errors=True)
            every.setdefault(str(folder), {})[name] = figures
            print("  " + line(name, figures, hours_), flush=True)
    if given.json:
        given.json.write_text(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()
