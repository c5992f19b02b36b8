"""Results of the readers of files: rows, and parts of a file that are lost."""

from dataclasses import dataclass
from typing import Any

LONGEST_ROW = 16 * 2**20  # characters; bytes in Parquet. A longer row is not a dialogue, and would only fill the memory


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a source: `where` is `file.jsonl:17` (a line) or `file.json#17` (an item), counted from 1."""

    where: str
    value: Any
    is_alone: bool = False  # neither an item of a list nor a line: it may be the only value of its file


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands in a row for a value that cannot be read: the row is rejected only if its shape needs that value."""

    why: str  # such as "a key that appears twice"


class RestLost(Exception):
    """A file cannot be read, or not beyond some place, and the number of rows after it is not known."""
