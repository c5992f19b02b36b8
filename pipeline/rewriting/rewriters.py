"""Written text to text that can be spoken: one class per engine, chosen by name from REWRITERS."""

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
        """Problems of the recipe's section that prevent rewriting on this machine."""
        ...

    def probe(self) -> list[Problem]:
        """Problems that only a request can find, such as an endpoint that does not answer. Takes seconds at most."""
        ...

    def fingerprint(self) -> Mapping[str, str]:
        """Names and versions of everything that changes the output, beside `engine` and the limits: rules, models …"""
        ...

    def load(self, scratch: Path) -> None:
        """Get ready, in the process that will rewrite.

        scratch: a folder of the stage's own, which may not exist yet, for files that survive a restart.
        """
        ...

    def rewrite_all(self, dialogues: Sequence[Dialogue]) -> list[Rewritten | Rejection]:
        """One result per dialogue, in their order; a dialogue that cannot be spoken is a Rejection (stage `script`).

        It gets many dialogues, so that an engine can batch them or wait for a server. Each result must depend only on
        its own dialogue.
        """
        ...


REWRITERS: dict[str, type[Rewriter]] = {RulesRewriter.name: RulesRewriter, LLMRewriter.name: LLMRewriter}
