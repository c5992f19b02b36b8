"""Answers of language models on disk, so that no request is sent again after it was answered."""

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
    """The text of an answer, and why the model stopped: `stop`, `length` …; None if the endpoint does not say."""

    content: str
    finish_reason: str | None


def request_key(body: dict[str, Any]) -> str:
    """The name of a request: a hash of its body. The address and the key are no part of it."""
    return sha256(canonical_json(body).encode("utf-8", "surrogatepass")).hexdigest()


class Journal:
    """All answers of a folder by their requests. Each is a line of JSON with a checksum.

    Each writer has a file of its own and none takes a lock: the folder may lie on storage that machines share (where a
    database that locks is not safe), and a writer that is thought dead may still write. A damaged line counts as not
    written, and harms no other. Memory holds the places of the answers, not their text.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UserError if the folder holds a file that cannot be read."""
        self._folder = folder
        self._path = self._own_path()
        self._places: dict[str, tuple[Path, int]] = {}  # by request: the file, and the first byte of the line
        self._read_to: dict[Path, int] = {}  # bytes of each file whose lines are known
        self.read()

    def read(self) -> None:
        """Find the answers that others have added since the last call."""
        with explained(self._folder):
            for path in sorted(self._folder.glob("answers-*.jsonl")):
                self._read(path)

    def get(self, key: str) -> Answer | None:
        """The answer to a request, by its `request_key`; None if there is none."""
        if key not in self._places:
            return None
        path, start = self._places[key]
        with explained(path), path.open("rb") as file:
            file.seek(start)
            entry = _entry(file.readline())
        return entry[1] if entry and entry[0] == key else None

    def add(self, key: str, answer: Answer) -> None:
        """Keep an answer: it is on disk on return. Raises UserError if the disk is full or may not be written."""
        entry = {"request": key, **asdict(answer), "crc32": _crc32(key, answer)}
        line = json.dumps(entry).encode() + b"\n"
        path = self._path
        self._path = self._own_path()  # unless all goes well: nothing may follow half a line
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
                    damaged += is_new  # at the end of a known file, a line that is being written
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
