"""Do the time per dialogue and the driver's memory stay the same from a hundred dialogues to ten thousand?

    python -m benchmarks.scale [--dialogues 100 10000] [--partition-size 5]

Each build runs on Ray in a process of its own, with the voice engine that costs nothing. The time per dialogue is taken
between the first and the last commit of the last stage, so that the start of Ray and of engines does not count.
"""

import argparse
import json
import multiprocessing
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.replay import register, replayed_recipe
from duplexgen import cli

WANTED_SPREAD = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogues", type=int, nargs="+", default=[100, 10_000], help="build this many dialogues")
    parser.add_argument("--partition-size", type=int, default=5, help="put this many dialogues in each partition")
    arguments = parser.parse_args()
    if min(arguments.dialogues) <= arguments.partition_size:
        parser.error(f"--dialogues: expected more than {arguments.partition_size}, which is one partition")
    print(f"{'dialogues':>10} {'driver MB':>10} {'s per dialogue':>14} {'whole build s':>14}")
    costs = []
    for number in arguments.dialogues:
        with tempfile.TemporaryDirectory() as temporary:
            peak_mb, dialogue_s, whole_s = measure(Path(temporary), number, arguments.partition_size)
        costs.append((peak_mb, dialogue_s))
        print(f"{number:10,} {peak_mb:10,.0f} {dialogue_s:14.4f} {whole_s:14.1f}", flush=True)
    wanted = {"memory": "flat", "time per dialogue": f"within {WANTED_SPREAD:.0%}"}
    for name, first, last in zip(wanted, costs[0], costs[-1], strict=True):
        print(f"{name}: last / first {last / first:.3f}   (wanted: {wanted[name]})")


def measure(folder: Path, number: int, partition_size: int) -> tuple[float, float, float]:
    """Peak memory of the driver in MB, seconds per dialogue, seconds of the whole build."""
    recipe = replayed_recipe(folder, "turn_taking", partition_size, corpus(folder, number))
    arguments = ["build", str(recipe), "--out", str(folder / "out"), "--work", str(folder / "work")]
    started = time.monotonic()
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    whole_s = time.monotonic() - started
    records = [path for folder in (folder / "work").glob("sequences-*") for path in folder.glob("part-*.json")]
    commits = sorted(path.stat().st_mtime for path in records)
    dialogues = partition_size * (len(commits) - 1)
    return int(process.stdout.split()[-1]) / 1024, (commits[-1] - commits[0]) / dialogues, whole_s


def corpus(folder: Path, number: int) -> Path:
    path = folder / "talk.jsonl"
    turns = ["Is the library open?", "Yes, all day."]
    with path.open("w", encoding="utf-8") as file:
        for index in range(number):
            file.write(json.dumps({"id": f"talk-{index}", "data": turns}) + "\n")
    return path


def build() -> None:
    """Run the command in this process, then print in KiB the peak memory of it and of the process that drives Ray."""
    register()
    driver = _Driver()
    driver.start()
    try:
        cli.main()
    finally:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + driver.peak)


class _Driver(threading.Thread):
    """Asks the kernel for the peak memory of the process that drives Ray, as long as that runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0

    def run(self) -> None:
        while True:
            for process in multiprocessing.active_children():
                with suppress(OSError):
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    self.peak = max([self.peak, *map(int, re.findall(r"VmHWM:\s+(\d+)", status))])
            time.sleep(0.1)


if __name__ == "__main__":
    build() if sys.argv[1:2] == ["build"] else main()
