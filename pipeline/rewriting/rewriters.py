"""Written text into text one can speak: one class an engine, chosen by name from REWRITERS."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from ..dialogue import Dialogue, Rejection
from ..recipe.file import Problem
from .llm import LLMRewriter
from .rewritten import Rewritten
from .rules import RulesRewriter
from .section import Rewriting

__all__ = ["REWRITERS", "Rewriter", "Rewritten"]


class Rewriter(Protocol):
    """Turns written dialogues into spoken ones. Made of a recipe's section and pickled to workers before `load`."""

    def __init__(self, recipe: Rewriting) -> None: ...

    @property
    def name(self) -> str: ...

    @property
    def max_actors(self) -> int | None:
        """How many may rewrite at the same time; None: any number."""
        ...

    def check(self) -> list[Problem]:
        """What of the recipe's section keeps it from rewriting here."""
        ...

    def probe(self) -> list[Problem]:
        """What only asking can tell, such as an endpoint that does not answer. Takes seconds at most."""
        ...

    def fingerprint(self) -> Mapping[str, str]:
        """Names and versions of all that shapes the output, beside `engine` and the limits: rules, grammars, models."""
        ...

    def load(self, scratch: Path) -> None:
        """Make ready in the process that will rewrite.

        scratch: a folder of the stage's own, which may not exist yet, for what is to be found again after a restart.
        """
        ...

    def rewrite_all(self, dialogues: Sequence[Dialogue]) -> list[Rewritten | Rejection]:
        """One result a dialogue, in their order; a dialogue that cannot be spoken is a Rejection (stage `script`).

        It takes many at once so that an engine that batches or waits for a server can; each result must depend on
        its own dialogue alone.
        """
        ...


REWRITERS: dict[str, type[Rewriter]] = {RulesRewriter.name: RulesRewriter, LLMRewriter.name: LLMRewriter}
