from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.tokens import track
from duplexgen.pipeline.tokens.track import slices


@given(st.lists(st.integers(0, 50)), st.integers(0, 100), st.integers(1, 3))
def test_slices_are_filled_and_bounded(lengths: list[int], slice_s: int, rate: int) -> None:
    """Every item is in one, in order; each is full without its next item, and not before its last one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(track, "SLICE_S", slice_s)
        found = list(slices(iter(lengths), lambda length: length, rate))
    assert [length for items in found for length in items] == lengths
    assert all(found)
    assert all(sum(items[:-1]) < slice_s * rate for items in found if len(items) > 1)
    assert all(sum(items) >= slice_s * rate for items in found[:-1])


def test_a_slice_is_given_before_more_items_are_made() -> None:
    """Else all of a partition would be held."""
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(9):
            taken.append(number)
            yield number

    first = next(slices(items(), lambda _: 600, 1))
    assert first == taken == [0, 1]
