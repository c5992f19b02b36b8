"""What an exporter must offer: how the rows of one shard become files that one consumer reads."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ..dataset.dialogues import DIALOGUES
from ..dataset.reader import Dataset
from ..dataset.row_sizes import rows_of
from ..errors import UserError
from ..pairs.kind import PREFERENCES
from ..storage.objects import Place

AUDIO, WORDS, REPLY_WORDS, CODES = "audio", "words", "reply words", "codes"
"""What an exporter may need: REPLY_WORDS are the words of the assistant's events, WORDS those of all."""
BOTH_KINDS = frozenset({DIALOGUES, PREFERENCES})
DIALOGUES_ALONE = frozenset({DIALOGUES})

Row = dict[str, Any]
Summary = Mapping[str, Any]
"""What `finish` has to know about the files of a shard, as JSON has it."""
Report = Callable[[int], None]  # is called with the number of rows that were read so far


@dataclass
class Shard:
    """One shard of a data set, to be exported."""

    dataset: Dataset
    path: Place
    number: int  # from 0
    of: int  # shards of the data set
    first_row: int  # counted through the data set
    num_rows: int
    report: Report
    left_out: dict[str, int] = field(default_factory=dict)
    """How many of its rows the format cannot say, by reason."""

    def rows(self, columns: list[str]) -> Iterator[tuple[int, Row]]:
        """Rows in order, each with its number, counted through the data set; a few are in memory at a time.

        Raises UserError at a row that cannot be read.
        """
        number = self.first_row
        for batch in self.dataset.batches(columns, [self.path]):
            for _, row, problem in rows_of(batch):
                if row is None:
                    raise self.damaged(number, problem)
                yield number, row
                number += 1
                self.report(number)

    def damaged(self, number: int, problem: str) -> UserError:
        """The error to raise at a row that cannot be exported. problem: continues "row 7 …"."""
        return UserError(
            f"{self.path}: row {number} {problem}. The data set is damaged, and `duplexgen verify` says where. Build "
            "or copy it again."
        )

    def leave_out(self, reason: str) -> None:
        """Count a row that the format has no way to say."""
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


class Exporter(Protocol):
    """Writes a data set as one consumer reads it. It is made without arguments.

    An exporter that extends this class needs to write `lacks` only if there is something to say.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    """Raise it when the same data set gives other files."""
    kinds: ClassVar[frozenset[str]]
    """Of data sets: BOTH_KINDS or DIALOGUES_ALONE."""
    needs: ClassVar[frozenset[str]]
    """Of AUDIO, WORDS, REPLY_WORDS and CODES, and names of layouts: it can write the rows of any of these."""

    def __init__(self) -> None: ...

    def lacks(self, dataset: Dataset) -> Iterator[str]:
        """What a data set lacks beside `needs`, and what to do, in words."""
        yield from ()

    def write(self, shard: Shard, out: Path) -> Summary:
        """Write the files of one shard into the folder `out`, under names that no other shard has.

        The folder is empty; the files are taken from there to the export. Returns what `finish` has to know.
        """
        ...

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        """Write what is about the whole data set beside the files of all shards.

        summaries: what `write` returned, in order of the shards. Returns what the front matter of README.md says beside
        the licence.
        """
        ...
