"""Joins dialogues of one exchange to longer ones, so that a turn follows a reply and can interrupt it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from .shapes import Item, Read

JOINED = "joined_to_the_row_before"


def joined(items: Iterable[Item], exchanges: int) -> Iterator[Item]:
    """Neighbouring dialogues of one exchange as dialogues of `exchanges` exchanges (BayLing-Duplex, section 4.2).

    items: dialogues of one source. Longer dialogues, rejections and rows that are left out pass as they are, and do not
    separate neighbours. The rest at the end becomes a shorter dialogue. A joined dialogue is named by the ids of all
    its rows, and each row after its first is counted by a note, JOINED.
    """
    waiting: list[Read] = []
    for item in items:
        if not isinstance(item, Read) or len(item.dialogue.turns) > 2:
            yield item
            continue
        waiting.append(item)
        if len(waiting) == exchanges:
            yield _join(waiting)
            waiting = []
    if waiting:
        yield _join(waiting)


def _join(parts: Sequence[Read]) -> Read:
    dialogues = [part.dialogue for part in parts]
    whole = replace(
        dialogues[0],
        id="+".join(dialogue.id for dialogue in dialogues),
        turns=tuple(turn for dialogue in dialogues for turn in dialogue.turns),
    )
    notes = tuple(note for part in parts for note in part.notes)
    return Read(whole, notes + (JOINED,) * (len(parts) - 1))
