"""Builds to an object store: the bytes of a build to a folder, whatever kills them; and reading them there."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import duplexgen
from benchmarks.chaos import ROOT
from duplexgen.pipeline.commands.build import Build, build, prepare
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.storage import lease
from duplexgen.pipeline.storage.atomic import canonical_json
from duplexgen.pipeline.storage.objects import ObjectPath
from duplexgen.pipeline.storage.targets import LOCK, UNFINISHED, target_of
from tests.command import Ended
from tests.command import duplexgen as command
from tests.corpus import recipe_dict, run_stages, tree
from tests.objects import Environment, Server, Store, forget_clients, kill, listening, serving

OUT = "sets/interruption"
KILLS, READS = 20, 5  # at least; and at most, while an object is read
SLOWEST_S = 600

DRIVER = """
import os, sys
from pathlib import Path
from benchmarks.replay import register
import matplotlib.figure, s3fs
from duplexgen import cli
from duplexgen.pipeline.commands import build, checking

register()
build.Build.shard_bytes = 1
pid = Path(sys.argv.pop(1))
while True:
    child = os.fork()
    if child == 0:
        pid.write_text(str(os.getpid()))
        cli.main()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != -9:
        sys.exit(status)
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[Store]:
    with serving() as store:
        yield store


@pytest.fixture
def store(bucket: Store) -> Iterator[Store]:
    """Empty again after each test."""
    yield bucket
    forget_clients()  # a test may have changed the environment
    bucket.server.intercept = lambda *_: None
    whole = ObjectPath("bucket", "sets")
    for name in whole.below():
        (whole / name).remove()


