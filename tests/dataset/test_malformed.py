"""Malformed data sets: every change that the rest of the data set contradicts is found, and told in words."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.commands.build import Build, build, prepare
from duplexgen.pipeline.commands.report import describe_dataset, describe_dialogue
from duplexgen.pipeline.dataset.dialogues import DIALOGUES
from duplexgen.pipeline.dataset.kind import contradictions
from duplexgen.pipeline.dataset.manifest import VOCABULARY, Manifest
from duplexgen.pipeline.dataset.reader import MANIFEST, SUCCESS, Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dataset.statistics import Statistics
from duplexgen.pipeline.dataset.verify import check_statistics
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import KINDS, check_whole, opened, verify
from duplexgen.pipeline.making.run import make
from duplexgen.pipeline.pairs.build import build as build_pairs
from duplexgen.pipeline.pairs.kind import PREFERENCES
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.storage.atomic import file_sha256
from tests.command import duplexgen
from tests.corpus import recipe_dict, run_stages
from tests.dataset.mutations import Place, changed, places, variants
from tests.pairs.conftest import pairs_recipe

SHARD = "data/train-00000-of-00001.parquet"
UNKNOWN = {
    ("recipe", "max_rejected_share"): "it shapes nothing, and another value allows as many rejections",
    ("recipe", "sources", 0, "path"): "it says where the text was, and not what it was",
    ("source", "recipe", "sources", 0, "path"): "the same of the data set that pairs were made from",
    ("software",): "packages that no stage names leave no other trace",
    ("ledger", "notes"): "a change that rejects no dialogue has no row",
}
"""Values that nothing else in a data set contradicts, and why."""


@dataclass(frozen=True)
class Site:
    """A data set of each kind, without audio, and the build of the dialogues."""

    folders: dict[str, Path]
    build: Build

    def whole(self, kind: str) -> Path:
        return self.folders[kind]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Site:
    folder = tmp_path_factory.mktemp("site")
    recipe = Recipe.model_validate(recipe_dict(corpus, output={"audio": "none"}))
    planned_build = prepare(recipe, Path("/"), folder / "work", 3, Display())
    run_stages(planned_build)
    build(recipe, Path("/"), folder / DIALOGUES, folder / "work", 3, Display())
    build_pairs(pairs_recipe(), folder / DIALOGUES, folder / PREFERENCES, folder / "work", Display())
    return Site({kind: folder / kind for kind in KINDS}, planned_build)


@pytest.fixture(params=[*KINDS])
def dataset(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Path:
    return Path(shutil.copytree(site.whole(request.param), tmp_path / "data_set"))


def put(dataset: Path, manifest: Any) -> None:
    (dataset / MANIFEST).write_text(json.dumps(manifest))
    (dataset / SUCCESS).write_text(json.dumps({"manifest_sha256": file_sha256(dataset / MANIFEST)}))


def put_file(dataset: Path, name: str, content: bytes, **about: Any) -> None:
    """Write a file, and make its checksum fit."""
    (dataset / name).write_bytes(content)
    manifest = json.loads((dataset / MANIFEST).read_bytes())
    (file,) = (file for file in manifest["files"] if file["path"] == name)
    file |= {"bytes": len(content), "sha256": file_sha256(dataset / name), **about}
    put(dataset, manifest)


def first_problem(problems: Callable[[], object]) -> list[str]:
    """The first problem, in words, if there is one. Any error but UserError fails the test."""
    try:
        messages = problems()
        return [str(one) for one in islice(messages, 1)] if isinstance(messages, Iterator) else []
    except UserError as error:
        return [str(error)]


def verified(dataset: Path) -> list[str]:
    """The first problem that `verify` finds."""
    return first_problem(lambda: iter(check_whole(Dataset(dataset)))) or first_problem(
        lambda: verify(dataset, lambda _: None)
    )


def is_unknown(place: Place) -> bool:
    ledger = (place[0], *place[2:3])
    return any(place[: len(known)] == known or ledger == known for known in UNKNOWN)


def parsed(dataset: Path) -> Manifest | None:
    try:
        return opened(dataset).manifest
    except UserError:
        return None


EVERY = {"files": 1, "ledger": 2, "recipe": 2, "rest": 1, "stages": 5, "statistics": 5}
"""Where many places are alike, each is tried with another share of the variants."""


@pytest.mark.parametrize("part", EVERY)
def test_every_change_of_the_manifest_is_found(site: Site, dataset: Path, part: str) -> None:
    whole = json.loads((dataset / MANIFEST).read_bytes())
    original = Dataset(dataset).manifest
    measured = Statistics.stored({name: tally.model_dump() for name, tally in original.statistics.items()})
    parts = ("files", "ledger", "recipe", "stages", "statistics")
    passed = []
    mine = (place for place in places(whole) if (place[0] if place[0] in parts else "rest") == part)
    for number, place in enumerate(mine):
        for new in [*variants(whole, place)][number % EVERY[part] :: EVERY[part]]:
            put(dataset, changed(whole, place, new))
            if (manifest := parsed(dataset)) is None:
                continue  # every command reads it there
            if part != "stages":  # which no report shows
                first_problem(lambda: describe_dataset(Dataset(dataset)))
            if part != "stages" and original.kind == DIALOGUES:
                first_problem(lambda: make(lambda: site.build, dataset, site.build.work, Display()))
            if is_unknown(place) or alike(manifest, original):
                continue
            read = opened(dataset)
            messages = [*contradictions(read, KINDS[original.kind]), *check_statistics(read, measured)]
            if not messages and not first_problem(lambda: iter(check_whole(Dataset(dataset)))):
                passed.append((place, new))
    assert passed == []


def alike(manifest: Manifest, original: Manifest) -> bool:
    """Whether two manifests say the same: files may be in another order, and a key at its default may be left out."""

    def content(of: Manifest) -> dict[str, Any]:
        recipe = KINDS[original.kind].recipe.model_validate(of.recipe)
        return of.model_dump() | {"recipe": recipe, "files": sorted(file.path for file in of.files)}

    return content(manifest) == content(original) and {*manifest.files} == {*original.files}


def test_what_cannot_be_known_is_not_more_than_that(dataset: Path) -> None:
    """A change of what is exempt above is not found: otherwise it need not be exempt."""
    whole = json.loads((dataset / MANIFEST).read_bytes())
    put(dataset, changed(whole, ("software", "python"), "2.7"))
    assert verified(dataset) == []


def test_every_change_of_vocabulary_json_is_found(dataset: Path) -> None:
    whole, original = json.loads((dataset / VOCABULARY).read_bytes()), Dataset(dataset).described
    passed = []
    for place in places(whole):
        for new in variants(whole, place):
            put_file(dataset, VOCABULARY, json.dumps(changed(whole, place, new)).encode())
            first_problem(lambda: describe_dialogue(Dataset(dataset), "0"))
            if not verified(dataset) and Dataset(dataset).described != original:
                passed.append((place, new))
    assert passed == []


JSON = {
    "twice": b'{"format_version": 2, "format_version": 2}',
    "nan": b'{"format_version": NaN}',
    "infinite": b'{"format_version": 2, "kind": "dialogues", "limit": 1e999}',
    "deep": b"[" * 1_000_000,
    "deep objects": b'{"a":' * 100_000,
    "no utf-8": b'{"format_version": "\xff"}',
    "marked": b"\xef\xbb\xbf{}",
    "half a character": b'{"format_version": "\\ud800"}',
    "half a key": b'{"\\udc00": 1}',
    "many digits": b'{"format_version": ' + b"9" * 100_000 + b"}",
    "list": b"[]",
    "number": b"1",
    "nothing": b"",
    "zeros": b"\0" * 1000,
}


@pytest.mark.parametrize("file", [MANIFEST, SUCCESS, VOCABULARY])
@pytest.mark.parametrize("content", JSON.values(), ids=JSON)
def test_json_that_is_none(site: Site, dataset: Path, file: str, content: bytes) -> None:
    if file == VOCABULARY:
        put_file(dataset, file, content)
    else:
        (dataset / file).write_bytes(content)
    if file == MANIFEST:
        (dataset / SUCCESS).write_text(json.dumps({"manifest_sha256": file_sha256(dataset / MANIFEST)}))
    (message,) = verified(dataset)
    assert file in message
    assert file == SUCCESS or first_problem(lambda: describe_dialogue(Dataset(dataset), "0"))
    if file == MANIFEST:
        (message,) = first_problem(lambda: make(lambda: site.build, dataset, site.build.work, Display()))
        assert message.endswith("was left as it is. Choose another folder with --out, or remove it.")


@pytest.mark.parametrize("file", [MANIFEST, SUCCESS, VOCABULARY, "README.md", SHARD, "vocabulary/tokenizer.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "gigabyte"])
def test_what_is_no_plain_file(dataset: Path, tmp_path: Path, file: str, kind: str) -> None:
    path, elsewhere = dataset / file, tmp_path / "elsewhere"
    path.rename(elsewhere)
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.touch()
        os.truncate(path, 2**30)
    (message,) = verified(dataset)
    assert Path(file).name in message
    if file not in ("README.md", SUCCESS):  # which nothing else reads
        (message,) = first_problem(lambda: describe_dialogue(Dataset(dataset), "0"))
        assert Path(file).name in message


@pytest.mark.parametrize("folder", ["data", "rejected", "vocabulary", "plots"])
def test_folders_that_are_links(dataset: Path, tmp_path: Path, folder: str) -> None:
    (dataset / folder).rename(tmp_path / "elsewhere")
    (dataset / folder).symlink_to(tmp_path / "elsewhere")
    (message,) = verified(dataset)
    assert message.startswith(f"{folder}/")
    assert message.endswith("is a link or lies behind one, and a data set has none")


def test_a_link_beside_the_files_is_not_listed(dataset: Path, tmp_path: Path) -> None:
    (dataset / "more").symlink_to(tmp_path)
    os.mkfifo(dataset / "data" / "pipe")
    assert check_whole(Dataset(dataset)) == [f"{name}: is not listed in {MANIFEST}" for name in ("data/pipe", "more")]


def test_names_that_no_terminal_should_see(dataset: Path) -> None:
    for name in (b"\x1b[31m.txt", b"\xff.txt", "\u202egpj.exe".encode()):
        (dataset / os.fsdecode(name)).touch()
    messages = check_whole(Dataset(dataset))
    assert len(messages) == 3
    assert all(message.isprintable() for message in messages)


def test_folder_that_a_link_leads_to(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(dataset)
    assert verified(tmp_path / "link") == []


def test_data_set_of_another_version(site: Site, dataset: Path) -> None:
    whole = json.loads((dataset / MANIFEST).read_bytes())
    put(dataset, changed(whole, ("format_version",), 1))
    for command in (
        lambda: verify(dataset, lambda _: None),
        lambda: make(lambda: site.build, dataset, site.build.work, Display()),
    ):
        (message,) = first_problem(command)
        assert "was built by another version of duplexgen" in message
        assert "Build it again." in message


def test_the_words_name_the_place_and_print_nothing_raw(dataset: Path) -> None:
    whole = json.loads((dataset / MANIFEST).read_bytes())
    whole["software"]["\x1b[31m"] = "\x1b]0;owned\x07" * 100
    whole["ledger"][0]["planned"] = -1
    put(dataset, whole)
    messages = list(verify(dataset, lambda _: None))
    assert f"{MANIFEST}: ledger[0].planned: Input should be greater than or equal to 0, got -1" in messages
    assert all(message.isprintable() and len(message) < 300 for message in messages)


MALFORMED: dict[str, tuple[Place, Any]] = {
    "no files": (("files",), []),
    "a path out of it": (("files", 0, "path"), "../../etc/passwd"),
    "no recipe": (("recipe",), None),
    "a negative count": (("ledger", 0, "planned"), -3),
    "deep statistics": (("statistics", "turns"), [[[[]]]]),
    "another version": (("format_version",), "\x1b[2J"),
}


@pytest.mark.parametrize(("place", "new"), MALFORMED.values(), ids=MALFORMED)
def test_commands(site: Site, corpus: Path, tmp_path: Path, place: Place, new: Any) -> None:
    dataset = Path(shutil.copytree(site.whole(DIALOGUES), tmp_path / "data_set"))
    put(dataset, changed(json.loads((dataset / MANIFEST).read_bytes()), place, new))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(recipe_dict(corpus, output={"audio": "none"})))
    verified = duplexgen("verify", "data_set", cwd=tmp_path)
    others = [
        duplexgen("inspect", "data_set", cwd=tmp_path),
        duplexgen("inspect", "data_set", "0", cwd=tmp_path),
        duplexgen("dpo-pairs", "data_set", cwd=tmp_path),
        duplexgen("build", recipe, "--out", "data_set", "--work", "work", "--limit", "3", cwd=tmp_path),
    ]
    assert verified.status == (2 if place == ("format_version",) else 1)
    assert [other.status for other in others] == [2] * len(others)
    assert all("manifest.json" in ended.said and "Traceback" not in ended.said for ended in (verified, *others))
    assert all("\x1b" not in ended.said for ended in (verified, *others))
