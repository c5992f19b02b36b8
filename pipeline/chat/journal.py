"""Answers on disk: what a language model has answered is never asked for again."""

import json
import logging
import os
import uuid
import zlib
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..storage.atomic import canonical_json, explained, sync

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and why it stopped: `stop`, `length` …; None where the endpoint does not say."""

    content: str
    finish_reason: str | None


def request_key(body: dict[str, Any]) -> str:
    """Names a request by all that is asked; neither whom nor with which key."""
    return sha256(canonical_json(body).encode("utf-8", "surrogatepass")).hexdigest()


class Journal:
    """All answers that were ever kept in a folder, each found by its request; a line of JSON with its checksum each.

    Each writer has a file of its own and none takes a lock: the folder may lie on storage that machines share (where a
    database that locks is not safe), and a writer that is thought dead may still write. A damaged line is as if it had
    not been written, and harms no other. Memory holds where answers stand, not what they say.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UserError if the folder holds what cannot be read."""
        self._folder = folder
        self._path = self._own_path()
        self._places: dict[str, tuple[Path, int]] = {}  # of a request's answer: its file, the first byte of its line
        self._read_to: dict[Path, int] = {}  # bytes of each file whose lines are known
        self.read()

    def read(self) -> None:
        """Find what others have added since the last time."""
        with explained(self._folder):
            for path in sorted(self._folder.glob("answers-*.jsonl")):
                self._read(path)

    def get(self, key: str) -> Answer | None:
        if key not in self._places:
            return None
        path, start = self._places[key]
        with explained(path), path.open("rb") as file:
            file.seek(start)
            found = _entry(file.readline())
        return found[1] if found and found[0] == key else None

    def add(self, key: str, answer: Answer) -> None:
        """Keep an answer: it is on disk on return. Raises UserError if the disk is full or may not be written."""
        entry = {"request": key, **asdict(answer), "crc32": _crc32(key, answer)}
        line = json.dumps(entry).encode() + b"\n"
        path = self._path
        self._path = self._own_path()  # unless all goes well, as nothing may follow half a line
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                start = file.tell()
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if start == 0:
                sync(path.parent)
        self._path = path
        self._places[key] = (path, start)
        self._read_to[path] = start + len(line)

    def _own_path(self) -> Path:
        return self._folder / f"answers-{uuid.uuid4().hex}.jsonl"

    def _read(self, path: Path) -> None:
        is_new, start = path not in self._read_to, self._read_to.get(path, 0)
        damaged = 0
        with path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    damaged += is_new  # later on it is one that is being written
                    break
                if entry := _entry(line):
                    self._places[entry[0]] = (path, start)
                else:
                    damaged += 1
                start += len(line)
        self._read_to[path] = start
        if damaged:
            LOG.warning("%s: damaged or unfinished lines: %d; what they answered is asked for again", path, damaged)


def _entry(line: bytes) -> tuple[str, Answer] | None:
    """A request's key and its answer, if a line is whole."""
    try:
        entry = json.loads(line)
        key, answer = entry["request"], Answer(entry["content"], entry["finish_reason"])
        return (key, answer) if entry["crc32"] == _crc32(key, answer) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _crc32(key: str, answer: Answer) -> int:
    return zlib.crc32(json.dumps([key, answer.content, answer.finish_reason]).encode())
