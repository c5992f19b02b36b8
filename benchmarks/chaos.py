"""Kill builds with SIGKILL at random moments, finish them, and compare every byte with a build left alone.

    python -m benchmarks.chaos --kills 20

Some kills come after a random time; some the moment a half-written file is seen, which is where a commit could go
wrong. Half hit the driver, half a worker, which Ray must replace without the driver noticing.
"""

import argparse
import filecmp
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.replay import replayed_recipe

ROOT = Path(__file__).resolve().parent.parent
LONGEST_BUILD_S = 600
LONGEST_DEATH_S = 30
COMMAND = [sys.executable, "-m", "benchmarks.replayed", "build"]


@dataclass(frozen=True, slots=True)
class Site:
    """A recipe, and the folder that a build of it may fill."""

    recipe: Path
    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "data_set"

    def start(self) -> subprocess.Popen[bytes]:
        arguments = [str(self.recipe), "--out", str(self.out), "--work", str(self.folder / "work")]
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=log, stderr=log)

    def finish(self) -> float:
        """Run the build to its end; seconds it took."""
        start = time.monotonic()
        if self.start().wait(timeout=LONGEST_BUILD_S):
            raise RuntimeError((self.folder / "log").read_text())
        return time.monotonic() - start


def interrupt(site: Site, rng: random.Random, longest_s: float) -> str:
    """Start a build and kill the driver, or workers and then the driver; returns what was done."""
    process = site.start()
    driver = psutil.Process(process.pid)
    at_write = rng.random() < 0.5
    wait(process, site.folder, rng.uniform(0, longest_s), at_write)
    what = "at a write" if at_write else "at a random moment"
    killed_workers = 0
    if rng.random() < 0.5:
        workers = [child for child in descendants(driver) if child.name().startswith("ray::")]
        for worker in rng.sample(workers, min(len(workers), 2)):
            worker.kill()
            killed_workers += 1
        wait(process, site.folder, rng.uniform(0, longest_s), at_write)
    ended = process.poll() is not None
    kill(process)
    return f"{what}: {killed_workers} workers{'' if ended else ' and the driver'}"


def kill(process: subprocess.Popen[bytes]) -> float:
    """Kill a driver, if it runs; seconds until the last of what works for it had died with it.

    Raises RuntimeError if something outlives it for long.
    """
    family = [] if process.poll() is not None else descendants(psutil.Process(process.pid))
    process.kill()
    process.wait()
    start = time.monotonic()
    while left := working(family):
        if time.monotonic() - start > LONGEST_DEATH_S:
            raise RuntimeError(f"left behind by a killed build: {', '.join(left)}")
        time.sleep(0.05)
    return time.monotonic() - start


def working(family: list[psutil.Process]) -> list[str]:
    """Names of those that still run, but for Ray's agents: they spend a minute telling a dead cluster that it died.

    An agent that has only just started goes by the name of `python` still.
    """
    names = []
    for child in family:
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            is_agent = child.name().endswith("Agent") or any("/agent" in part for part in child.cmdline()[:3])
            if child.status() != psutil.STATUS_ZOMBIE and not is_agent:
                names.append(" ".join([child.name(), *child.cmdline()[1:3]]))
    return names


def wait(process: subprocess.Popen[bytes], folder: Path, seconds: float, for_write: bool) -> None:
    """Until the time is over, then, if asked for, until a half-written file is seen; or the build has ended."""
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        late = time.monotonic() - deadline
        if late > 0 and (not for_write or late > 10 or any(folder.rglob(".*.tmp"))):
            return
        time.sleep(0.002)


def descendants(driver: psutil.Process) -> list[psutil.Process]:
    try:
        return list(driver.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def differences(left: Path, right: Path) -> list[str]:
    """Files that are not the same bytes in both folders."""
    names = {str(path.relative_to(folder)) for folder in (left, right) for path in folder.rglob("*") if path.is_file()}
    _, different, missing = filecmp.cmpfiles(left, right, sorted(names), shallow=False)
    return different + missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        recipe = replayed_recipe(Path(temporary), "interruption", partition_size=1)
        alone = Site(recipe, Path(temporary) / "alone")
        alone_s = alone.finish()
        print(f"left alone: {alone_s:.1f} s", flush=True)
        kills = rounds = bad_files = 0
        while kills < arguments.kills:
            rounds += 1
            killed = Site(recipe, Path(temporary) / f"killed-{rounds}")
            while kills < arguments.kills and not killed.out.exists():
                kills += 1
                print(f"kill {kills}: {interrupt(killed, rng, alone_s)}", flush=True)
            killed.finish()
            different = differences(alone.out, killed.out)
            bad_files += len(different)
            files = sum(path.is_file() for path in alone.out.rglob("*"))
            print(f"build {rounds}: {files} files, {len(different)} differ {different}", flush=True)
        print(f"{kills} kills over {rounds} builds, {bad_files} files differ")
        sys.exit(bool(bad_files))


if __name__ == "__main__":
    main()
