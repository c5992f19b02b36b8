"""Kill builds with SIGKILL at random moments, finish them, and compare every byte with a build left alone.

    python -m benchmarks.chaos --kills 20
    python -m benchmarks.chaos --kills 20 --raylets 3
    python -m benchmarks.chaos --kills 3 --raylets 3 --head

Some kills come after a random time; some the moment a half-written file is seen, which is where a commit could go
wrong. Half hit the driver, half a worker, which Ray must replace without the driver noticing.

With --raylets, each build runs on a cluster of so many nodes on this machine, and loses one of them: its raylet and all
that it has started, at once. It must end by itself. With --head, it loses the GCS: it must end with a sentence and exit
status 2, and the same command on a new cluster must end in the same bytes.
"""

import argparse
import filecmp
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

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
    address: str = ""  # of a cluster; else each build starts its own
    limit: int | None = None  # dialogues

    @property
    def out(self) -> Path:
        return self.folder / "data_set"

    def start(self) -> subprocess.Popen[bytes]:
        arguments = [str(self.recipe), "--out", str(self.out), "--work", str(self.folder / "work")]
        if self.limit:
            arguments += ["--limit", str(self.limit)]
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            environment = os.environ | ({"RAY_ADDRESS": self.address} if self.address else {})
            return subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=log, stderr=log, env=environment)

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


class Raylets:
    """A cluster on this machine, of one core a node."""

    def __init__(self, number: int, num_cpus: float = 1) -> None:
        self.cluster = Cluster()
        self.head = self.cluster.add_node(num_cpus=num_cpus, include_dashboard=False)
        self.nodes = [self.head]
        while len(self.nodes) < number:
            self.add()

    @property
    def address(self) -> str:
        return str(self.cluster.address, alone.limit)

    def add(self, num_gpus: float = 0) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=1, num_gpus=num_gpus))

    def lose(self, index: int) -> None:
        """Kill a node as a machine that loses its power: its raylet and all that this has started."""
        raylet = psutil.Process(self.nodes.pop(index).all_processes["raylet"][0].process.pid)
        kill_all([raylet, *descendants(raylet)])

    def lose_head(self) -> None:
        """Kill the GCS, without which no node can live long."""
        kill_all([psutil.Process(self.head.all_processes["gcs_server"][0].process.pid)])

    def stop(self) -> None:
        for process in descendants(psutil.Process()):
            if process.name() in {"raylet", "gcs_server"}:
                kill_all([process, *descendants(process)])


def kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def lost_nodes(recipe: Path, alone: Site, kills: int, rng: random.Random, raylets: int) -> int:
    """So many builds, each of which loses a node; returns how many files differ, or builds that did not end well."""
    cluster, bad = Raylets(raylets), 0
    longest_s = Site(recipe, alone.folder.parent / "undisturbed", cluster.address, alone.limit).finish()
    print(f"left alone on {raylets} nodes: {longest_s:.1f} s", flush=True)
    for number in range(kills):
        site = Site(recipe, alone.folder.parent / f"lost-{number}", cluster.address, alone.limit)
        process = site.start()
        at_write = rng.random() < 0.5
        wait(process, site.folder, rng.uniform(0, longest_s), at_write)
        index = rng.randrange(raylets)
        ended = process.poll() is not None
        name = "the head's" if cluster.nodes[index] is cluster.head else "another"
        before = len(list((site.folder / "work").glob("*-*/part-*.json")))
        start = time.monotonic()
        cluster.lose(index)
        status = process.wait(timeout=LONGEST_BUILD_S)
        different = differences(alone.out, site.out)
        bad += len(different) + bool(status)
        what = f"{name} node{' at a write' if at_write else ''}{', after the end' if ended else ''}, {before} commits"
        said = [line for line in (site.folder / "log").read_text().splitlines() if "the build goes on" in line]
        print(f"loss {number + 1}: {what}; status {status} after {time.monotonic() - start:.1f} s, {different} differ")
        print("".join(f"    {line}\n" for line in said), end="", flush=True)
        cluster.add()
    cluster.stop()
    print(f"{kills} nodes lost, {bad} files differ or builds failed")
    return bad


def lost_heads(recipe: Path, alone: Site, kills: int, rng: random.Random, raylets: int) -> int:
    """So many builds, each of which loses the GCS and goes on on a new cluster; returns what went wrong."""
    bad = 0
    longest_s = 0.0
    for number in range(kills):
        cluster = Raylets(raylets)
        site = Site(recipe, alone.folder.parent / f"lost-head-{number}", cluster.address, alone.limit)
        longest_s = (
            longest_s or Site(recipe, alone.folder.parent / "undisturbed", cluster.address, alone.limit).finish()
        )
        process = site.start()
        wait(process, site.folder, rng.uniform(longest_s / 4, longest_s), for_write=False)
        ended = process.poll() is not None
        start = time.monotonic()
        cluster.lose_head()
        status = process.wait(timeout=LONGEST_BUILD_S)
        took_s = time.monotonic() - start
        said = (site.folder / "log").read_text().strip().splitlines()
        cluster.stop()
        cluster = Raylets(raylets)
        Site(recipe, site.folder, cluster.address, alone.limit).finish()
        cluster.stop()
        different = differences(alone.out, site.out)
        bad += len(different) + (status != (0 if ended else 2))
        print(f"head {number + 1}: status {status} after {took_s:.1f} s; afterwards {different} differ")
        print("".join(f"    {line}\n" for line in said), end="", flush=True)
    print(f"{kills} heads lost, {bad} files differ or builds failed")
    return bad


def killed_builds(recipe: Path, alone: Site, kills: int, rng: random.Random, longest_s: float) -> int:
    """Builds of which drivers and workers are killed; returns how many files differ."""
    done = rounds = bad_files = 0
    while done < kills:
        rounds += 1
        killed = Site(recipe, alone.folder.parent / f"killed-{rounds}", limit=alone.limit)
        while done < kills and not killed.out.exists():
            done += 1
            print(f"kill {done}: {interrupt(killed, rng, longest_s)}", flush=True)
        killed.finish()
        different = differences(alone.out, killed.out)
        bad_files += len(different)
        files = sum(path.is_file() for path in alone.out.rglob("*"))
        print(f"build {rounds}: {files} files, {len(different)} differ {different}", flush=True)
    print(f"{kills} kills over {rounds} builds, {bad_files} files differ")
    return bad_files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="dialogues of a build")
    parser.add_argument("--raylets", type=int, default=0, help="kill nodes of a cluster of so many")
    parser.add_argument("--head", action="store_true", help="kill the GCS of that cluster in place of a node")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        recipe = replayed_recipe(Path(temporary), "interruption", partition_size=1)
        alone = Site(recipe, Path(temporary) / "alone", limit=arguments.limit)
        alone_s = alone.finish()
        print(f"left alone: {alone_s:.1f} s", flush=True)
        if not arguments.raylets:
            bad = killed_builds(recipe, alone, arguments.kills, rng, alone_s)
        else:
            lose = lost_heads if arguments.head else lost_nodes
            bad = lose(recipe, alone, arguments.kills, rng, arguments.raylets)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
