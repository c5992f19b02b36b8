"""What lies under --work is believed only if it is what was written there: else a message names the file, or the same
bytes come out."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.commands.build import build, prepare
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.pairs.build import build as build_pairs
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.storage.partitions import PartitionFolder
from duplexgen.pipeline.storage.records import read_record, write_record
from tests.corpus import TURNS, recipe_dict, run_stages, tree
from tests.damaging import flip, swap
from tests.pairs.conftest import pairs_recipe

FLIPS = 8  # of each file, of a seed; tests/storage/test_partitions.py has every byte of a record
STAGES = ("plan", "script", "speech", "tracks", "sequences")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Five rows in partitions of two: three dialogues, one that the plan rejects and one that rewriting does."""
    source = tmp_path_factory.mktemp("source") / "talk.jsonl"
    lines = [json.dumps({"id": f"talk/{number}", "data": TURNS[:4]}) for number in range(3)]
    lines[1:1] = ["{", json.dumps({"id": "code", "data": [TURNS[0], "```\nprint(1)\n```"]})]
    source.write_text("".join(line + "\n" for line in lines))
    return Recipe.model_validate(recipe_dict(source))


@pytest.fixture(scope="module")
def whole(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, `out`, and what its stages made, `work`."""
    folder = tmp_path_factory.mktemp("whole")
    run_stages(prepare(recipe, Path("/"), folder / "work", None, Display()))
    build(recipe, Path("/"), folder / "out", folder / "work", None, Display())
    return folder


@pytest.fixture
def work(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole / "work", tmp_path / "work"))


Rebuild = Callable[[], str]


@pytest.fixture
def rebuild(recipe: Recipe, whole: Path, work: Path) -> Rebuild:
    """Build from what lies in `work`: the message it ends with, or "" if the data set is the same, byte for byte."""
    expected = tree(whole / "out")

    def run() -> str:
        out = work.with_name("out")
        try:
            build(recipe, Path("/"), out, work, None, Display())
        except UserError as error:
            assert not out.exists()
            return str(error)
        assert tree(out) == expected
        shutil.rmtree(out)
        return ""

    return run


def folder_of(work: Path, stage: str) -> Path:
    (folder,) = (path for path in work.glob(f"{stage}-*") if path.is_dir())
    return folder


def files(work: Path, pattern: str) -> list[Path]:
    return [path for stage in STAGES for path in sorted(folder_of(work, stage).glob(pattern))]


def test_flipped_byte_of_a_record(work: Path, rebuild: Rebuild) -> None:
    rng = random.Random(0)
    records = files(work, "*.json")
    assert [path.name for path in records].count("plan.json") == 1 and len(records) == 11
    named = 0
    for record in records:
        content = record.read_bytes()
        digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
        for place in rng.sample(range(len(content)), FLIPS) + rng.sample(digits, FLIPS):
            flip(record, place, 1 << rng.randrange(8))
            said = rebuild()
            assert said == "" or f"{record} is damaged" in said, (place, said)
            named += said != ""
            record.write_bytes(content)
    assert named > 9 * 2 * FLIPS * 0.9  # the rest is white space
    assert rebuild() == ""


def test_flipped_byte_of_a_partition(work: Path, rebuild: Rebuild) -> None:
    rng = random.Random(0)
    for file in files(work, "*.parquet"):
        content = file.read_bytes()
        is_read = file.parent.name.startswith("sequences-")
        for _ in range(FLIPS if is_read else 1):
            flip(file, rng.randrange(len(content)), 1 << rng.randrange(8))
            said = rebuild()
            assert (f"{file} is not what was committed" in said) if is_read else (said == "")
            file.write_bytes(content)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("suffixes", [(".json",), (".parquet",), (".json", ".parquet")])
@pytest.mark.parametrize("way", ["swapped", "copied"])
def test_partition_of_another(work: Path, rebuild: Rebuild, stage: str, suffixes: tuple[str, ...], way: str) -> None:
    folder = folder_of(work, stage)
    for suffix in suffixes:
        one, other = (folder / f"part-{number:06d}{suffix}" for number in (0, 1))
        swap(one, other) if way == "swapped" else shutil.copyfile(other, one)
    said = rebuild()
    if ".json" in suffixes:
        assert "part-000000.json is damaged (it is the record of" in said
    else:
        assert f"{folder}/part-00000" in said if stage == "sequences" else said == ""


@pytest.mark.parametrize("suffixes", [(".json",), (".json", ".parquet")])
def test_partition_of_another_stage(work: Path, rebuild: Rebuild, suffixes: tuple[str, ...]) -> None:
    for suffix in suffixes:
        shutil.copyfile(
            folder_of(work, "script") / f"part-000001{suffix}", folder_of(work, "speech") / f"part-000001{suffix}"
        )
    record = folder_of(work, "speech") / "part-000001.json"
    assert f"{record} is damaged (it is the record of script-" in rebuild()


def test_plan_of_another_build(recipe: Recipe, work: Path, rebuild: Rebuild) -> None:
    done = folder_of(work, "plan") / "plan.json"
    prepare(recipe, Path("/"), work.with_name("other"), 1, Display())
    shutil.copyfile(folder_of(work.with_name("other"), "plan") / "plan.json", done)
    assert f"{done} is damaged (it is the record of plan-" in rebuild()


FORGED: list[tuple[str, dict[str, Any], str]] = [
    ("script", {"rows": 3}, "does not add up"),
    ("script", {"outcome": {"planned": 3}}, "is damaged (3 planned are not 1 emitted and 1 rejected)"),
    ("script", {"outcome": {"planned": 5, "emitted": 4}, "rows": 4}, "does not add up"),
    ("script", {"outcome": {"rejections": []}}, "is damaged (2 planned are not 1 emitted and 0 rejected)"),
    ("sequences", {"outcome": {"planned": 0, "emitted": 0}, "rows": 0}, "does not add up"),
    ("plan", {"outcome": {"planned": 2, "rejections": []}}, "says that 5 rows were read, and its partitions"),
    ("sequences", {"bytes": 7}, "is not what was committed"),
    ("sequences", {"sha256": "0" * 64}, "is not what was committed"),
]


@pytest.mark.parametrize(("stage", "changes", "says"), FORGED)
def test_record_that_says_what_is_not_there(
    work: Path, rebuild: Rebuild, stage: str, changes: dict[str, Any], says: str
) -> None:
    record = folder_of(work, stage) / "part-000000.json"
    stored = read_record(record)
    outcome = stored["outcome"] | changes.get("outcome", {})
    write_record(record, stored | changes | {"outcome": outcome})
    said = rebuild()
    assert says in said and str(folder_of(work, stage)) in said and "run the same command again" in said


def test_record_without_a_checksum(work: Path, rebuild: Rebuild) -> None:
    record = folder_of(work, "speech") / "part-000000.json"
    record.write_text(json.dumps(read_record(record)))
    assert f"{record} is damaged (it has no checksum" in rebuild()
    record.write_text("[" * 100_000)
    assert f"{record} is damaged" in rebuild()


NO_RECORDS = ["part-000000 (copy).json", "part-1.json", "part-0000001.json", "part-00000２.json", "part-.json"]


def test_other_names_are_no_records(work: Path, rebuild: Rebuild) -> None:
    for stage in STAGES:
        folder = folder_of(work, stage)
        for name in (*NO_RECORDS, ".part-000002.json", "part-000002.json~", "part-000000.json.bak"):
            shutil.copyfile(folder / "part-000000.json", folder / name)
        (folder / "part-000007.json").symlink_to("nowhere")
        assert PartitionFolder(folder).committed() == {0, 1}
    assert rebuild() == ""


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_damaged_is_said_before_any_work(
    recipe: Recipe, work: Path, rebuild: Rebuild, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duplexgen.pipeline.making.run._run_stages", lambda *_: pytest.fail("something was made"))
    shutil.rmtree(folder_of(work, "sequences" if stage != "sequences" else "speech"))
    record = folder_of(work, stage) / "part-000001.json"
    flip(record, len(record.read_bytes()) // 2, 1)
    assert f"{record} is damaged" in rebuild()


def test_made_again_as_the_message_says(recipe: Recipe, work: Path, rebuild: Rebuild) -> None:
    for record in files(work, "part-*.json"):
        flip(record, record.read_bytes().index(b'"sha256"') + 12, 1)
        assert f"Remove {record} and run the same command again" in rebuild()
        record.unlink()
        run_stages(prepare(recipe, Path("/"), work, None, Display()))
        assert rebuild() == ""


def test_account_is_asked_before_a_data_set_is_finished(
    work: Path, rebuild: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duplexgen.pipeline.making.run._rejections", lambda _: iter(()))
    said = rebuild()
    assert "does not add up, so no data set was made of it" in said and "the rejected table counts 0 of " in said


def deleted(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def linked(file: Path) -> None:
    file.rename(file.parents[2] / "elsewhere")
    file.symlink_to(file.parents[2] / "elsewhere")


@pytest.mark.parametrize("damage", [deleted, cut, linked])
def test_a_finished_data_set_that_lost_something_is_not_done(
    recipe: Recipe, whole: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    out, work = (Path(shutil.copytree(whole / name, tmp_path / name)) for name in ("out", "work"))
    build(recipe, Path("/"), out, work, None, Display())
    for file in ("data/train-00000-of-00001.parquet", "vocabulary/tokenizer.json", "rejected/part-00000.parquet"):
        (tmp_path / "kept").mkdir()
        kept = shutil.copyfile(out / file, tmp_path / "kept" / "file")
        damage(out / file)
        with pytest.raises(
            UserError, match=rf"{out} is this recipe's data set, and is damaged:\n  {file}: .*\n.*Remove"
        ):
            build(recipe, Path("/"), out, work, None, Display())
        (out / file).unlink(missing_ok=True)
        shutil.move(kept, out / file)
        shutil.rmtree(tmp_path / "kept")
    (out / "manifest.json").write_bytes((out / "manifest.json").read_bytes() + b"\n")
    with pytest.raises(UserError, match=r"manifest\.json: is not the one that _SUCCESS was written for"):
        build(recipe, Path("/"), out, work, None, Display())
    shutil.rmtree(out)  # as the message says
    build(recipe, Path("/"), out, work, None, Display())
    assert tree(out) == tree(whole / "out")


def test_all_that_is_finished_is_on_disk(
    recipe: Recipe, whole: Path, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = set()
    fsync = os.fsync

    def note(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)  # which a file keeps when it is renamed
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    build(recipe, Path("/"), tmp_path / "out", work, None, Display())
    build_pairs(pairs_recipe(), tmp_path / "out", tmp_path / "pairs", tmp_path / "work of pairs", Display())
    for folder in (tmp_path / "out", tmp_path / "pairs"):
        assert [path for path in (folder, *folder.rglob("*")) if path.stat().st_ino not in synced] == []
