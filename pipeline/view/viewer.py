"""Answers what the page asks about one data set. It knows nothing of HTTP, and writes nothing."""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..dataset.files import missing_files
from ..dataset.reader import Dataset
from ..dataset.row_groups import RowGroups
from ..dialogue import FIGURES
from ..errors import UserError
from ..kinds import opened
from ..pairs.kind import PREFERENCES
from . import dialogue
from .figures import summary
from .index import TAGS, Index, Query
from .rejected import RejectedTables
from .rows import text_tokenizer
from .sound import STORED, Sound

MOST_ROWS = 200  # of one answer
MOST_OFFSET = 10**12
OPENING_CHARACTERS = 120
KEPT_SOUNDS = 4
Answer = dict[str, Any]
Asked = Mapping[str, str]


class Viewer:
    """A data set of any kind. Its methods may be called by several threads.

    Raises UserError if the folder is no finished data set, or is one of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.dataset: Dataset = opened(folder)
        _ = self.dataset.layout
        self.groups = RowGroups(self.dataset)
        self.index = Index(self.dataset, self.groups)
        self.sound = Sound(self.dataset)
        self.rejected_tables = RejectedTables(self.dataset)
        self._flac = lru_cache(KEPT_SOUNDS)(self._read_flac)

    def summary(self) -> Answer:
        return summary(self.dataset, self.sound) | {"missing": [*missing_files(self.dataset)]}

    def facets(self) -> Answer:
        return self.index.facets()

    def dialogues(self, asked: Asked) -> Answer:
        """A page of the table. asked: filters by their names, `text`, `figure` with `least` and `most`, offset, limit.

        Raises UserError at a value that cannot be used.
        """
        offset, limit = _whole(asked, "offset", 0, MOST_OFFSET), _whole(asked, "limit", 50, MOST_ROWS)
        page = self.index.page(self._query(asked), offset, limit)
        openings = self._openings([row["number"] for row in page.rows if "problem" not in row])
        rows = [row | {"opening": openings.get(row["number"], "")} for row in page.rows]
        return {"rows": rows, "found": page.found, "searched": page.searched, "of": self.groups.rows}

    def rejected(self, asked: Asked) -> Answer:
        """A page of rejected dialogues. asked: stage, reason, text, offset, limit."""
        offset, limit = _whole(asked, "offset", 0, MOST_OFFSET), _whole(asked, "limit", 50, MOST_ROWS)
        stage, reason, text = (asked.get(name, "") for name in ("stage", "reason", "text"))
        return self.rejected_tables.page(stage, reason, text, offset, limit)

    def dialogue(self, number: int) -> Answer:
        row = self.groups.row(number, dialogue.columns(self.dataset))
        return dialogue.shown(self.dataset, self._tokenizer, self.sound, number, row)

    def flac(self, number: int, side: str) -> bytes:
        """The sound of a row; see `Sound.flac`."""
        return self._flac(number, side)

    def _read_flac(self, number: int, side: str) -> bytes:
        columns = None
        if self.sound.state == STORED:
            columns = ["dialogue_id", "audio.bytes"]
        elif self.dataset.kind != PREFERENCES:
            layout = [field.name for field in self.dataset.layout.COLUMNS]
            columns = ["dialogue_id", "user_codes", "assistant_codes", *layout]
        return self.sound.flac(self.groups.row(number, columns), side)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return text_tokenizer(self.dataset)

    def _query(self, asked: Asked) -> Query:
        tags = {name: asked[name] for name in TAGS.get(self.dataset.kind, ()) if asked.get(name)}
        figure = asked.get("figure", "")
        if figure and figure not in FIGURES:
            raise UserError(f"figure is {figure!a}: expected one of {', '.join(FIGURES)}.")
        least, most = _number(asked, "least", float("-inf")), _number(asked, "most", float("inf"))
        return Query(tags, asked.get("text", ""), figure, least, most)

    def _openings(self, numbers: list[int]) -> dict[int, str]:
        """How dialogues begin; nothing of pairs, whose rows have no text of the user's."""
        if self.dataset.kind == PREFERENCES:
            return {}
        columns = ["dialogue_id", "events.list.element.text"]
        try:
            return dialogue.texts_of(self.groups.read(numbers, columns), OPENING_CHARACTERS)
        except UserError:  # one row is damaged: the others are shown
            return {number: text for number in numbers for text in self._opening(number, columns)}

    def _opening(self, number: int, columns: list[str]) -> list[str]:
        """How one dialogue begins; nothing if it cannot be read."""
        try:
            return [*dialogue.texts_of(self.groups.read([number], columns), OPENING_CHARACTERS).values()]
        except UserError:
            return []


def _whole(asked: Asked, name: str, default: int, most: int) -> int:
    text = asked.get(name, "") or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise UserError(f"{name} is {text[:40]!a}: expected a whole number from 0 to {most}.")
    return int(text)


def _number(asked: Asked, name: str, default: float) -> float:
    text = asked.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise UserError(f"{name} is {text[:40]!a}: expected a number.") from None
