"""What of a stranger's vocabulary is taken over."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from duplexgen.pipeline.dataset.vocabulary import VOCABULARY_FILES, read_vocabulary
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import verify
from tests.dataset.test_verify import seal
from tests.pairs.test_build import make

SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----"


def link(name: str) -> Callable[[Path, Path], None]:
    """A link to a person's file in place of a file of the data set, or beside it."""

    def spoil(data_set: Path, secret: Path) -> None:
        (data_set / name).unlink(missing_ok=True)
        (data_set / name).symlink_to(secret)

    return spoil


def added(name: str) -> Callable[[Path, Path], None]:
    def spoil(data_set: Path, secret: Path) -> None:
        (data_set / name).parent.mkdir(exist_ok=True)
        (data_set / name).write_bytes(SECRET)

    return spoil


def linked_folder(data_set: Path, secret: Path) -> None:
    shutil.move(data_set / "vocabulary", secret.parent / "elsewhere")
    (data_set / "vocabulary").symlink_to(secret.parent / "elsewhere")


def pipe(data_set: Path, secret: Path) -> None:
    (data_set / "vocabulary/tokenizer.json").unlink()
    os.mkfifo(data_set / "vocabulary/tokenizer.json")


def nothing(data_set: Path, secret: Path) -> None:
    (data_set / "vocabulary/tokenizer_config.json").unlink()


HOSTILE = {
    "a hidden link": (link("vocabulary/.id_ed25519"), r"holds '\.id_ed25519'"),
    "a link of a known name": (link("vocabulary/tokenizer_config.json"), r"tokenizer_config\.json: expected a file"),
    "a link beside the folder": (link("vocabulary.json"), r"vocabulary\.json: expected a file, and no link to one"),
    "a folder that is a link": (linked_folder, "vocabulary: expected a folder, and no link to one"),
    "weights": (added("vocabulary/model.safetensors"), r"holds 'model\.safetensors'"),
    "a base model": (added("vocabulary/adapter_config.json"), r"holds 'adapter_config\.json'"),
    "a hidden file": (added("vocabulary/.hidden"), r"holds '\.hidden'"),
    "a nested file": (added("vocabulary/more/tokenizer.json"), "holds 'more'"),
    "terminal codes": (added("vocabulary/\x1b[2J.json"), r"holds '\\x1b\[2J\.json'"),
    "a pipe": (pipe, r"tokenizer\.json: expected a file\."),
    "a file too few": (nothing, r"tokenizer_config\.json: expected a file.*No such file"),
}


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest, data_sets: Callable[[str], Path], tmp_path: Path) -> tuple[Path, str]:
    """A data set whose manifest lists whatever lies in it, and what is to be said of it."""
    spoil, says = HOSTILE[request.param]
    data_set = tmp_path / "data_set"
    shutil.copytree(data_sets("turn_taking"), data_set)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/secret").write_bytes(SECRET)
    spoil(data_set, tmp_path / "home/secret")
    paths = (path for path in (data_set / "vocabulary").rglob("*") if path.is_file() and not path.is_symlink())
    if new := {str(path.relative_to(data_set)) for path in paths} - set(VOCABULARY_FILES):
        seal(data_set, lambda manifest: manifest["files"].extend({"path": name} for name in new))
        seal(data_set, lambda _: None)
    return data_set, says


def test_only_what_a_vocabulary_has_is_taken_over(data_sets: Callable[[str], Path]) -> None:
    data_set = data_sets("turn_taking")
    assert read_vocabulary(data_set) == {name: (data_set / name).read_bytes() for name in VOCABULARY_FILES}


def test_anything_else_is_a_message(hostile: tuple[Path, str]) -> None:
    data_set, says = hostile
    with pytest.raises(UserError, match=rf"(?s){says}.*Build the data set again"):
        read_vocabulary(data_set)


def test_verify_finds_it(hostile: tuple[Path, str]) -> None:
    """Also what no manifest lists, which pairs and models would refuse."""
    assert list(verify(hostile[0], lambda _: None)) != []


def test_pairs_take_nothing_of_it(hostile: tuple[Path, str], tmp_path: Path) -> None:
    data_set, _ = hostile
    with pytest.raises(UserError):
        make(data_set, tmp_path)
    assert not (tmp_path / "pairs").exists()
    assert not [path for path in tmp_path.glob("**/.pairs*/**/*") if path.is_file() and SECRET in path.read_bytes()]
