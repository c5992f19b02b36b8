r"""Reads rows of files, folders and Hub data sets as dialogues.

    for item in read(source, recipe_folder):  # Read(dialogue, notes), Rejection(stage="source") or LeftOut()
        ...

Shapes of a row:

- `ultrachat`: `{"id": ..., "data": [user, assistant, user, ...]}`
- `messages`: `{"messages": [{"role": "user", "content": ...}, ...]}`, also `conversations` with `from` and `value`
- `alpaca`: `{"instruction": ..., "input": ..., "output": ...}`; `input` may be missing
- `instruction_response`: `{"instruction": ..., "response": ...}`
- `belle_multiturn`: `{"instruction": "Human:...\nAssistant:...\nHuman:...\nAssistant:", "input": "", "output": ...}`

A row's id is its `id`, `prompt_id` or `conversation_id`; a row that has none is named `<source>-<hash of its turns>`.
With `id_key` it is named `<source>-<value of that column>`, so that rows that two sources number do not share ids.
"""

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from ..errors import UserError
from ..escapes import one_line
from .joining import JOINED, joined
from .rows import escaped, files, problem, read_rows, shown
from .section import Source
from .shapes import SYSTEM_LEFT_OUT, UNANSWERED_LEFT_OUT, Item, LeftOut, Read

__all__ = [
    "JOINED",
    "SYSTEM_LEFT_OUT",
    "UNANSWERED_LEFT_OUT",
    "Item",
    "LeftOut",
    "Read",
    "check",
    "fingerprint",
    "joined",
    "read",
]


def read(source: Source, base: Path, lost: list[str] | None = None) -> Iterator[Item]:
    """Every row of a source, in order: as a dialogue, as a rejection with its reason, or left out by `source.where`.

    A rejection is named by its place (`file.jsonl:17`), since a row that cannot be read has no id. `source.limit`
    counts rows that are not left out, usable or not. A relative path starts at `base`, the recipe's folder. lost: gets
    a message for each file that cannot be read at all, or only up to some row, unless `source.unreadable_files` allows
    it.

    Raises UserError if the file, folder or Hub data set cannot be opened.
    """
    if lost is None or source.unreadable_files == "skip":
        lost = []
    count = 0
    for item in read_rows(source, base, lost):
        yield item
        count += not isinstance(item, LeftOut)
        if count == source.limit:
            return


def check(source: Source, base: Path) -> str | None:
    """What is wrong with the path or name of a source, or None; cheap, and without a network."""
    if source.hub is not None:
        return None if importlib.util.find_spec("datasets") else "`hub` needs the package `datasets`"
    try:
        return problem(source, base)
    except OSError as error:
        return f"cannot be read: {error}"


def fingerprint(source: Source, base: Path) -> dict[str, str]:
    """What the rows of a source depend on: the sha256 of each file, or the name and revision of a Hub data set.

    A Hub data set that is a local folder has the sha256 of its files, too. Without a `revision`, the fingerprint does
    not have the content of the main branch, because that would need a network: `datasets` reads all rows from one
    commit, and a work folder keeps the rows that it read first.
    Raises UserError if a local source cannot be read.
    """
    if source.hub is None:
        return _digests({shown(path): path for path in files(source, base)}, source)
    data_set = {
        "hub": source.hub,
        "config": source.config or "",
        "split": source.split,
        "revision": source.revision or "",
    }
    folder = Path(source.hub)  # `datasets` starts at the working folder, too
    return data_set | _digests({escaped(str(path.relative_to(folder))): path for path in _within(folder)}, source)


def _within(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _digests(paths: dict[str, Path], source: Source) -> dict[str, str]:
    digests = {}
    for name, path in paths.items():
        try:
            with path.open("rb") as stream:
                digests[name] = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"source {source.name}: cannot read {one_line(str(path))}: {error.strerror}") from error
    return digests
