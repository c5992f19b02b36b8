"""A file is whole or not there, whatever stops its writer."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.storage.atomic import (
    atomic_folder,
    atomic_path,
    canonical_json,
    file_sha256,
    locked,
    remove_temporary,
    write_json,
)

ROOT = Path(__file__).resolve().parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
from duplexgen.pipeline.storage.atomic import atomic_path

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

target, place = Path(sys.argv[1]), sys.argv[2]
if place == "before the rename":
    Path.replace = kill
with atomic_path(target) as path:
    path.write_bytes(b"ne")
    if place == "half-written":
        kill()
"""


def write(target: Path, content: bytes) -> None:
    with atomic_path(target) as path:
        path.write_bytes(content)


def test_whole_file_under_its_name(tmp_path: Path) -> None:
    write(tmp_path / "new" / "folder" / "file", b"content")
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["file"]
    assert (tmp_path / "new" / "folder" / "file").read_bytes() == b"content"


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("place", ["half-written", "before the rename"])
def test_kill_leaves_the_target_as_it_was(tmp_path: Path, before: bytes | None, place: str) -> None:
    target = tmp_path / "file"
    if before is not None:
        target.write_bytes(before)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(target), place], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (target.read_bytes() if target.exists() else None) == before
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    remove_temporary(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] * (before is not None)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_exception_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail() -> None:
        with atomic_path(target) as path:
            path.write_bytes(b"ne")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full. Committed work is safe: make room and run the same command again"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "may not be written (Permission denied). Choose another folder"),
        (errno.EROFS, "may not be written (Read-only file system)"),
        (errno.ENAMETOOLONG, "the name is too long for the file system. Choose a shorter one"),
        (errno.EIO, "could not be written: [Errno 5] Input/output error"),
    ],
)
def test_what_the_file_system_refuses_is_said(tmp_path: Path, number: int, says: str) -> None:
    target = tmp_path / "file"

    def refused() -> None:
        with atomic_path(target) as path:
            path.write_bytes(b"ne")
            raise OSError(number, os.strerror(number))

    with pytest.raises(UserError) as error:
        refused()
    assert str(error.value).startswith(f"{target}: {says}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_is_expected(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"could not be written: .*Not a directory"):
        write(tmp_path / "file" / "inside" / "it", b"content")
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_temporary_files_are_removed_at_any_depth(tmp_path: Path) -> None:
    for name in ("data/.train.parquet.0a.tmp", ".manifest.json.0b.tmp", "data/kept.parquet", "data/kept.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    remove_temporary(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["kept.parquet", "kept.tmp"]


def test_json_is_the_same_bytes_for_the_same_value(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": "é 图"})
    write_json(tmp_path / "b", {"a": "é 图", "b": 1})
    assert (tmp_path / "a").read_bytes() == '{\n  "a": "é 图",\n  "b": 1\n}\n'.encode()
    assert file_sha256(tmp_path / "a") == file_sha256(tmp_path / "b")
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


HELD = "it is being written by another build"


def lock_refused(path: Path) -> str:
    with pytest.raises(UserError) as error, locked(path, HELD):
        pass
    return str(error.value)


def test_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".out.lock"
    with locked(path, HELD):
        assert lock_refused(path) == f"{HELD}. Wait until it ends; nothing was changed."
        script = "import sys; from pathlib import Path; from duplexgen.pipeline.storage.atomic import locked"
        script += "\nwith locked(Path(sys.argv[1]), 'held'): pass"
        ended = subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, capture_output=True, check=False)
        assert b"UserError: held. Wait until it ends" in ended.stderr
    with locked(path, HELD):
        pass


def test_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path: Path) -> None:
    path, flock = tmp_path / ".out.lock", fcntl.flock
    with pytest.MonkeyPatch.context() as patch:

        def remove_first(descriptor: int, operation: int) -> None:
            patch.undo()
            path.unlink()
            flock(descriptor, operation)

        patch.setattr(fcntl, "flock", remove_first)
        with locked(path, HELD):
            assert HELD in lock_refused(path)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOLCK, "the file system there keeps no locks (No locks available)"),
        (errno.ENOSYS, "the file system there keeps no locks (Function not implemented)"),
        (errno.EOPNOTSUPP, "the file system there keeps no locks (Operation not supported)"),
        (errno.EACCES, "could not be locked (Permission denied)"),
        (errno.EIO, "could not be locked (Input/output error)"),
    ],
)
def test_lock_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, says: str) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / ".out.lock"
    assert lock_refused(path).startswith(f"{path}: {says}")


@pytest.mark.parametrize("kind", ["a folder", "a link", "a dangling link"])
def test_lock_that_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ".out.lock"
    (tmp_path / "mine").write_text("mine")
    if kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / ("mine" if kind == "a link" else "nowhere"))
    assert lock_refused(path) == f"{path} is {kind.replace('dangling ', '')}, where a lock file is expected. Remove it."
    assert not (tmp_path / "nowhere").exists()


def test_lock_where_no_file_can_be_made() -> None:
    assert lock_refused(Path("/proc/.out.lock")).startswith("/proc/.out.lock: could not be written")


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "there" / "folder"
    with atomic_folder(target) as folder:
        (folder / "file").write_text("content")
        assert not target.exists()
    assert (target / "file").read_text() == "content"
    with pytest.raises(UserError, match="folder exists already"), atomic_folder(target):
        raise AssertionError("it is not entered")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UserError, match="link exists already"), atomic_folder(tmp_path / "link"):
        raise AssertionError("it is not entered")
    with pytest.raises(UserError, match="the disk is full"), atomic_folder(tmp_path / "there" / "other") as folder:
        (folder / "file").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(UserError, match="late exists already"), atomic_folder(tmp_path / "there" / "late"):
        (tmp_path / "there" / "late").mkdir()
    with (
        atomic_folder(tmp_path / "there" / "once"),
        pytest.raises(UserError, match="once is being written by another process"),
        atomic_folder(tmp_path / "there" / "once"),
    ):
        raise AssertionError("it is not entered")
    assert sorted(path.name for path in target.parent.iterdir()) == ["folder", "late", "once"]


def test_what_a_killed_process_left_of_a_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".folder.tmp").mkdir()
    (tmp_path / ".folder.tmp" / "half").write_text("of another time")
    with atomic_folder(tmp_path / "folder") as folder:
        (folder / "file").write_text("content")
    assert [*tmp_path.rglob("*")] == [tmp_path / "folder", tmp_path / "folder" / "file"]
