"""What every rewriter gives back."""

from dataclasses import dataclass

from ..dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A dialogue as it is spoken, and what was left out of it: one note each time, to be counted."""

    dialogue: Dialogue
    notes: tuple[str, ...] = ()
