"""Small JSON files that are believed only if their content and their place have not changed.

A record holds its place (the names of its folder and of its file), which shows that a record was copied or swapped, and
a checksum of its content.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from .atomic import canonical_json, write_json

VERSION = 1
OWN = ("version", "place", "checksum")  # keys that are about the record itself


class RecordDamaged(Exception):
    """A record cannot be believed; the message says why, without the file's name."""


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write a record for `read_record`: equal contents in the same place give equal bytes."""
    body = content | {"version": VERSION, "place": _place(path)}
    write_json(path, body | {"checksum": _checksum(body)})


def read_record(path: Path) -> dict[str, Any]:
    """The content of a record. Raises FileNotFoundError if there is none, RecordDamaged if it cannot be believed."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(body, dict):
            raise RecordDamaged("expected a JSON object")
        if "checksum" not in body:
            raise RecordDamaged("it has no checksum: it was not written by this version of duplexgen")
        if body.pop("checksum") != _checksum(body):
            raise RecordDamaged("its checksum is not that of its content")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise RecordDamaged(str(error)) from error
    if body["version"] != VERSION:
        raise RecordDamaged(f"it has version {body['version']}, expected {VERSION}: another duplexgen wrote it")
    if body["place"] != _place(path):
        raise RecordDamaged(f"it is the record of {body['place']}")
    return {key: value for key, value in body.items() if key not in OWN}


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body).encode()).hexdigest()
