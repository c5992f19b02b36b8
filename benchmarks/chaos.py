"""Kill builds with SIGKILL at random moments, finish them, and compare every byte with a build that was not killed.

    python -m benchmarks.chaos --kills 20
    python -m benchmarks.chaos --kills 20 --raylets 3
    python -m benchmarks.chaos --kills 3 --raylets 3 --head

Some kills come after a random time; others as soon as a half-written file is seen, which is where a commit could go
wrong. Each ends with the driver. In half of them workers die before it, which Ray must replace.

With --raylets, each build runs on a cluster of that many nodes on this machine, and loses one of them: its raylet and
all that the raylet has started, at once. The build must end by itself. With --head, it loses the GCS: it must end with
a message and exit status 2, and the same command on a new cluster must end in the same bytes.
"""

import argparse
import filecmp
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from ray.cluster_utils import Cluster

from benchmarks.replay import register, replayed_recipe

ROOT = Path(__file__).resolve().parent.parent
LONGEST_BUILD_S = 600
LONGEST_DEATH_S = 30
USER_ERROR = 2  # exit status
COMMAND = [sys.executable, "-m", "benchmarks.replayed", "build"]


@dataclass(frozen=True, slots=True)
class Site:
    """A recipe, and the folder of its build."""

    recipe: Path
    folder: Path
    address: str = ""  # of a cluster; empty: each build starts its own
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
        """Run the build to its end. Returns its seconds. Raises RuntimeError, with its log, if it fails."""
        start = time.monotonic()
        if self.start().wait(timeout=LONGEST_BUILD_S):
            raise RuntimeError((self.folder / "log").read_text())
        return time.monotonic() - start


