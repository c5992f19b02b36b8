"""What is damaged, deleted or full: a message and exit status 2, and the same command makes it whole."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.command import Ended, duplexgen
from tests.conftest import MAKES_ROOM
from tests.corpus import recipe_dict, tree

ROOT = Path(__file__).resolve().parent.parent
NOBODY = 65534


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A folder with two recipes, and an undisturbed build of the first in `whole`."""
    folder = tmp_path_factory.mktemp("site")
    for scenario in ("turn_taking", "interruption"):
        (folder / f"{scenario}.yaml").write_text(yaml.safe_dump(recipe_dict(corpus, scenario)))
    return folder


@pytest.fixture(scope="module")
def whole(site: Path, ray_session: None) -> Path:
    ended = duplexgen("build", "turn_taking.yaml", "--out", "whole", "--work", "work", cwd=site)
    assert ended.status == 0, ended.said
    return site / "whole"


@pytest.fixture
def work(site: Path, whole: Path, tmp_path: Path) -> Path:
    """A copy of everything that the undisturbed build committed."""
    return Path(shutil.copytree(site / "work", tmp_path / "work"))


@pytest.fixture
def build(site: Path) -> Callable[..., Ended]:
    return lambda out, work, recipe="turn_taking.yaml": duplexgen(
        "build", site / recipe, "--out", out, "--work", work, cwd=site
    )


Build = Callable[..., Ended]


def refused(ended: Ended, *says: str) -> None:
    assert ended.status == 2, ended.said
    assert "Traceback" not in ended.said
    for words in says:
        assert words in ended.said


def part(work: Path, stage: str, suffix: str) -> Path:
    (folder,) = (path for path in work.glob(f"{stage}-*") if path.is_dir())
    return folder / f"part-000001{suffix}"


@pytest.mark.parametrize("stage", ["plan", "speech", "tracks", "sequences"])
def test_damaged_partition_is_named_and_made_again(
    build: Build, whole: Path, work: Path, tmp_path: Path, stage: str
) -> None:
    stages = ["script", "speech", "tracks", "sequences"]
    for later in stages[stages.index(stage) + 1 :] if stage in stages else stages:
        shutil.rmtree(part(work, later, "").parent)
    file, record = part(work, stage, ".parquet"), part(work, stage, ".json")
    file.write_bytes(file.read_bytes()[:-50])
    refused(build(tmp_path / "out", work), f"{file} is not what was committed", f"Remove {record} and run the same")
    assert not (tmp_path / "out").exists()
    record.unlink()
    assert build(tmp_path / "out", work).status == 0
    assert tree(tmp_path / "out") == tree(whole)


@pytest.mark.parametrize("stage", ["script", "tracks", "sequences"])
def test_damaged_record_is_named_and_made_again(
    build: Build, whole: Path, work: Path, tmp_path: Path, stage: str
) -> None:
    record = part(work, stage, ".json")
    record.write_bytes(record.read_bytes()[:40])
    refused(build(tmp_path / "out", work), f"{record} is damaged", f"Remove {record} and run the same")
    record.unlink()
    assert build(tmp_path / "out", work).status == 0
    assert tree(tmp_path / "out") == tree(whole)


@pytest.mark.parametrize("lost", ["plan-*/plan.json", "plan-*", "script-*", "*"])
def test_what_was_deleted_is_made_again(build: Build, whole: Path, work: Path, tmp_path: Path, lost: str) -> None:
    for path in list(work.glob(lost)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert build(tmp_path / "out", work).status == 0
    assert tree(tmp_path / "out") == tree(whole)


@pytest.mark.parametrize("size", ["4k", "256k"])
def test_full_work_disk(build: Build, whole: Path, disk: Callable[[str], Path], tmp_path: Path, size: str) -> None:
    work = disk(size) / "work"
    refused(build(tmp_path / "out", work), "disk is full", "make room and run the same command again")
    assert not (tmp_path / "out").exists()
    committed = {path: path.read_bytes() for path in work.rglob("part-*.json")}
    subprocess.run([*MAKES_ROOM, str(work.parent)], check=True)
    assert build(tmp_path / "out", work).status == 0
    assert {path: path.read_bytes() for path in committed} == committed
    assert tree(tmp_path / "out") == tree(whole)


@pytest.mark.parametrize("room", ["for nothing", "for half a shard", "for the shard, not the vocabulary"])
def test_full_disk_of_the_data_set(
    build: Build, whole: Path, work: Path, disk: Callable[[str], Path], room: str
) -> None:
    shard = (whole / "data" / "train-00000-of-00001.parquet").stat().st_size
    sizes = {"for nothing": 4096, "for half a shard": shard // 2}
    out = disk(str(sizes.get(room, shard + 100_000))) / "data_set"
    refused(build(out, work), "disk is full", "make room and run the same command again")
    assert not out.exists()
    subprocess.run([*MAKES_ROOM, str(out.parent)], check=True)
    assert build(out, work).status == 0
    assert tree(out) == tree(whole)


def test_data_set_on_a_mount_point(build: Build, work: Path, disk: Callable[[str], Path]) -> None:
    refused(build(disk("4m"), work), "is a mount point", "Name a folder inside it")
