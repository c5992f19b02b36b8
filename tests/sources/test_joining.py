"""Rows of one exchange joined to dialogues of several."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import CHANNELS, Dialogue, Rejection, Turn
from duplexgen.pipeline.sources.reading import JOINED, Item, LeftOut, Read, joined

REJECTED = Rejection("s.jsonl:1", "source", "no_reply", "")


def read(name: str, exchanges: int = 1, *notes: str) -> Read:
    turns = [Turn(role, f"{name} {number}") for number in range(exchanges) for role in CHANNELS]
    return Read(Dialogue(name, "s", "en", tuple(turns)), notes)


def shown(items: Sequence[Item]) -> list[str]:
    return [item.dialogue.id if isinstance(item, Read) else type(item).__name__ for item in items]


def test_neighbours_become_one_dialogue() -> None:
    first, second = joined([read(name) for name in "abcd"], 2)
    assert isinstance(first, Read)
    assert (first.dialogue.id, first.dialogue.source, first.dialogue.language) == ("a+b", "s", "en")
    assert [turn.text for turn in first.dialogue.turns] == ["a 0", "a 0", "b 0", "b 0"]
    assert [turn.role for turn in first.dialogue.turns] == ["user", "assistant"] * 2
    assert first.notes == (JOINED,)
    assert shown([second]) == ["c+d"]


@pytest.mark.parametrize(
    ("exchanges", "expected"), [(1, ["a", "b", "c"]), (2, ["a+b", "c"]), (3, ["a+b+c"]), (4, ["a+b+c"])]
)
def test_what_is_left_over_is_a_shorter_dialogue(exchanges: int, expected: list[str]) -> None:
    assert shown(list(joined([read(name) for name in "abc"], exchanges))) == expected


def test_all_but_dialogues_of_one_exchange_pass_between_neighbours() -> None:
    items: list[Item] = [read("a"), read("long", 2), REJECTED, LeftOut(), read("b"), read("c")]
    assert shown(list(joined(items, 2))) == ["long", "Rejection", "LeftOut", "a+b", "c"]
    assert list(joined([read("long", 3)], 2)) == [read("long", 3)]


def test_notes_are_kept() -> None:
    (item,) = joined([read("a", 1, "x"), read("b", 1, "x", "y")], 2)
    assert isinstance(item, Read)
    assert Counter(item.notes) == {"x": 2, "y": 1, JOINED: 1}


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 5))
def test_every_row_is_accounted_for(exchanges: list[int], join: int) -> None:
    """Each number is a row: of so many exchanges, or rejected if none."""
    rows = [read(f"row {n}", count) if count else REJECTED for n, count in enumerate(exchanges)]
    made = list(joined(rows, join))
    notes = sum(item.notes.count(JOINED) for item in made if isinstance(item, Read))
    assert len(made) + notes == len(rows)
    turns = Counter(turn for item in made if isinstance(item, Read) for turn in item.dialogue.turns)
    assert turns == Counter(turn for row in rows if isinstance(row, Read) for turn in row.dialogue.turns)
