"""What holds for each export: it is whole or not there, it continues, and what is missing is said before any work."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from duplexgen.cli import export as command
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.exports.exporters import EXPORTERS, export
from duplexgen.pipeline.exports.moshi import MoshiFinetune
from duplexgen.pipeline.exports.webdataset import WebDataset
from duplexgen.pipeline.kinds import opened
from tests.command import duplexgen
from tests.conftest import MAKES_ROOM
from tests.corpus import tree
from tests.damaging import flip
from tests.exports.conftest import DIALOGUES, Export, Sets

SHARDS = 3
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def own(sets: Sets, tmp_path: Path) -> Path:
    """A copy of a data set, to damage it."""
    return Path(shutil.copytree(sets("bayling").path, tmp_path / "own"))


def test_the_help_lists_all() -> None:
    to = command.__annotations__["to"]
    assert get_args(get_args(to)[0]) == tuple(EXPORTERS)
    assert [line for line in (command.__doc__ or "").splitlines() if line.strip().startswith("| `")] != []
    for name in EXPORTERS:
        assert f"| `{name}` |" in (command.__doc__ or "")


@pytest.mark.parametrize("name", EXPORTERS)
def test_licence_card_and_advice_go_along(exports: Export, sets: Sets, name: str) -> None:
    dataset = sets({"j-moshi": "moshi"}.get(name, "bayling"))
    out = exports(name, dataset.path.name)
    text = (out / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "cc0-1.0" and front["language"] == ["en"]
    assert (out / "dataset_card/README.md").read_bytes() == (dataset.path / "README.md").read_bytes()
    assert (out / "dataset_card/plots/timing.png").read_bytes() == (dataset.path / "plots/timing.png").read_bytes()
    assert "```" in text, "what a user writes next"
    about = json.loads((out / "export.json").read_text())
    assert about["exporter"] == name and about["rows"] == DIALOGUES and about["license"] == "cc0-1.0"
    assert about["manifest_sha256"] == dataset.success.manifest_sha256
    assert not list(out.rglob(".*")), "nothing of the work is left"


def test_the_command(sets: Sets, tmp_path: Path) -> None:
    shutil.copytree(sets("bayling").path, tmp_path / "talk")
    first = duplexgen("export", "talk", "--to", "webdataset", cwd=tmp_path)
    assert first.status == 0 and f"{DIALOGUES} rows for webdataset" in first.said
    whole = tree(tmp_path / "talk.webdataset")
    again = duplexgen("export", "talk", "--to", "webdataset", cwd=tmp_path)
    assert again.status == 0 and "is there already" in again.said and tree(tmp_path / "talk.webdataset") == whole
    other = duplexgen("export", "talk", "--to", "shar", "--out", "talk.webdataset", cwd=tmp_path)
    assert other.status == 2 and "holds something else than this export. It was left as it is" in other.said
    unknown = duplexgen("export", "talk", "--to", "kaldi", cwd=tmp_path)
    assert unknown.status == 2 and "full-duplex-bench" in unknown.said


KILLED_BEFORE_EACH_RENAME = """
import os, random, sys
from pathlib import Path
from tests.damaging import spoil
from duplexgen import cli

damage, arguments = sys.argv[1] == "damage", sys.argv[2:]
sys.argv[1:] = arguments
out = Path(arguments[-1])
rng, replace, killed = random.Random(0), Path.replace, set()

def replace_or_die(self, target):
    if str(target) not in killed:
        os.write(pipe, os.fsencode(target))
        os._exit(9)
    return replace(self, target)

while True:
    read, pipe = os.pipe()
    child = os.fork()
    if child == 0:
        Path.replace = replace_or_die
        cli.main()
        os._exit(0)
    os.close(pipe)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 9:
        sys.exit(status)
    killed.add(os.read(read, 4096).decode())
    os.close(read)
    assert not out.exists()
    (staging,) = (path for path in out.parent.glob(f".{out.name}.*") if path.is_dir())
    print("killed", spoil(staging, rng) if damage else "", flush=True)
