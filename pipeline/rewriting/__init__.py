"""Written text into text one can speak: one class an engine, chosen by name from REWRITERS."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from pipeline.dialogue import Dialogue, Rejection
from pipeline.recipe import Rewriting
from pipeline.rewriting.rewritten import Rewritten
from pipeline.rewriting.rules import RulesRewriter

__all__ = ["REWRITERS", "Rewriter", "Rewritten"]


class Rewriter(Protocol):
    """Turns written dialogues into spoken ones."""

    name: ClassVar[str]

    def __init__(self, recipe: Rewriting) -> None: ...

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        """Names and versions of all but the recipe that shapes the output: rules, grammars, models."""
        ...

    def rewrite_all(self, dialogues: Sequence[Dialogue]) -> list[Rewritten | Rejection]:
        """One result a dialogue, in their order; a dialogue that cannot be spoken is a Rejection (stage `script`).

        It takes many at once so that an engine that batches or waits for a server can; each result must depend on
        its own dialogue alone.
        """
        ...


REWRITERS: dict[str, type[Rewriter]] = {RulesRewriter.name: RulesRewriter}
