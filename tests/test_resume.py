"""Builds that are killed or stopped go on, and end in the bytes of a build that was left alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from benchmarks.chaos import COMMAND, ROOT, Site, commits, descendants, differences, kill, wait, working
from duplexgen.cli import STOPPED
from tests.corpus import recipe_dict

SLOWEST_S = 120
DIALOGUES = 7  # of the corpus, each a partition; the plan's are there before any work


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "interruption.yaml"
    path.write_text(yaml.safe_dump(recipe_dict(corpus, "interruption", partition_size=1)))
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, recipe: Path) -> Site:
    """A build that was left alone."""
    site = Site(recipe, tmp_path_factory.mktemp("alone"))
    site.finish()
    return site


def until_committed(site: Site, process: subprocess.Popen[bytes], number: int) -> None:
    deadline = time.monotonic() + SLOWEST_S
    while commits(site) < number:
        assert process.poll() is None, (site.folder / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_driver_then_killed_workers(alone: Site, tmp_path: Path) -> None:
    site = Site(alone.recipe, tmp_path / "site")
    process = site.start()
    until_committed(site, process, DIALOGUES + 1)
    wait(process, site.folder, 0, for_write=True)
    assert kill(process) < 10  # and nothing that works is left
    before = commits(site)
    assert before < 4 * DIALOGUES

    process = site.start()
    until_committed(site, process, before + 1)
    workers = [child for child in descendants(psutil.Process(process.pid)) if "MapWorker" in child.name()]
    for worker in workers[:2]:
        worker.kill()
    assert process.wait(SLOWEST_S) == 0, (site.folder / "log").read_text()
    assert workers
    assert differences(site.out, alone.out) == []


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize(
    ("number", "everybody", "status"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143), (signal.SIGHUP, True, 129)],
    ids=["from the keyboard", "by a supervisor", "with its terminal"],
)
def test_stopped(alone: Site, tmp_path: Path, number: signal.Signals, everybody: bool, status: int) -> None:
    """everybody: as a terminal does, to the command and to all of its group."""
    site = Site(alone.recipe, tmp_path / "site")
    site.folder.mkdir()
    arguments = [str(site.recipe), "--out", str(site.out), "--work", str(site.folder / "work")]
    with (site.folder / "log").open("wb") as log:
        process = subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    until_committed(site, process, DIALOGUES + 1)
    family = descendants(psutil.Process(process.pid))
    (os.killpg if everybody else os.kill)(process.pid, number)
    assert process.wait(SLOWEST_S) == status
    said = (site.folder / "log").read_text()
    assert STOPPED in said
    assert "Traceback" not in said
    time.sleep(1)
    assert working(family) == []
    assert not site.out.exists()
    site.finish()
    assert differences(site.out, alone.out) == []


KILLED_AT_EACH_COMMIT = """
import os, random, sys
from pathlib import Path
from benchmarks.replay import register
from tests.damaging import spoil
import matplotlib.figure
from duplexgen import cli
from duplexgen.pipeline.commands import build, checking

register()
build.Build.shard_bytes = int(sys.argv.pop(1))
mode = sys.argv.pop(1)
rng = random.Random(0)
out = Path(sys.argv[sys.argv.index("--out") + 1])
replace = Path.replace
killed = set()

def replace_or_die(self, target):
    if str(target) not in killed:
        os.write(pipe, os.fsencode(target))
        os._exit(9)
    return replace(self, target)

while True:
    read, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        if mode != "alone":
            Path.replace = replace_or_die
        cli.main()
        os._exit(0)
    os.close(pipe)
    ended = os.waitpid(child, 0)[1]
    if os.waitstatus_to_exitcode(ended) != 9:
        sys.exit(os.waitstatus_to_exitcode(ended))
    killed.add(os.read(read, 4096).decode())
    os.close(read)
    (staging,) = (path for path in out.parent.glob(f".{out.name}.*") if path.is_dir())
    done = [spoil(staging, rng) for _ in range(2)] if mode == "damaged" else []
    print("killed", *done, sep="\\n", flush=True)
"""
ALL_IN_ONE, ONE_EACH = 10**9, 1  # bytes of a shard


def finished(alone: Site, out: Path, shard_bytes: int, mode: str) -> list[str]:
    """Finish a data set of what was made already; returns what was done to it.

    mode: `killed` before each rename, the same and then `damaged` where it was left, or `alone`.
    """
    arguments = ["build", str(alone.recipe), "--out", str(out), "--work", str(alone.folder / "work")]
    command = [sys.executable, "-c", KILLED_AT_EACH_COMMIT, str(shard_bytes), mode, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SLOWEST_S)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split("\n")


def test_killed_before_each_rename_while_shards_are_joined(alone: Site, tmp_path: Path) -> None:
    done = finished(alone, tmp_path / "data_set", ALL_IN_ONE, "killed")
    renamed = [path for path in alone.out.rglob("*") if path.is_file() and path.parent.name != "vocabulary"]
    assert done.count("killed") > len(renamed)
    assert differences(tmp_path / "data_set", alone.out) == []


def test_killed_before_each_rename_and_damaged_where_it_was_left(alone: Site, tmp_path: Path) -> None:
    whole, out = tmp_path / "alone" / "data_set", tmp_path / "damaged" / "data_set"
    finished(alone, whole, ONE_EACH, "alone")
    assert len(list((whole / "data").iterdir())) == DIALOGUES
    done = finished(alone, out, ONE_EACH, "damaged")
    assert done.count("killed") > 2 * DIALOGUES
    assert len(set(done) - {"", "killed"}) >= 5
    assert differences(out, whole) == []
    assert not [path for path in out.rglob("*") if path.is_symlink()]
