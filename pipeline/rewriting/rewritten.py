"""The result of every rewriter."""

from dataclasses import dataclass

from ..dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A dialogue as it is spoken, and a note for each omission; the build counts the notes."""

    dialogue: Dialogue
    notes: tuple[str, ...] = ()
