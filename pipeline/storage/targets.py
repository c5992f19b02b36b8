"""Where a data set is made: in a folder, or in an object store. Both are staged in a folder and appear whole.

| | folder | object store |
|---|---|---|
| staged | beside it | in the folder of the stages |
| locked by | a lock file | a lock file beside the staging folder, and the object `.lock` |
| appears | by one rename | object by object, each put only where there is none; the one that says "whole" comes last |
| until then | nothing is there | has the object `.unfinished`, which names the build |
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Protocol

from ..errors import UserError
from .atomic import canonical_json, explained, file_sha256, locked, remove_others, sync, write_json
from .lease import Lease, leased
from .objects import ObjectPath, Place
from .places import check_places, check_work

LOCK = ".lock"
UNFINISHED = ".unfinished"
OWNER = "owner"
MOST_NAMED = 5


class Target(Protocol):
    """Where one data set is made. All but `check` is for who holds it."""

    @property
    def place(self) -> Place:
        """Where the data set is once it is whole."""
        ...

    def check(self) -> None:
        """Raise UserError if no data set can be made there, as far as this shows before any work."""
        ...

    def held(self) -> AbstractContextManager[object]:
        """Keep other builds away. Raises UserError if another build writes there."""
        ...

    def is_vacant(self) -> bool:
        """Whether there is neither a data set nor anything else, but for what a build that was killed has left."""
        ...

    def claim(self, key: str, is_known: Callable[[str], bool]) -> None:
        """Begin the build with this key, or continue it. Raises UserError if anything else is there.

        is_known: whether a data set may have a file of this name.
        """
        ...

    def staging(self, key: str) -> Path:
        """The folder for the files of the build with this key. A build that was killed may have filled it."""
        ...

    def publish(self, staging: Path, files: Mapping[str, str], report: Callable[[int], None]) -> None:
        """Let the files that are staged appear; the folder is gone then.

        files: their sha256 by their names; the last one says that the data set is whole. report: called with the number
        of files that are there.
        """
        ...

    def clean(self) -> None:
        """Remove what a build that was killed has left beside the whole data set."""
        ...


def target_of(place: Place, work: Path) -> Target:
    """work: the folder of the stages."""
    return StoreTarget(place, work) if isinstance(place, ObjectPath) else FolderTarget(place, work)


class FolderTarget:
    """A folder, whose staging folder takes its name."""

    def __init__(self, place: Path, work: Path) -> None:
        self.place, self._work = place, work

    def check(self) -> None:
        check_places(self.place, self._work)

    def held(self) -> AbstractContextManager[object]:
        lock = self.place.parent / f".{self.place.name}.lock"
        return locked(lock, f"{self.place} is being written by another build")

    def is_vacant(self) -> bool:
        return not self.place.exists() or (self.place.is_dir() and not any(self.place.iterdir()))

    def claim(self, key: str, is_known: Callable[[str], bool]) -> None:
        """The name of the staging folder has the key in it."""

    def staging(self, key: str) -> Path:
        return self.place.parent / f".{self.place.name}.{key}"

    def publish(self, staging: Path, files: Mapping[str, str], report: Callable[[int], None]) -> None:
        remove_others(staging, files)
        with explained(self.place):
            staging.replace(self.place)
            sync(self.place.parent)
        report(len(files))

    def clean(self) -> None:
        """A folder that has its name holds nothing else."""


class StoreTarget:
    """All objects below an address."""

    def __init__(self, place: ObjectPath, work: Path) -> None:
        self.place, self._work = place, work
        self._folder = work / f"store-{hashlib.sha256(str(place).encode()).hexdigest()[:16]}"
        self._lease: Lease | None = None

    def check(self) -> None:
        check_work(self._work)
        self.place.check()

    def held(self) -> AbstractContextManager[object]:
        message = f"{self.place} is being written by another build"
        with ExitStack() as locks:
            locks.enter_context(locked(self._folder.with_suffix(".lock"), message))
            self._lease = locks.enter_context(leased(self.place / LOCK, self._owner(), message))
            return locks.pop_all()

    def is_vacant(self) -> bool:
        there = self.place.below().keys() - {LOCK}
        return not there or UNFINISHED in there

    def claim(self, key: str, is_known: Callable[[str], bool]) -> None:
        content = canonical_json({"key": key}).encode()
        mark = self.place / UNFINISHED
        if mark.create(content) is None and mark.read_bytes() != content:
            raise UserError(
                f"{self.place} has the unfinished build of another recipe. Let that one end, choose another place with "
                "--out, or remove all objects there."
            )
        self._refuse(name for name in self._there() if not is_known(name))
        with suppress(UserError):  # some stores do not tell, or not to everyone
            self.place.forget_parts()

    def staging(self, key: str) -> Path:
        return self._folder / key

    def publish(self, staging: Path, files: Mapping[str, str], report: Callable[[int], None]) -> None:
        *others, last = files
        there = self._there()
        self._refuse(there.keys() - files.keys())
        if there.pop(last, None) is not None:  # the rest may not be whole any more
            (self.place / last).remove()
        for number, name in enumerate(others, start=1):
            self._put(staging / name, name, files[name], name in there)
            report(number)
        self._check_sizes(staging, others)
        self._put(staging / last, last, files[last], is_there=False)
        self.clean()
        report(len(files))

    def clean(self) -> None:
        (self.place / UNFINISHED).remove()
        for folder in self._folder.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)

    def _owner(self) -> str:
        """Names this folder of stages in the lock of the store: only one build at a time has the folder's lock file."""
        file = self._folder / OWNER
        if not file.is_file():
            write_json(file, uuid.uuid4().hex)
        return str(json.loads(file.read_bytes()))

    def _there(self) -> dict[str, int]:
        """Objects of the data set, and any others: names and sizes."""
        return {name: size for name, size in self.place.below().items() if name not in (LOCK, UNFINISHED)}

    def _refuse(self, strange: Iterable[str]) -> None:
        if names := sorted(strange):
            more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
            raise UserError(
                f"{self.place} has objects that are not of this data set: {', '.join(names[:MOST_NAMED])}{more}. They "
                "were left as they are. Choose another place with --out, or remove them."
            )

    def _put(self, file: Path, name: str, sha256: str, is_there: bool) -> None:
        """Make an object what a file is. One that is damaged was written by a build that claimed the place."""
        assert self._lease
        target = self.place / name
        if is_there and file_sha256(target) == sha256:
            return
        self._lease.check()
        if is_there:
            target.remove()
        # if an answer was lost, s3fs has asked again, and then the object is there
        if not target.create_from(file) and file_sha256(target) != sha256:
            raise UserError(
                f"{target} was written by something else while the data set was made. Find out by what, and run the "
                "same command again: it writes the object again."
            )

    def _check_sizes(self, staging: Path, names: Iterable[str]) -> None:
        """Raise UserError if what is there is not, by names and sizes, what is staged."""
        expected = {name: (staging / name).stat().st_size for name in names}
        there = self._there()
        if wrong := [name for name in sorted(there.keys() | expected.keys()) if there.get(name) != expected.get(name)]:
            raise UserError(
                f"{self.place}: {', '.join(wrong[:MOST_NAMED])} was changed by something else while the data set was "
                "made. Find out by what, and run the same command again: it writes the objects again."
            )
