"""The result of every rewriter."""

from dataclasses import dataclass

from ..dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A dialogue as it is spoken, and one note for each omission, which are counted."""

    dialogue: Dialogue
    notes: tuple[str, ...] = ()