class Site:
    """A recipe whose stages are done, so builds need no Ray, and its data set in a folder: a shard per dialogue."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        self.folder, self.work, self.alone = folder, folder / "work", folder / "alone"
        self.recipe_file = folder / "interruption.yaml"
        recipe = recipe_dict(corpus, "interruption", partition_size=1)
        self.recipe_file.write_text(yaml.safe_dump(recipe))
        self.recipe = Recipe.model_validate(recipe)
        run_stages(prepare(self.recipe, folder, self.work, None, Display()))
        build(self.recipe, folder, self.alone, self.work, None, Display())

    def build(self, out: ObjectPath, work: Path | None = None) -> None:
        build(self.recipe, self.folder, out, work or self.work, None, Display(quiet=True))

    def arguments(self, out: ObjectPath) -> list[str]:
        return ["build", str(self.recipe_file), "--out", str(out), "--work", str(self.work)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Build, "shard_bytes", 1)
        yield Site(tmp_path_factory.mktemp("site"), corpus)


@pytest.fixture
def there(site: Site, store: Store) -> ObjectPath:
    """The data set in the store."""
    out = store.at(OUT)
    site.build(out)
    return out


def begun(site: Site, store: Store) -> None:
    """Mark the place as that of a build of the site which has not ended."""
    key = json.loads((site.alone / "manifest.json").read_bytes())["key"]
    store.put(f"{OUT}/{UNFINISHED}", canonical_json({"key": key}).encode())


def failed(ended: Ended, *says: str) -> None:
    assert ended.status == 2, ended.said
    for text in says:
        assert text in ended.said
    assert "Traceback" not in ended.said


def test_objects_are_the_files_of_a_build_to_a_folder(site: Site, store: Store, tmp_path: Path) -> None:
    out = store.at(OUT)
    ended = command(*site.arguments(out), cwd=tmp_path)
    assert ended.status == 0, ended.said
    assert f"duplexgen inspect {out}" in ended.said
    assert store.tree(OUT) == tree(site.alone)
    assert len([name for name in store.tree(OUT) if name.startswith("data/")]) == 7
    (left,) = site.work.glob("store-*/")
    assert [path.name for path in left.iterdir()] == ["owner"]

    asked = len(store.server.asked)
    ended = command(*site.arguments(out), cwd=tmp_path)
    assert "is this recipe's finished data set already" in ended.said
    written = [path for method, path in store.server.asked[asked:] if method not in ("GET", "HEAD")]
    assert all(path.endswith((LOCK, UNFINISHED)) for path in written)
    assert store.tree(OUT) == tree(site.alone)


class Killer:
    """Kills the driver at its first write and removal of each object: when half of it has come, or once it is done.

    Also while it reads some of the objects that those before it have written.
    """

    def __init__(self, store: Store, pid: Path, whole: dict[str, bytes]) -> None:
        self.store, self.pid, self.whole = store, pid, whole
        self.kills: list[tuple[str, str]] = []
        self.halves = 0
        self.wrong: list[str] = []

    def __call__(self, environment: Environment, answer: Callable[[], bytes]) -> bytes | None:
        name = environment["PATH_INFO"].removeprefix(f"/bucket/{OUT}/")
        kind = (environment["REQUEST_METHOD"], name)
        if kind[0] == "HEAD" or name.startswith("/") or kind in self.kills:
            return None
        if kind[0] == "GET" and [method for method, _ in self.kills].count("GET") == READS:
            return None
        self.kills.append(kind)
        said = b""
        if kind[0] == "PUT" and self.halves <= len(self.kills) // 2:
            self.halves += 1
            environment["wsgi.input"].read(int(environment["CONTENT_LENGTH"]) // 2)
        else:
            said = answer()
        kill(int(self.pid.read_text()))
        self.look()
        return said

    def look(self) -> None:
        """Whatever is there is whole, and `_SUCCESS` only if all is there."""
        there = {name: content for name, content in self.store.tree(OUT).items() if name not in (LOCK, UNFINISHED)}
        self.wrong += [name for name, content in there.items() if content != self.whole[name]]
        if "_SUCCESS" in there and there.keys() != self.whole.keys():
            self.wrong.append(f"whole, without {self.whole.keys() - there.keys()}")


def test_killed_at_each_request(site: Site, store: Store, tmp_path: Path) -> None:
    whole, door = tree(site.alone), Server()
    killer = door.intercept = Killer(store, tmp_path / "pid", whole)
    driver = [sys.executable, "-c", DRIVER, str(tmp_path / "pid"), *site.arguments(store.at(OUT))]
    with listening(door) as url:
        environment = os.environ | {"AWS_ENDPOINT_URL": url}
        ended = subprocess.run(
            driver, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=SLOWEST_S
        )
    assert ended.returncode == 0, ended.stderr
    assert killer.wrong == []
    assert len(killer.kills) >= KILLS
    assert min(killer.halves, len(killer.kills) - killer.halves) >= KILLS // 4
    assert {name for method, name in killer.kills if method == "PUT"} == {LOCK, UNFINISHED, *whole}
    assert {name for method, name in killer.kills if method == "DELETE"} == {LOCK, UNFINISHED, "_SUCCESS"}
    assert store.tree(OUT) == whole


def test_continued_from_another_folder(
    site: Site, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine is gone with its stages: the lock, which nobody renews, is taken over, and no object is sent twice."""
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    left = ("data/train-00000-of-00007.parquet", "vocabulary.json")
    for name in left:
        store.put(f"{OUT}/{name}", (site.alone / name).read_bytes())
    begun(site, store)
    store.put(f"{OUT}/{LOCK}", b'{"owner": "a folder that is gone", "host": "gone", "process": 1, "renewed": 7}')
    run_stages(prepare(site.recipe, site.folder, tmp_path / "work", None, Display()))
    asked = len(store.server.asked)
    site.build(store.at(OUT), tmp_path / "work")
    assert store.tree(OUT) == tree(site.alone)
    sent = [path for method, path in store.server.asked[asked:] if method == "PUT"]
    assert not [path for path in sent if path.endswith(left)]


def test_damaged_objects_are_written_again(site: Site, store: Store, there: ObjectPath) -> None:
    """Before `_SUCCESS` is there: of an upload that did not end."""
    whole = store.tree(OUT)
    for name in ("_SUCCESS", "data/train-00003-of-00007.parquet"):
        (there / name).remove()
    shard = "data/train-00002-of-00007.parquet"
    store.put(f"{OUT}/{shard}", whole[shard][:-1] + b"x")
    store.put(f"{OUT}/README.md", b"short")
    begun(site, store)
    site.build(there)
    assert store.tree(OUT) == whole


