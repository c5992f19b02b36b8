"""Turns written dialogues into dialogues that can be spoken."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..dialogue import Rejection
from ..events.section import Events
from ..events.writing import EventWriter
from ..making.stage import Account, Row
from ..recipe.sections import shape_of
from ..rewriting.rewriters import REWRITERS, Rewriter
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
        self.writer = EventWriter(events, seed) if events else None
        self.rewriter: Rewriter = REWRITERS[rewriting.engine](rewriting)

    @property
    def max_actors(self) -> int | None:
        return self.rewriter.max_actors

    def shaped_by(self) -> dict[str, Any]:
        """A rewriter's own section is in its fingerprint, as far as it changes the text."""
        shape = {"rewriting": shape_of(self.rewriting), "rewriter": dict(self.rewriter.fingerprint())}
        return shape | (self.writer.shaped_by() if self.writer else {})

    def load(self, scratch: Path) -> None:
        self.rewriter.load(scratch)

    @property
    def fan_out(self) -> int:
        return 1

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        dialogues = [read_text_row(row) for row in rows]
        scripts = []
        for result in account.together(dialogues, lambda dialogue: [dialogue.id], self.rewriter.rewrite_all):
            if isinstance(result, Rejection):
                account.rejections.append(result)
                continue
            account.note(*result.notes)
            scripts.append(text_row(self.writer.write(result.dialogue) if self.writer else result.dialogue))
        return scripts
