"""Names of takes."""

from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.stages.takes import take_id, take_of


def test_the_first_take_is_the_dialogue() -> None:
    assert [take_id("a#1", take) for take in range(3)] == ["a#1", "a#1~1", "a#1~2"]


@given(st.text(min_size=1), st.integers(1, 10_000))
def test_a_take_names_its_dialogue(name: str, take: int) -> None:
    assert take_of(take_id(name, take)) == name


def test_what_no_take_is_named() -> None:
    assert [take_of(name) for name in ("a", "a~", "a~0", "a~01", "~1", "a~1b", "a~-1", "a~\u0661")] == [None] * 8
