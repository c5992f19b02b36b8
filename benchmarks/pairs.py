"""What do preference pairs cost beside the data set they are made from?

    python -m benchmarks.pairs [--rows 10000]

The dialogues of the sample corpus go through all stages once, with the voice engine that costs nothing. The processor
time of all stages but the voice's is what an SFT build costs without synthesis. The rows are then copied under other
ids, up to the number asked for, and joined to a data set as in a build. `duplexgen dpo-pairs` runs on it in processes
of its own: wall clock, and processor time of the command and all that it starts, Ray included. The stage alone is one
partition in this process. Then `duplexgen verify` of the pairs.
"""

import argparse
import json
import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow as pa

from benchmarks.chaos import descendants
from benchmarks.replay import register, replayed_recipe
from duplexgen.pipeline.commands import checking
from duplexgen.pipeline.commands.build import Build, build, prepare
from duplexgen.pipeline.making.stage import run_partition
from duplexgen.pipeline.pairs.build import prepare as prepare_pairs
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.recipe.file import RECIPES, load
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.storage.partitions import CommitRecord, Outcome

WANTED_SHARE = 0.02
SAMPLE_EVERY_S = 0.1
COMMAND = [sys.executable, "-m", "benchmarks.replayed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000, help="make a data set of about this many rows")
    arguments = parser.parse_args()
    register()
    for scenario in ("turn_taking", "interruption"):
        with tempfile.TemporaryDirectory() as temporary:
            measure(Path(temporary), scenario, arguments.rows)


def measure(folder: Path, scenario: str, rows: int) -> None:
    dialogues = (RECIPES / "sample" / "ultrachat.jsonl").read_text(encoding="utf-8").splitlines()
    corpus = folder / "talk.jsonl"
    with corpus.open("w", encoding="utf-8") as file:
        for number in range(rows - rows % len(dialogues)):  # whole partitions alone: all are copies of the first
            turns = json.loads(dialogues[number % len(dialogues)])["data"]
            file.write(json.dumps({"id": f"talk-{number:06d}", "data": turns}) + "\n")
    recipe, base = checking.load(str(replayed_recipe(folder, scenario, len(dialogues), corpus)))
    sft = prepare(recipe, base, folder / "work", None, Display())
    sft_s, emitted = first_partition(sft)
    copy_partitions(sft, len(dialogues))
    build(recipe, base, folder / "out", folder / "work", None, Display())

    wall_s, core_s = command("dpo-pairs", folder / "out", "--out", folder / "pairs", "--work", folder / "work")
    stage_s, stage_rows = stage_alone(folder)
    verify_s, _ = command("verify", folder / "pairs")
    ledger = json.loads((folder / "pairs" / "manifest.json").read_text(encoding="utf-8"))["ledger"][-1]
    size_mb = sum(path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file()) / 1e6
    planned = ledger["planned"]
    sft_all_s = sft_s / emitted * planned
    print(f"{scenario}: {planned:,} rows, {size_mb:,.0f} MB, {ledger['emitted']:,} pairs, rejected {ledger['reasons']}")
    print(f"  SFT build without synthesis   {sft_all_s:8.1f} s of core   ({1000 * sft_s / emitted:.2f} ms per row)")
    for name, spent_s in (("whole command, processor time", core_s), ("whole command, wall clock", wall_s)):
        print(f"  {name:29} {spent_s:8.1f} s   {spent_s / sft_all_s:7.2%}   (wanted: at most {WANTED_SHARE:.0%})")
    stage_all_s = stage_s / stage_rows * planned
    print(f"  stage alone                   {stage_all_s:8.1f} s   {stage_all_s / sft_all_s:7.2%}", end="   ")
    print(f"({1000 * stage_s / stage_rows:.3f} ms per row)")
    print(f"  verify of the pairs           {verify_s:8.1f} s", flush=True)


def first_partition(sft: Build) -> tuple[float, int]:
    """Make the first partition of every stage. Returns the processor time of all but synthesis, and the rows."""
    source, spent_s = sft.plan.folder, 0.0
    for stage, folder in zip(sft.stages, sft.folders, strict=True):
        stage.load(folder.path.with_suffix(".scratch"))
        started = time.process_time()
        record = folder.write(0, *run_partition(stage, source.read(0)))
        spent_s += time.process_time() - started if stage.name != "speech" else 0
        source = folder
    return spent_s, record.rows


def copy_partitions(sft: Build, size: int) -> None:
    """Copy the first partition of every stage to all others, each row under the id that the plan has there."""
    for folder in sft.folders:
        table, record = folder.read(0), next(folder.records([0]))
        for partition in list(sft.plan.partitions)[1:]:
            folder.write(partition, *copy(table, record, partition * size))


def copy(table: pa.Table, record: CommitRecord, later: int) -> tuple[pa.Table, Outcome]:
    """A partition with ids that are higher by `later`."""

    def rename(dialogue_id: str) -> str:
        return f"talk-{int(dialogue_id.removeprefix('talk-')) + later:06d}"

    ids = pa.array([rename(id_) for id_ in table["dialogue_id"].to_pylist()])
    rejections = tuple(replace(item, dialogue_id=rename(item.dialogue_id)) for item in record.outcome.rejections)
    place = table.schema.get_field_index("dialogue_id")
    return table.set_column(place, table.schema.field(place), ids), replace(record.outcome, rejections=rejections)


def command(*arguments: str | Path) -> tuple[float, float]:
    """Wall clock of a command, and processor time of it and everything that it starts, in seconds."""
    started = time.monotonic()
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    family: dict[int, float] = {}
    root = psutil.Process(process.pid)
    while process.poll() is None:
        for each in [root, *descendants(root)]:
            try:
                spent = each.cpu_times()
            except psutil.Error:
                continue
            family[each.pid] = spent.user + spent.system
        time.sleep(SAMPLE_EVERY_S)
    assert process.returncode == 0, process.stderr.read().decode() if process.stderr else ""
    return time.monotonic() - started, sum(family.values())


def stage_alone(folder: Path) -> tuple[float, int]:
    """Processor time of one partition of pairs (read, make, commit), and its rows."""
    recipe, _ = load("timing", PairsRecipe, RECIPES / "pairs")
    pairs = prepare_pairs(recipe, folder / "out", folder / "alone")
    stage, target = pairs.stages[0], pairs.folders[0]
    stage.load(folder)
    started = time.process_time()
    record = target.write(0, *run_partition(stage, pairs.source.read(0)))
    return time.process_time() - started, record.outcome.planned


if __name__ == "__main__":
    main()
