"""Turns written dialogues into dialogues that can be spoken."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..dialogue import Rejection
from ..events.section import Events
from ..events.writers import make_writer
from ..making.stage import Account, Row
from ..recipe.sections import shape_of
from ..rewriting.rewriters import REWRITERS, Rewriter, Rewritten
from ..rewriting.section import Rewriting
from .rows import TEXT, read_text_row, text_row


class ScriptStage:
    name: ClassVar[str] = "script"
    version: ClassVar[int] = 3
    reads: ClassVar[tuple[str, ...] | None] = None
    schema = TEXT
    num_cpus = 0.25
    num_gpus = 0.0
    cost = 0.01

    def __init__(self, rewriting: Rewriting, events: Events | None = None, seed: int = 0) -> None:
        self.rewriting = rewriting
        self.writer = make_writer(events, rewriting, seed) if events else None
        self.rewriter: Rewriter = REWRITERS[rewriting.engine](rewriting)

    @property
    def max_actors(self) -> int | None:
        """As few as either part can have."""
        most = [self.rewriter.max_actors, self.writer.max_actors if self.writer else None]
        return min((number for number in most if number is not None), default=None)

    def shaped_by(self) -> dict[str, Any]:
        """A rewriter's own section is in its fingerprint, as far as it changes the text."""
        shape = {"rewriting": shape_of(self.rewriting), "rewriter": dict(self.rewriter.fingerprint())}
        return shape | (self.writer.shaped_by() if self.writer else {})

    def load(self, scratch: Path) -> None:
        self.rewriter.load(scratch)
        if self.writer:
            self.writer.load(scratch / "events")

    @property
    def fan_out(self) -> int:
        return 1

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        """Turn the rows of a partition into rows that can be spoken, with events where the recipe has any."""
        dialogues = [read_text_row(row) for row in rows]
        results = account.together(dialogues, lambda dialogue: [dialogue.id], self.rewriter.rewrite_all)
        scripts = [*_kept(results, account)]
        if self.writer:
            written = account.together(scripts, lambda script: [script.dialogue.id], self.writer.write_all)
            scripts = [*_kept(written, account)]
        account.note(*(note for script in scripts for note in script.notes))
        return [text_row(script.dialogue) for script in scripts]


def _kept(results: Iterable[Rewritten | Rejection], account: Account) -> Iterator[Rewritten]:
    """The dialogues among the results; the others are rejected in the account."""
    for result in results:
        if isinstance(result, Rejection):
            account.rejections.append(result)
        else:
            yield result
