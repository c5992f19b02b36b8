"""Answers on disk: what a language model has answered is never asked for again."""

import json
import os
import uuid
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Self

from pipeline.shards.atomic import canonical_json, explained


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said, and why it stopped: `stop`, `length` …; None where the endpoint does not say."""

    content: str
    finish_reason: str | None


def request_key(body: dict[str, Any]) -> str:
    """Names a request by all that is asked; neither whom nor with which key."""
    return sha256(canonical_json(body).encode("utf-8", "surrogatepass")).hexdigest()


class Journal:
    """The answers to one list of requests: a line of JSON each, on disk before the answer is used.

    Each writer has a file of its own, so that two workers, one of them thought dead, never write into each other's
    lines. All files that share a name are read; a line that was torn by a crash is as if it had not been written.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.{uuid.uuid4().hex}.jsonl"
        self._file: IO[bytes] | None = None
        self._answers: dict[str, Answer] = {}
        with explained(folder):
            for path in sorted(folder.glob(f"{name}.*.jsonl")):
                self._answers |= _read(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def get(self, key: str) -> Answer | None:
        return self._answers.get(key)

    def add(self, key: str, answer: Answer) -> None:
        """Keep an answer. Raises UserError if the disk is full or may not be written."""
        line = json.dumps({"request": key, **asdict(answer)}) + "\n"
        with explained(self._path):
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("ab")
                _sync_folder(self._path.parent)
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        self._answers[key] = answer


def _read(path: Path) -> dict[str, Answer]:
    answers = {}
    for line in path.read_bytes().splitlines():
        try:
            entry = json.loads(line)
            answers[str(entry["request"])] = Answer(entry["content"], entry["finish_reason"])
        except (ValueError, KeyError, TypeError):
            continue
    return answers


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
