"""Clusters of real raylets that lose nodes, workers and their head; builds go on, or end with a sentence."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pyarrow as pa
import pytest
import yaml

from benchmarks.chaos import Raylets, Site, differences
from benchmarks.replay import ROOT
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.making import rounds
from duplexgen.pipeline.making.stage import Account, Row, Step
from duplexgen.pipeline.storage.partitions import Outcome, PartitionFolder
from tests.corpus import recipe_dict
from tests.test_resume import SLOWEST_S, until_committed

IDS = pa.schema([pa.field("dialogue_id", pa.string())])
DEADLY = 2  # a partition


@dataclass(frozen=True)
class Dummy:
    """A stage that waits; one partition may kill what it runs in."""

    kills: str = ""  # "", "worker" or "raylet"
    seconds: float = 0.0
    num_gpus: float = 0.0
    max_actors: int | None = None

    name: ClassVar[str] = "speech"
    version: ClassVar[int] = 1
    schema: ClassVar[pa.Schema] = IDS
    reads: ClassVar[tuple[str, ...] | None] = None
    num_cpus: ClassVar[float] = 0.5
    cost: ClassVar[float] = 1.0
    fan_out: ClassVar[int] = 1

    def shaped_by(self) -> dict[str, Any]:
        return {}

    def load(self, scratch: Path) -> None:
        pass

    def process(self, rows: list[Row], account: Account) -> list[Row]:
        time.sleep(self.seconds)
        if self.kills and rows[0]["dialogue_id"] == f"talk/{DEADLY}":
            parent = psutil.Process(os.getppid())
            if self.kills == "raylet" and parent.name() == "raylet":  # not who takes in the children of a dead one
                parent.kill()
                time.sleep(SLOWEST_S)
            os.kill(os.getpid(), signal.SIGKILL)
        return rows


@pytest.fixture(autouse=True)
def not_in_the_cluster_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What dies here would take along the Ray that other tests have started in this process."""
    monkeypatch.setattr(rounds, "_address", lambda: os.environ.get("RAY_ADDRESS"))


def step(folder: Path, stage: Dummy, partitions: int) -> Step:
    source = PartitionFolder(folder / "plan")
    for number in range(partitions):
        source.write(number, pa.table({"dialogue_id": [f"talk/{number}"]}, IDS), Outcome(1, 1))
    return Step(stage, source, PartitionFolder(folder / "speech"))  # type: ignore[arg-type]


@contextmanager
def once_committed(folder: PartitionFolder, commits: int, do: Callable[[], None]) -> Iterator[None]:
    """Do something beside the block, as soon as a stage has so many commits."""

    def watch() -> None:
        while len(folder.committed()) < commits:
            time.sleep(0.05)
        do()

    watching = threading.Thread(target=watch)
    watching.start()
    yield
    watching.join()


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(rounds.LOG, "warning", lambda text, *values: said.append(text % values))
    return said


def test_a_node_is_lost(corpus: Path, tmp_path: Path) -> None:
    """Under a whole build, and again while it goes on: first any node, then the one that its driver is on."""
    path = tmp_path / "interruption.yaml"
    path.write_text(yaml.safe_dump(recipe_dict(corpus, "interruption", partition_size=1)))
    alone = Site(path, tmp_path / "alone")
    alone.finish()
    cluster = Raylets(3)
    try:
        site = Site(path, tmp_path / "site", cluster.address)
        process = site.start()
        until_committed(site, process, 9)
        cluster.lose(2)
        until_committed(site, process, 16)
        cluster.lose(0)
        assert process.wait(SLOWEST_S) == 0, (site.folder / "log").read_text()
    finally:
        cluster.stop()
    said = (site.folder / "log").read_text()
    assert "a node was lost, and 2 are left" in said
    assert "of 7 partitions are through, and the rest runs again" in said
    assert "Traceback" not in said
    assert differences(alone.out, site.out) == []


def test_partition_that_ends_every_worker_is_named(tmp_path: Path) -> None:
    deadly = step(tmp_path, Dummy(kills="worker"), 6)
    with pytest.raises(UserError, match=r"partition 2 of the stage speech ended each of the 4 .*\(dialogues talk/2\)"):
        rounds.run([deadly], range(6), tmp_path / "ray.log")
    assert deadly.target.committed() <= {0, 1, 3, 4, 5}
    assert not list(deadly.target.path.glob(".tries"))


def test_partition_that_ends_every_raylet_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    """Ray ends under the driver, whose raylet it is; while something is committed, that is tried again."""
    monkeypatch.setattr(rounds, "ROUNDS", 2)
    monkeypatch.setenv("RAY_health_check_period_ms", "1000")
    deadly = step(tmp_path, Dummy(kills="raylet", max_actors=1), 4)
    with pytest.raises(UserError) as ended:
        rounds.run([deadly], range(4), tmp_path / "ray.log")
    assert "2 times in a row without a commit. The workers had these stages and partitions: speech 2" in str(
        ended.value
    )
    assert f"its log is {tmp_path / 'ray.log'}" in str(ended.value)
    assert "of 4 partitions are through, and the rest runs again" in warnings[0]


SCRIPT = """
import sys
from pathlib import Path
from duplexgen.pipeline.making import rounds
from tests.making.test_rounds import Dummy, step

folder = Path(sys.argv[1])
rounds.run([step(folder, Dummy(), 2)], range(2), folder / "ray.log")
print("through")
"""


def test_a_script_builds_without_a_guard(tmp_path: Path) -> None:
    """A round is a process of its own, and does not run the script that started it once more."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path)]
    given = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=SLOWEST_S, check=False)
    assert (done.returncode, done.stdout) == (0, "through\n"), done.stderr


@pytest.mark.parametrize(
    ("cpus_left", "gpus", "says"),
    [
        (1, 1.0, r"the stages ask for 1 GPUs.*and the cluster has 0"),
        (0, 0.0, "no node of the cluster has a CPU core to work with"),
    ],
    ids=["no GPU", "no core"],
)
def test_what_is_left_cannot_hold_the_stages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings: list[str],
    cpus_left: float,
    gpus: float,
    says: str,
) -> None:
    cluster = Raylets(1, num_cpus=cpus_left)
    try:
        cluster.add(num_gpus=gpus)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        slow = step(tmp_path, Dummy(seconds=0.2, num_gpus=gpus), 100)
        with pytest.raises(UserError, match=says), once_committed(slow.target, 3, lambda: cluster.lose(1)):
            rounds.run([slow], range(100), tmp_path / "ray.log")
    finally:
        cluster.stop()
    assert warnings[0].startswith("a node was lost, and 1 is left")


def test_the_head_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> None:
    """Ray's core ends its process, and the command says so; what the next round finds of the cluster ends it."""
    monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", "3")
    cluster = Raylets(2)
    try:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        slow = step(tmp_path, Dummy(seconds=0.2), 1000)
        no_more = "no Ray cluster can be used at RAY_ADDRESS="
        with pytest.raises(UserError, match=no_more), once_committed(slow.target, 3, cluster.lose_head):
            rounds.run([slow], range(1000), tmp_path / "ray.log")
    finally:
        cluster.stop()
    assert warnings[0].startswith("Ray ended during the build")
    assert str(tmp_path / "ray.log") in warnings[0]
