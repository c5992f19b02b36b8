"""How long does a large data set take to open in the viewer?

    python -m benchmarks.view DATASET [--rows 100000]

Makes a data set of so many rows by repeating those of DATASET without their audio, each with an id of its own, and
asks for what the page asks: the summary, the first page of the table, a dialogue in the middle, a filter over all rows.
"""

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from duplexgen.pipeline.dataset.manifest import DATA, shard_name
from duplexgen.pipeline.dataset.reader import MANIFEST, SUCCESS
from duplexgen.pipeline.dataset.schema import data_schema
from duplexgen.pipeline.kinds import opened
from duplexgen.pipeline.storage.partitions import COMPRESSION
from duplexgen.pipeline.view.viewer import Viewer

WANTED_S = 1.0
GROUP_ROWS, SHARD_ROWS = 100, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="repeat the rows of this data set")
    parser.add_argument("--rows", type=int, default=100_000, help="make this many rows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "large"
        repeat(arguments.dataset, folder, arguments.rows)
        before_mb = _resident_mb()
        print(f"{'':40}{'seconds':>9}   wanted")
        viewer = _timed("open", lambda: Viewer(folder))
        _timed("summary", viewer.summary)
        _timed("first page of the table", lambda: viewer.dialogues({}))
        _timed("a dialogue in the middle", lambda: viewer.dialogue(arguments.rows // 2))
        _timed("a page in the middle", lambda: viewer.dialogues({"offset": str(arguments.rows // 2)}))
        _timed("index of all rows, beside the page", viewer.index.wait, None)
        _timed("a filter over all rows", lambda: viewer.dialogues({"kind": "turn", "text": f"{arguments.rows - 1}"}))
        _timed("values of all filters", viewer.facets)
        print(f"memory: {before_mb:.0f} MB before, {_resident_mb():.0f} MB after")


def _resident_mb() -> float:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _timed(what: str, work: Callable[[], Any], wanted_s: float | None = WANTED_S) -> Any:
    started = time.perf_counter()
    result = work()
    wanted = "" if wanted_s is None else f"{wanted_s:.1f}"
    print(f"{what:40}{time.perf_counter() - started:9.3f}   {wanted}", flush=True)
    return result


def repeat(dataset: Path, folder: Path, rows: int) -> None:
    """Write a data set of so many rows to a new folder; its statistics and counts stay those of the small one."""
    small = opened(dataset)
    shutil.copytree(dataset, folder, ignore=shutil.ignore_patterns("data"))
    (folder / "data").mkdir()
    schema = data_schema(small.layout.COLUMNS, small.sample_rate, with_audio=False)
    table = pa.concat_tables(pq.read_table(shard, columns=schema.names) for shard in small.shards).cast(schema)
    places = pa.array([row % table.num_rows for row in range(GROUP_ROWS)])
    shards = range(0, rows, SHARD_ROWS)
    files = []
    for number, first in enumerate(shards):
        name, past = shard_name(number, len(shards)), min(first + SHARD_ROWS, rows)
        with pq.ParquetWriter(folder / name, schema, compression=COMPRESSION, write_page_index=True) as writer:
            for start in range(first, past, GROUP_ROWS):
                group = table.take(places[: min(GROUP_ROWS, past - start)])
                ids = pa.array([f"dialogue-{row}" for row in range(start, start + group.num_rows)])
                writer.write_table(group.set_column(0, schema.field("dialogue_id"), ids))
        size = (folder / name).stat().st_size
        files.append({"path": name, "bytes": size, "sha256": "0" * 64, "rows": past - first})
    stored = json.loads((folder / MANIFEST).read_text())
    stored["files"] = [*files, *(file for file in stored["files"] if not file["path"].startswith(DATA))]
    stored["recipe"]["output"]["audio"] = "none"
    text = json.dumps(stored)
    (folder / MANIFEST).write_text(text)
    (folder / SUCCESS).write_text(json.dumps({"manifest_sha256": hashlib.sha256(text.encode()).hexdigest()}))


if __name__ == "__main__":
    main()
