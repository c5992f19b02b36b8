"""What the readers of files give: rows, and what is lost of a file."""

from dataclasses import dataclass
from typing import Any

LONGEST_ROW = 16 * 2**20  # characters, in Parquet bytes; a longer row is no dialogue; it would only fill the memory


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a source: `where` is `file.jsonl:17` (a line) or `file.json#17` (an item), counted from 1."""

    where: str
    value: Any
    is_alone: bool = False  # no item of a list and no line: if it is all that its file has, it is the file


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands in a row for a value that cannot be told: the row is rejected only if its shape needs that value."""

    why: str  # such as "a key that is there twice"


class RestLost(Exception):
    """A file cannot be read, or not beyond some place, and nobody knows how many rows stand there."""
