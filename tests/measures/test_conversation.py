"""IPUs, pauses, gaps, overlaps and floor transfer offsets, on segments whose turn-taking is known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.measures.conversation import IPU_SILENCE_S, Conversation, conversation

STEP_S = 1 / 16  # of the grid on which drawn segments lie; sums of it are exact
Segments = list[tuple[float, float]]


def of(first: Segments, second: Segments) -> Conversation:
    return conversation((first, second), 60.0)


def rounded(values: tuple[float, ...]) -> list[float]:
    return [round(value, 6) for value in values]


def test_a_gap_is_a_silence_at_a_change_of_speaker() -> None:
    found = of([(0, 2), (6, 7)], [(2.3, 5)])
    assert rounded(found.gaps_s) == [0.3, 1.0] == rounded(found.offsets_s)
    assert (found.pauses_s, found.overlaps_s) == ((), ())


def test_a_pause_is_a_silence_within_a_turn() -> None:
    found = of([(0, 2), (2.5, 3)], [(4, 5)])
    assert rounded(found.pauses_s) == [0.5]
    assert rounded(found.gaps_s) == [1.0]


@pytest.mark.parametrize(("silence_s", "ipus"), [(0.19, 1), (0.21, 2)])
def test_an_ipu_is_bounded_by_200_ms_of_silence(silence_s: float, ipus: int) -> None:
    found = of([(0, 2), (2 + silence_s, 3)], [])
    assert len(found.ipus_s) == ipus and len(found.pauses_s) == ipus - 1


def test_an_overlap_that_passes_the_floor_is_a_negative_offset() -> None:
    found = of([(0, 2)], [(1.7, 4)])
    assert rounded(found.overlaps_s) == [0.3]
    assert rounded(found.offsets_s) == [-0.3]


def test_a_backchannel_is_an_overlap_that_passes_no_floor() -> None:
    found = of([(0, 5), (5.4, 6)], [(2, 2.5)])
    assert rounded(found.overlaps_s) == [0.5]
    assert (found.offsets_s, found.gaps_s) == ((), ())
    assert rounded(found.pauses_s) == [0.4]


def test_who_speaks_in_a_pause_of_the_other_takes_the_floor() -> None:
    found = of([(0, 2), (4, 6)], [(2.5, 3)])
    assert rounded(found.gaps_s) == [0.5, 1.0] and found.pauses_s == ()


def test_nobody_waits_where_a_turn_starts_as_the_other_ends() -> None:
    assert of([(0, 2)], [(2, 4)]).offsets_s == (0.0,)


def test_silence_alone() -> None:
    assert of([], []) == Conversation(60.0, (), (), (), (), ())


segments = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=20).map(
    lambda spans: [(start * STEP_S, (start + length) * STEP_S) for start, length in spans]
)


def speaking(spans: Segments) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """On the grid, with silences of less than 200 ms filled."""
    grid = np.zeros(500, np.bool_)
    for start, end in spans:
        grid[round(start / STEP_S) : round(end / STEP_S)] = True
    sounding = np.flatnonzero(grid)
    for before, after in pairwise(sounding):
        if (after - before - 1) * STEP_S < IPU_SILENCE_S - 1e-9:
            grid[before:after] = True
    return grid


@given(segments, segments)
def test_all_time_between_the_first_and_the_last_sound_is_told_apart(first: Segments, second: Segments) -> None:
    found, (left, right) = of(first, second), (speaking(first), speaking(second))
    sounding = np.flatnonzero(left | right)
    silent = len(range(sounding[0], sounding[-1] + 1)) - len(sounding) if len(sounding) else 0
    assert sum(found.ipus_s) == pytest.approx((left.sum() + right.sum()) * STEP_S)
    assert sum(found.overlaps_s) == pytest.approx((left & right).sum() * STEP_S)
    assert sum(found.pauses_s) + sum(found.gaps_s) == pytest.approx(silent * STEP_S)


@given(segments, segments)
def test_speakers_and_the_order_of_segments_may_be_exchanged(first: Segments, second: Segments) -> None:
    found, other = of(first, second), of(second[::-1], first)
    assert sorted(found.ipus_s) == sorted(other.ipus_s)
    assert sorted(found.overlaps_s) == sorted(other.overlaps_s)
    assert found.length_s == other.length_s