"""


@pytest.mark.parametrize(("name", "damage"), [("webdataset", "none"), ("llama-factory", "damage")])
def test_killed_before_each_rename(exports: Export, sets: Sets, tmp_path: Path, name: str, damage: str) -> None:
    """damage: something happens to a file of what was left, each time. It ends in the bytes of one that was not."""
    arguments = ["export", str(sets("bayling").path), "--to", name, "--out", str(tmp_path / "out")]
    program = [sys.executable, "-c", KILLED_BEFORE_EACH_RENAME, damage, *arguments]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)
    assert ended.returncode == 0, ended.stderr
    whole = tree(exports(name, "bayling"))
    assert ended.stdout.count("killed") > len(whole)
    assert tree(tmp_path / "out") == whole
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith("elsewhere-")}  # where `spoil` puts it
    assert left == {"out", ".out.lock"}


def test_only_what_is_not_committed_is_written_again(
    exports: Export, sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = MoshiFinetune.write

    def stopped(self: MoshiFinetune, shard: Any, out: Path) -> Any:
        written.append(shard.number)
        summary = write(self, shard, out)
        if written == [0, 1]:
            raise KeyboardInterrupt
        return summary

    monkeypatch.setattr(MoshiFinetune, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        export(sets("bayling"), "moshi", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    reported: list[int] = []
    assert export(sets("bayling"), "moshi", tmp_path / "out", reported.append).is_new
    assert written == [0, 1, 1, 2]
    assert reported == sorted(reported) and reported[0] == 2 and reported[-1] == DIALOGUES
    assert tree(tmp_path / "out") == tree(exports("moshi", "bayling"))
    assert not export(sets("bayling"), "moshi", tmp_path / "out").is_new


@pytest.mark.parametrize("name", ["moshi", "shar", "trl"])
def test_a_full_disk(exports: Export, sets: Sets, tmp_path: Path, disk: Callable[[str], Path], name: str) -> None:
    whole = tree(exports(name, "bayling"))
    folder = disk(str(sum(map(len, whole.values())) // 2))
    arguments: list[str | Path] = ["export", sets("bayling").path, "--to", name, "--out", folder / "out"]
    full = duplexgen(*arguments, cwd=tmp_path)
    assert full.status == 2 and "the disk is full" in full.said and "run the same command again" in full.said
    assert not (folder / "out").exists()
    subprocess.run([*MAKES_ROOM, str(folder)], check=True)
    assert duplexgen(*arguments, cwd=tmp_path).status == 0
    assert tree(folder / "out") == whole


@pytest.mark.parametrize("name", [name for name in EXPORTERS if name not in ("j-moshi", "croissant")])
def test_files_that_may_not_grow(sets: Sets, tmp_path: Path, name: str) -> None:
    """As under a quota: each write fails where its library writes it, and is no traceback."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    arguments = ["export", sets("bayling").path, "--to", name, "--out", tmp_path / "out"]
    program = [sys.executable, "-m", "duplexgen", *map(str, arguments)]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limited)
    assert ended.returncode == 2, ended.stderr
    assert "could not be written" in ended.stderr and "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("there", ["a file", "a folder", "a data set", "an export of another data set", "a link"])
def test_an_output_that_holds_something_else(sets: Sets, own: Path, tmp_path: Path, there: str) -> None:
    out = tmp_path / "out"
    if there == "a file":
        out.write_text("mine")
    elif there == "a folder":
        (out / "notes").mkdir(parents=True)
    elif there == "a data set":
        out = own
    elif there == "an export of another data set":
        export(sets("natural"), "webdataset", out)
    else:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere/notes").write_text("mine")
        out.symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".out.lock").touch()
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"left as it is|out is no folder"):
        export(sets("bayling"), "webdataset", out)
    assert tree(tmp_path) == before


def test_an_output_inside_the_data_set(own: Path) -> None:
    before = tree(own)
    with pytest.raises(UserError, match=r"is inside the data set .*, which must hold nothing else"):
        export(opened(own), "webdataset", own / "out")
    assert tree(own) == before