def test_damage_of_a_whole_data_set_is_reported(site: Site, store: Store, there: ObjectPath, tmp_path: Path) -> None:
    whole = store.tree(OUT)
    shard = "data/train-00002-of-00007.parquet"
    store.put(f"{OUT}/{shard}", whole[shard][:-1] + b"x")
    (there / "README.md").remove()
    store.put(f"{OUT}/notes.txt", b"ours")
    failed(
        command(*site.arguments(there), cwd=tmp_path),
        "is this recipe's data set, and is damaged",
        "README.md: is missing",
    )
    ended = command("verify", str(there), cwd=tmp_path)
    assert ended.status == 1
    for failure in ("README.md: is missing", f"{shard}: its sha256 is not", "notes.txt: is not listed"):
        assert failure in ended.said
    assert store.tree(OUT).keys() == (whole.keys() - {"README.md"}) | {"notes.txt"}


def test_a_second_driver_is_refused(site: Site, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the same folder of stages at once, and over another one as soon as the lock was renewed."""
    monkeypatch.setattr(lease, "RENEWED_S", 0.2)
    monkeypatch.setattr(lease, "POLL_S", 0.05)
    out = store.at(OUT)
    with target_of(out, site.work).held():
        for work in (site.work, tmp_path / "other"):
            ended = command("build", site.recipe_file, "--out", str(out), "--work", work, cwd=tmp_path)
            failed(ended, f"{out} is being written by another build", "Wait until it ends")
        assert f"(process {os.getpid()} on " in ended.said
        assert not list(work.glob("*/part-*"))
    assert store.tree(OUT) == {}


def test_a_store_that_replaces_what_is_there_is_refused(site: Site, store: Store, tmp_path: Path) -> None:
    store.server.intercept = lambda environment, _: environment.pop("HTTP_IF_NONE_MATCH", None) and None
    failed(command(*site.arguments(store.at(OUT)), cwd=tmp_path), "the store replaces an object that is there")
    assert store.tree(OUT) == {}


def test_an_answer_that_is_lost(site: Site, store: Store) -> None:
    """The store has the object, and is asked again to create it."""
    lost: list[str] = []

    def lose(environment: Environment, answer: Callable[[], bytes]) -> None:
        name = environment["PATH_INFO"]
        if environment["REQUEST_METHOD"] == "PUT" and "00002-of-00007" in name and name not in lost:
            lost.append(name)
            answer()
            raise RuntimeError("the server answers with an error in place of it")

    store.server.intercept = lose
    site.build(store.at(OUT))
    assert len(lost) == 1
    assert store.tree(OUT) == tree(site.alone)


def test_a_lock_that_was_taken_over_stops_the_build(site: Site, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_S", 0.05)
    out = store.at(OUT)

    def take(environment: Environment, _: object) -> None:
        if environment["REQUEST_METHOD"] == "PUT" and environment["PATH_INFO"].endswith("00003-of-00007.parquet"):
            store.put(f"{OUT}/{LOCK}", b'{"owner": "another"}')
            time.sleep(1)

    store.server.intercept = take
    with pytest.raises(UserError, match="was taken over by another build"):
        site.build(out)
    assert "_SUCCESS" not in store.tree(OUT)
    assert json.loads(store.tree(OUT)[LOCK]) == {"owner": "another"}


@pytest.mark.parametrize("name", ["notes.txt", "data/other.parquet"])
@pytest.mark.parametrize("is_begun", [False, True], ids=["nothing of ours", "a build of ours that was killed"])
def test_objects_that_are_not_ours(site: Site, store: Store, tmp_path: Path, name: str, is_begun: bool) -> None:
    store.put(f"{OUT}/{name}", b"theirs")
    if is_begun:
        begun(site, store)
    before = store.tree(OUT)
    says = name if is_begun else "is no finished data set"
    failed(command(*site.arguments(store.at(OUT)), cwd=tmp_path), str(store.at(OUT)), says)
    assert store.tree(OUT) == before


def test_data_sets_of_other_recipes(site: Site, store: Store, there: ObjectPath, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    content = yaml.safe_load(site.recipe_file.read_text()) | {"seed": 4}
    other.write_text(yaml.safe_dump(content))
    arguments = ["build", str(other), "--out", str(there), "--work", str(site.work)]
    before = store.tree(OUT)
    failed(command(*arguments, cwd=tmp_path), "belongs to another recipe", "seed (3 there, 4 here)")
    (there / "_SUCCESS").remove()
    store.put(f"{OUT}/{UNFINISHED}", b'{"key": "0123456789abcdef"}')
    failed(command(*arguments, cwd=tmp_path), "has the unfinished build of another recipe")
    assert store.tree(OUT).keys() == (before.keys() | {UNFINISHED}) - {"_SUCCESS"}


@pytest.mark.parametrize("name", ["build", "plan", "doctor"])
def test_stores_that_cannot_be_used(
    site: Site, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refused(out: str, says: str, status: int = 1 if name == "doctor" else 2, **environment: str) -> None:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        forget_clients()
        ended = command(name, str(site.recipe_file), "--out", out, "--work", str(tmp_path / "work"), cwd=tmp_path)
        assert ended.status == status
        assert says in ended.said
        assert "Traceback" not in ended.said
        assert not (tmp_path / "work").exists()

    refused("s3://nowhere/x", "there is no bucket nowhere")
    refused("s3://bucket", "expected a path in the bucket", 2)
    refused("gs://bucket/x", "is an address, not a path of a file system", 2)
    refused("s3://bucket/x", "AWS_ENDPOINT_URL", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    refused("s3://bucket/x", "Set AWS_ACCESS_KEY_ID", AWS_CONFIG_FILE="none", AWS_SHARED_CREDENTIALS_FILE="none")
    assert list(tmp_path.iterdir()) == []


def test_it_is_read_where_it_is(site: Site, store: Store, there: ObjectPath, tmp_path: Path) -> None:
    local, remote = duplexgen.open(site.alone), duplexgen.open(str(there))
    assert len(remote) == len(local) == 7
    assert repr(remote).endswith(f"{there}>")
    for number in (0, 6):
        assert remote[number].events == local[number].events
        assert list(remote[number]["input_ids"]) == list(local[number]["input_ids"])
    assert [row.id for row in remote] == [row.id for row in local]
    assert list(duplexgen.verify(remote, quiet=True)) == []
    ended = command("verify", str(there), cwd=tmp_path)
    assert (ended.status, "every checksum and every invariant holds" in ended.said) == (0, True)
    for dialogue in ([], ["0"]):
        ours, theirs = (command("inspect", place, *dialogue, cwd=tmp_path) for place in (str(there), site.alone))
        assert ours.status == 0
        assert ours.said.replace(str(there), "") == theirs.said.replace(str(site.alone), "")
    (there / "_SUCCESS").remove()
    for arguments in (["verify", str(there.parent)], ["verify", str(there)], ["inspect", str(there), "0"]):
        failed(command(*arguments, cwd=tmp_path), "is no finished data set")
    with pytest.raises(UserError, match="_SUCCESS is missing"):
        duplexgen.open(str(there))


def test_it_is_trained_on_where_it_is(site: Site, there: ObjectPath, tmp_path: Path) -> None:
    import torch

    from duplexgen.training.objectives.sft import train_sft
    from tests.training.objectives.test_sft import sft_recipe

    ours, theirs = (duplexgen.open(str(place)).torch() for place in (there, site.alone))
    assert [ours[row]["input_ids"].tolist() for row in range(7)] == [
        theirs[row]["input_ids"].tolist() for row in range(7)
    ]
    for place, name in ((there, "remote"), (site.alone, "local")):
        train_sft(sft_recipe(place, steps=1), tmp_path / name, Display(quiet=True))
    torch.use_deterministic_algorithms(False)
    weights = [sorted((tmp_path / name).glob("*.safetensors")) for name in ("remote", "local")]
    assert weights[0]
    assert [file.read_bytes() for file in weights[0]] == [file.read_bytes() for file in weights[1]]


def test_what_cannot_read_or_write_there_says_so(site: Site, there: ObjectPath, tmp_path: Path) -> None:
    asks = "is an address, not a path of a file system"
    dataset = duplexgen.open(str(there))
    with pytest.raises(UserError, match=asks):
        duplexgen.export(dataset, to="trl")
    with pytest.raises(UserError, match=asks):
        duplexgen.export(site.alone, to="trl", out="s3://bucket/x")
    with pytest.raises(UserError, match=asks):
        duplexgen.dpo_pairs(dataset)
    for arguments in (["view", str(there)], ["export", str(there), "--to", "trl"], ["dpo-pairs", str(there)]):
        failed(command(*arguments, cwd=tmp_path), asks)
    failed(command("view", site.alone, "0", "--export", "s3://bucket/page.html", cwd=tmp_path), asks)
    failed(command("export", site.alone, "--to", "trl", "--out", "s3://bucket/x", cwd=tmp_path), asks)
    assert list(tmp_path.iterdir()) == []