def interrupt(site: Site, rng: random.Random, longest_s: float) -> str:
    """Start a build and kill its driver, or workers and then the driver. Returns in words what was killed."""
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
    """Kill a driver, if it runs. Returns the seconds until no process of its build runs any more.

    Raises RuntimeError if one still runs after LONGEST_DEATH_S.
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
    """Names of the processes that still run, without Ray's agents: they try for a minute to reach the dead cluster.

    An agent that has just started still has the name `python`.
    """
    names = []
    for child in family:
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            is_agent = child.name().endswith("Agent") or any("/agent" in part for part in child.cmdline()[:3])
            if child.status() != psutil.STATUS_ZOMBIE and not is_agent:
                names.append(" ".join([child.name(), *child.cmdline()[1:3]]))
    return names


def wait(process: subprocess.Popen[bytes], folder: Path, seconds: float, for_write: bool) -> None:
    """Wait until the time is over and, with `for_write`, until a half-written file is seen; or until the build ends."""
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        late = time.monotonic() - deadline
        if late > 0 and (not for_write or late > 10 or any(folder.rglob(".*.tmp"))):
            return
        time.sleep(0.002)


def descendants(driver: psutil.Process) -> list[psutil.Process]:
    """All processes below a process; none if it has ended."""
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
    """A cluster on this machine, with one core per node."""

    def __init__(self, number: int, num_cpus: float = 1) -> None:
        os.environ.update(RAY_health_check_period_ms="1000")  # Ray's default is twenty seconds for a lost node
        self.cluster = Cluster()
        self.head = self.cluster.add_node(num_cpus=num_cpus, include_dashboard=False)
        self.nodes = [self.head]
        self.started = [self.head]
        while len(self.nodes) < number:
            self.add()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self, num_gpus: float = 0) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=1, num_gpus=num_gpus))
        self.started.append(self.nodes[-1])

    def lose(self, index: int) -> None:
        """Kill a node as if its machine lost power: its raylet and all that the raylet has started."""
        raylet = psutil.Process(self.nodes.pop(index).all_processes["raylet"][0].process.pid)
        kill_all([raylet, *descendants(raylet)])

    def lose_head(self) -> None:
        """Kill the GCS, without which no node can live long."""
        kill_all([psutil.Process(self.head.all_processes["gcs_server"][0].process.pid)])

    def stop(self) -> None:
        """Kill what is left of the cluster, and nothing of another Ray that this process may have started."""
        for node in self.started:
            for name in ("raylet", "gcs_server"):
                for started in node.all_processes.get(name, []):
                    if started.process.poll() is None:
                        process = psutil.Process(started.process.pid)
                        kill_all([process, *descendants(process)])


def kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def lost_nodes(recipe: Path, limit: int | None, kills: int, rng: random.Random, raylets: int) -> int:
    """Run builds until `kills` of them have lost a node. Returns how many files differ and builds failed."""
    cluster, bad = Raylets(raylets), 0
    alone, longest_s = undisturbed(recipe, limit, cluster)
    losses = builds = 0
    while losses < kills:
        builds += 1
        site = Site(recipe, recipe.parent / f"lost-{builds}", cluster.address, limit)
        process = site.start()
        at_write = rng.random() < 0.5
        wait(process, site.folder, rng.uniform(0, longest_s), at_write)
        index = rng.randrange(raylets)
        if process.poll() is not None:
            print("a build ended before its node was lost")
            continue
        losses += 1
        start = time.monotonic()
        what = f"node {index}{' at a write' if at_write else ''}, {commits(site)} commits"
        cluster.lose(index)
        status = process.wait(timeout=LONGEST_BUILD_S)
        different = differences(alone.out, site.out)
        bad += len(different) + bool(status)
        print(f"loss {losses}: {what}; status {status} after {time.monotonic() - start:.1f} s, {different} differ")
        print_messages(site)
        cluster.add()
    cluster.stop()
    print(f"{kills} nodes lost, {bad} files differ or builds failed")
    return bad


def lost_heads(recipe: Path, limit: int | None, kills: int, rng: random.Random, raylets: int) -> int:
    """Run `kills` builds that lose the GCS and continue on a new cluster. Returns the number of failures."""
    cluster, bad, losses = Raylets(raylets), 0, 0
    alone, longest_s = undisturbed(recipe, limit, cluster)
    while losses < kills:
        site = Site(recipe, recipe.parent / f"lost-head-{losses}", cluster.address, limit)
        process = site.start()
        wait(process, site.folder, rng.uniform(0, longest_s), for_write=False)
        if process.poll() is not None:
            print("a build ended before its head was lost")
            shutil.rmtree(site.folder)
            continue
        losses += 1
        start = time.monotonic()
        what = f"{commits(site)} commits"
        cluster.lose_head()
        status = process.wait(timeout=LONGEST_BUILD_S)
        took_s = time.monotonic() - start
        cluster.stop()
        cluster = Raylets(raylets)
        Site(recipe, site.folder, cluster.address, limit).finish()
        different = differences(alone.out, site.out)
        bad += len(different) + (status != USER_ERROR)
        print(f"head {losses}: {what}; status {status} after {took_s:.1f} s; afterwards {different} differ")
        print_messages(site)
    cluster.stop()
    print(f"{kills} heads lost, {bad} files differ or builds failed")
    return bad


def undisturbed(recipe: Path, limit: int | None, cluster: Raylets) -> tuple[Site, float]:
    """A build on a cluster that loses nothing, and the seconds it took."""
    alone = Site(recipe, recipe.parent / "alone", cluster.address, limit)
    alone_s = alone.finish()
    print(f"left alone on {len(cluster.nodes)} nodes: {alone_s:.1f} s", flush=True)
    return alone, alone_s


def commits(site: Site) -> int:
    """Partitions of all stages that have a record."""
    return len(list((site.folder / "work").glob("*/part-*.json")))


def print_messages(site: Site) -> None:
    """Print the messages of a build, without its progress."""
    for line in (site.folder / "log").read_text().splitlines():
        if "partitions are through" in line or line.startswith("duplexgen:"):
            print(f"    {line}")
    sys.stdout.flush()


def killed_builds(recipe: Path, limit: int | None, kills: int, rng: random.Random) -> int:
    """Kill drivers and workers of builds, `kills` times, and finish each build. Returns how many files differ."""
    alone = Site(recipe, recipe.parent / "alone", limit=limit)
    alone_s = alone.finish()
    print(f"left alone: {alone_s:.1f} s", flush=True)
    number = rounds = bad_files = 0
    while number < kills:
        rounds += 1
        site = Site(recipe, recipe.parent / f"killed-{rounds}", limit=limit)
        while number < kills and not site.out.exists():
            number += 1
            print(f"kill {number}: {interrupt(site, rng, alone_s)}", flush=True)
        site.finish()
        different = differences(alone.out, site.out)
        bad_files += len(different)
        files = sum(path.is_file() for path in alone.out.rglob("*"))
        print(f"build {rounds}: {files} files, {len(different)} differ {different}", flush=True)
    print(f"{kills} kills over {rounds} builds, {bad_files} files differ")
    return bad_files


def main() -> None:
    register()  # before raylets start, as they pass PYTHONPATH on to their workers
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="use this many dialogues")
    parser.add_argument("--raylets", type=int, default=0, help="kill nodes of a cluster of this many nodes")
    parser.add_argument("--head", action="store_true", help="kill the GCS of that cluster in place of a node")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        recipe = replayed_recipe(Path(temporary), "interruption", partition_size=1)
        if not arguments.raylets:
            bad = killed_builds(recipe, arguments.limit, arguments.kills, rng)
        else:
            lose = lost_heads if arguments.head else lost_nodes
            bad = lose(recipe, arguments.limit, arguments.kills, rng, arguments.raylets)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