def test_a_shard_that_is_damaged(own: Path, tmp_path: Path) -> None:
    """Neither a byte that no reader of Parquet would notice, nor one that each would."""
    shard = own / "data/train-00001-of-00003.parquet"
    flip(shard, shard.stat().st_size // 2, 1)
    for _ in range(2):
        with pytest.raises(UserError, match=r"train-00001-of-00003.parquet is damaged: its sha256 is not the one"):
            export(opened(own), "webdataset", tmp_path / "out")
        assert not (tmp_path / "out").exists()
    (staging,) = (path for path in tmp_path.iterdir() if path.name.startswith(".out.") and path.is_dir())
    assert (staging / "train-000000.tar").exists() and not (staging / "train-000001.tar").exists()
    shard.write_bytes(b"")
    with pytest.raises(UserError, match=r"own is not what was built: .*has 0 bytes, expected"):
        export(opened(own), "webdataset", tmp_path / "out")


def changed(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None]) -> None:
    """Rows are read with a change, as if somebody had written the shards, and the manifest for them."""
    batches = Dataset.batches

    def read(self: Dataset, *args: Any) -> Any:
        for batch in batches(self, *args):
            rows = batch.to_pylist()
            for row in rows:
                change(row)
            yield type(batch).from_pylist(rows, schema=batch.schema)

    monkeypatch.setattr(Dataset, "batches", read)


@pytest.mark.parametrize("name", ["moshi", "shar", "full-duplex-bench"])
def test_a_row_whose_audio_is_damaged(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    changed(monkeypatch, lambda row: row.update({"audio": {"bytes": b"fLaC", "path": None}} if "audio" in row else {}))
    with pytest.raises(UserError, match=r"train-00000-of-00003.parquet: row 0 has damaged audio: it cannot be decoded"):
        export(sets("bayling"), name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_event_behind_the_end_of_the_audio(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda row: row["events"][-1].update(end_sample=10**9))
    with pytest.raises(UserError, match=r"row 0 has an event that is not within its audio. The data set is damaged"):
        export(sets("bayling"), "full-duplex-bench", tmp_path / "out")


def test_a_data_set_of_an_older_format(own: Path, tmp_path: Path) -> None:
    manifest = json.loads((own / "manifest.json").read_text())
    (own / "manifest.json").write_text(json.dumps(manifest | {"format_version": 4}))
    ended = duplexgen("export", own, "--to", "trl", "--out", tmp_path / "out", cwd=tmp_path)
    assert ended.status == 2 and "format version 4" in ended.said and "Build it again" in ended.said
    assert not list(tmp_path.glob("*out*")) and not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    ("name", "of", "says"),
    [
        (
            "moshi",
            "pairs",
            "it is a data set of preferences, and moshi takes dialogues: export the data set of dialogues",
        ),
        ("full-duplex-bench", "pairs", "takes dialogues"),
        ("moshi", "silent", "its rows have no audio: build it again with `output: {audio: flac}`"),
        ("shar", "silent", "its rows have no audio"),
        ("trl", "moshi", "its layout is moshi: build it again with `layout: {name: bayling}`, which reuses the speech"),
        ("llama-factory", "moshi", "its layout is moshi"),
        ("j-moshi", "bayling", "its layout is bayling: build it again with `layout: {name: moshi}`"),
    ],
)
def test_what_a_data_set_cannot_give(sets: Sets, tmp_path: Path, name: str, of: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        export(sets(of), name, tmp_path / "there" / "out")
    assert says in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "of"), [("webdataset", "silent"), ("webdataset", "moshi"), ("croissant", "silent")])
def test_what_needs_nothing_takes_any(exports: Export, name: str, of: str) -> None:
    assert json.loads((exports(name, of) / "export.json").read_text())["rows"] == DIALOGUES


def test_shards_that_write_the_same_file(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: WebDataset, shard: Any, out: Path) -> dict[str, Any]:
        (out / "same").write_text("")
        return {}

    monkeypatch.setattr(WebDataset, "write", write)
    with pytest.raises(UserError, match=r"same was written twice"):
        export(sets("bayling"), "webdataset", tmp_path / "out")
    assert not (tmp_path / "out").exists()
