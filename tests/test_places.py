"""Sources and folders that cannot be used, or that another build uses: a message, exit status 2, and no harm."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.chaos import Site, differences
from duplexgen.pipeline.dataset.finish import Shard, record_name
from duplexgen.pipeline.storage import places
from duplexgen.pipeline.storage.atomic import locked
from duplexgen.pipeline.storage.partitions import PartitionFolder
from duplexgen.pipeline.storage.places import check_places, is_inside
from duplexgen.pipeline.storage.records import write_record
from tests.command import Ended, duplexgen
from tests.corpus import recipe_dict, tree

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "benchmarks.replayed"]


def refused(ended: Ended, *says: str) -> None:
    assert ended.status == 2, ended.said
    assert "Traceback" not in ended.said
    for words in says:
        assert words in ended.said


@pytest.fixture
def site(tmp_path: Path, corpus: Path) -> Path:
    """A folder with a source and two recipes over it."""
    shutil.copy(corpus, tmp_path / "talk.jsonl")
    for scenario in ("turn_taking", "interruption"):
        write_recipe(tmp_path / f"{scenario}.yaml", scenario)
    return tmp_path


def write_recipe(path: Path, scenario: str, source: str = "talk.jsonl", **changes: Any) -> None:
    recipe = recipe_dict(Path(source), scenario, **changes)
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")


def build(site: Path, *options: str | Path) -> Ended:
    return duplexgen("build", "turn_taking.yaml", *options, cwd=site)


def test_missing_source(site: Path) -> None:
    (site / "talk.jsonl").unlink()
    refused(build(site), "sources[0].path: no such file or folder", "nothing was done")
    assert sorted(path.name for path in site.iterdir()) == ["interruption.yaml", "turn_taking.yaml"]


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
@pytest.mark.parametrize("command", ["build", "plan"])
def test_source_without_a_dialogue(site: Path, command: str, content: str) -> None:
    (site / "talk.jsonl").write_text(content)
    refused(duplexgen(command, "turn_taking.yaml", cwd=site), "there is no dialogue in talk (talk.jsonl)")
    assert not (site / "out" / "turn_taking").exists()


def test_names_of_files_that_are_no_text(site: Path) -> None:
    folder = site / "talk"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.jsonl")).write_bytes(b'{"id": "a", "data": ["Is it?", "It is."]}\n{\n')
    (folder / "good.jsonl").write_bytes((site / "talk.jsonl").read_bytes())
    write_recipe(site / "turn_taking.yaml", "turn_taking", "talk")
    ended = duplexgen("plan", "turn_taking.yaml", cwd=site)
    assert ended.status == 0, ended.said
    assert "8 (1 rows of the sources rejected: broken_json 1)" in ended.said


def unprivileged(*arguments: str | Path, cwd: Path) -> Ended:
    """Run the command as somebody whom the permissions of files concern: root is not, unless it gives that up."""
    rights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    if os.geteuid() == 0 and not shutil.which(rights[0]):
        pytest.skip("root may read and write everything, and setpriv, which could change that, is not installed")
    return alone([*(rights if os.geteuid() == 0 else []), *COMMAND, *map(str, arguments)], cwd)


def alone(command: list[str], cwd: Path, **environment: str) -> Ended:
    """Run a command in a process of its own."""
    given = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    ended = subprocess.run(command, env=given, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    return Ended(ended.returncode, ended.stdout + ended.stderr)


def test_source_that_may_not_be_read(site: Path) -> None:
    (site / "talk.jsonl").chmod(0)
    refused(unprivileged("plan", "turn_taking.yaml", cwd=site), "source talk: cannot read", "Permission denied")


@pytest.mark.parametrize("option", ["--out", "--work"])
def test_folder_that_may_not_be_written(site: Path, option: str) -> None:
    (site / "locked").mkdir(mode=0o555)
    other = "--work" if option == "--out" else "--out"
    ended = unprivileged("build", "turn_taking.yaml", option, "locked/x", other, "free/x", cwd=site)
    refused(ended, str(site / "locked"), "may not be written (Permission denied). Choose another folder")
    assert list((site / "locked").iterdir()) == []


@pytest.mark.parametrize("option", ["--out", "--work"])
@pytest.mark.parametrize("where", ["file", "file/inside"])
def test_file_where_a_folder_is_expected(site: Path, option: str, where: str) -> None:
    (site / "file").write_text("mine")
    other = "--work" if option == "--out" else "--out"
    for command in ("build", "plan"):
        ended = duplexgen(command, "turn_taking.yaml", option, where, other, "free", cwd=site)
        refused(ended, f"{site / 'file'} is no folder, and a build would make {site / where}")
    ended = duplexgen("doctor", "turn_taking.yaml", option, where, other, "free", cwd=site)
    assert ended.status == 1 and "is no folder" in ended.said
    assert (site / "file").read_text() == "mine"
    assert not (site / "free").exists()


def test_link_that_leads_nowhere(site: Path) -> None:
    (site / "link").symlink_to("nowhere")
    refused(build(site, "--work", "link/x"), f"{site / 'link'} is a link that leads to no folder")


def test_doctor_says_that_a_folder_may_not_be_written(site: Path) -> None:
    (site / "locked").mkdir(mode=0o555)
    ended = unprivileged("doctor", "turn_taking.yaml", "--out", "locked/x/y", "--work", "w", cwd=site)
    assert ended.status == 1
    assert f"{site / 'locked'} is not writable" in ended.said


@pytest.mark.usefixtures("ray_session")
def test_folders_are_made_and_relative_ones_are_where_the_command_was_called(site: Path) -> None:
    (site / "link").symlink_to("elsewhere/deep")
    ended = build(site, "--out", "link", "--work", "scratch/work")
    assert ended.status == 0, ended.said
    assert (site / "elsewhere" / "deep" / "_SUCCESS").exists()
    assert (site / "link").is_symlink()
    assert list((site / "scratch" / "work").glob("sequences-*/part-000000.parquet"))
    assert duplexgen("verify", "link", cwd=site).status == 0
    again = build(site, "--out", "a/b/c", "--work", "scratch/work")
    assert again.status == 0, again.said
    assert tree(site / "a" / "b" / "c") == tree(site / "elsewhere" / "deep")


INSIDE = [
    ("same", "same"),
    ("a", "a/b/work"),
    ("w/x/out", "w"),
    ("x/../a", "a/w"),
    ("deep/a", "link/a/w"),
    ("link/a", "deep"),
    ("dangling", "elsewhere/w"),
    ("New", "new/work"),
    ("n\u00fc", "nu\u0308/work"),
    (".", "w"),
]


@pytest.mark.parametrize("command", ["build", "plan", "doctor"])
@pytest.mark.parametrize(("out", "work"), INSIDE)
def test_folders_inside_each_other(site: Path, command: str, out: str, work: str) -> None:
    (site / "deep").mkdir()
    (site / "link").symlink_to("deep")
    (site / "dangling").symlink_to("elsewhere")
    before = sorted(site.rglob("*"))
    ended = duplexgen(command, "turn_taking.yaml", "--out", out, "--work", work, cwd=site)
    assert ended.status == (1 if command == "doctor" else 2), ended.said
    assert ", is inside " in ended.said and "Choose another folder with" in ended.said
    assert sorted(site.rglob("*")) == before


def test_work_where_the_data_set_goes_unless_said(site: Path) -> None:
    refused(build(site, "--out", "a/.work"), " is inside ")
    assert not (site / "a").exists()


def test_folders_beside_each_other(tmp_path: Path) -> None:
    (tmp_path / "Data").mkdir()
    for out, work in [("a", "ab"), ("a/b", "a/c"), ("a/b", "a/b.work"), ("..a", "..a.work"), ("Data", "data/work")]:
        is_one = (tmp_path / "data").exists()  # where case makes no difference
        assert is_inside(tmp_path / work, tmp_path / out) == (is_one and out == "Data")
        assert not is_inside(tmp_path / out, tmp_path / work)


def test_folders_inside_each_other_by_a_mount(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    command = ["mount", "--bind", str(tmp_path / "here"), str(tmp_path / "there")]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert is_inside(tmp_path / "there" / "a" / "work", tmp_path / "here" / "a")
        assert not is_inside(tmp_path / "there" / "b" / "work", tmp_path / "here" / "a")
    finally:
        subprocess.run(["umount", str(tmp_path / "there")], check=True)


LONGEST = 255 - len(places.STAGING.format(""))


@pytest.mark.parametrize("letter", ["n", "\u56fe"])
@pytest.mark.parametrize("command", ["build", "plan", "doctor"])
def test_names_that_are_too_long(site: Path, command: str, letter: str) -> None:
    before = sorted(site.rglob("*"))
    name = letter * (LONGEST // len(letter.encode()) + 1)
    for out, work in [
        (name, "w"),
        (f"{'x' * 256}/a", "w"),
        ("a", "y" * 256),
        ("a", "deep/" * 800 + "w"),
        ("a", f"{'y' * 200}/" * 20),
    ]:
        ended = duplexgen(command, "turn_taking.yaml", "--out", out, "--work", work, cwd=site)
        assert ended.status in ((1, 2) if command == "doctor" else (2,)), ended.said
        assert "Choose a shorter one" in ended.said
        assert sorted(site.rglob("*")) == before


def test_name_of_a_recipe_that_is_too_long(site: Path) -> None:
    write_recipe(site / "turn_taking.yaml", "turn_taking", name="n" * 300)
    before = sorted(site.rglob("*"))
    refused(build(site))
    assert sorted(site.rglob("*")) == before


@pytest.mark.parametrize("letter", ["n", "\u56fe"])
def test_longest_names_can_be_made(tmp_path: Path, letter: str) -> None:
    out = tmp_path / (letter * (LONGEST // len(letter.encode())))
    check_places(out, tmp_path / "work")
    staging = out.with_name(places.STAGING.format(out.name))
    shard = Shard(99_999, 99_999, (), "")
    write_record(staging / record_name(shard.file), {})
    with locked(out.with_name(f".{out.name}.lock"), "held"):
        staging.rename(out)
    made = f"{record_name(shard.file).replace('/', '/.')}.{places.UUID}.tmp"
    assert len(made) <= len(places.BELOW_STAGING)
    stage = PartitionFolder(Path(f"preferences-{places.KEY}"))
    assert len(f"{stage.path}/.{stage.file(0).name}.{places.UUID}.tmp") <= len(places.BELOW_WORK)


@pytest.mark.parametrize("place", ["loop/a", "~nobody-of-this-name/a"])
@pytest.mark.parametrize("option", ["--out", "--work"])
def test_paths_that_lead_nowhere(site: Path, option: str, place: str) -> None:
    (site / "loop").symlink_to("loop")
    refused(build(site, option, place), "cannot be followed" if "loop" in place else "is not a path here")


def test_lock_that_may_not_be_written(site: Path) -> None:
    path = site / ".data_set.lock"
    path.touch(mode=0o444)
    ended = unprivileged("build", "turn_taking.yaml", "--out", "data_set", cwd=site)
    refused(ended, f"{path}: may not be written (Permission denied)")


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:port"])
def test_cluster_that_does_not_answer(site: Path, address: str) -> None:
    ended = alone([*COMMAND, "build", "turn_taking.yaml"], site, RAY_ADDRESS=address)
    refused(ended, f"no Ray cluster can be used at RAY_ADDRESS={address}")


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.usefixtures("ray_session")
def test_two_builds_at_once(site: Path) -> None:
    first = Site(site / "turn_taking.yaml", site / "first")
    running = first.start()
    work = first.folder / "work"
    try:
        until(lambda: any(work.glob("sequences-*.lock")))
        refused(
            build(site, "--out", first.out, "--work", work),
            f"{first.out} is being written by another build. Wait until it ends; nothing was changed.",
        )
        refused(
            duplexgen("build", "interruption.yaml", "--out", "second", "--work", work, cwd=site),
            "is being filled by another build over the same dialogues. Wait until it ends",
        )
        assert not (site / "second").exists()
        assert running.poll() is None, "the first build ended too soon for this test to mean anything"
        assert running.wait(timeout=300) == 0, (first.folder / "log").read_text()
    finally:
        running.kill()
    alone = build(site, "--out", "alone", "--work", "alone-work")
    assert alone.status == 0, alone.said
    assert differences(first.out, site / "alone") == []
    later = duplexgen("build", "interruption.yaml", "--out", "second", "--work", work, cwd=site)
    assert later.status == 0, later.said
