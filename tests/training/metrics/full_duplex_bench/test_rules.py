"""The rules of Full-Duplex-Bench, on cases worked out by hand."""

import math

import pytest

from duplexgen.training.metrics.full_duplex_bench.rules import (
    Chunk,
    Speech,
    backchannels,
    divergence,
    intervals,
)


def words(*times_s: tuple[float, float]) -> Speech:
    return Speech(tuple(Chunk("word", *one) for one in times_s), are_words=True)


def segments(*times_s: tuple[float, float]) -> Speech:
    return Speech(tuple(Chunk("", *one) for one in times_s), are_words=False)


NOTHING = words()


@pytest.mark.parametrize(
    ("speech", "is_turn"),
    [
        (NOTHING, False),
        (words((2.0, 2.9)), False),
        (words((2.0, 3.0)), True),  # one word of 1 s
        (words((2.0, 2.2), (2.3, 2.5), (2.6, 2.9)), False),  # three words
        (words((2.0, 2.2), (2.2, 2.4), (2.4, 2.6), (2.6, 2.9)), True),  # four
        (words((2.0, 2.2), (4.0, 4.1)), True),  # from the first to the last, silence included
        (segments((2.0, 2.2), (2.2, 2.4), (2.4, 2.6), (2.6, 2.9)), False),  # no words, so only the duration counts
        (segments((2.0, 3.0)), True),
    ],
)
def test_what_is_a_turn(speech: Speech, is_turn: bool) -> None:
    assert speech.takes_turn is is_turn


def test_latency_is_counted_from_the_first_word_of_a_turn() -> None:
    turn = words((2.5, 2.7), (3.0, 4.0))
    assert turn.latency_s(2.0) == 0.5
    assert turn.latency_s(3.0) == 0, "a start before the user's end"
    assert words((2.5, 2.7)).latency_s(2.0) is None and NOTHING.latency_s(2.0) is None


@pytest.mark.parametrize(
    ("word", "is_in"),
    [
        ((1.0, 2.0), True),
        ((1.2, 1.4), True),
        ((0.5, 1.1), True),
        ((1.9, 2.5), True),
        ((0.5, 2.5), True),
        ((2.0, 2.5), True),  # starts at the end
        ((0.5, 1.0), False),  # ends at the start
        ((2.1, 2.5), False),
        ((1.0, 1.0), True),  # without a length
    ],
)
def test_words_of_a_segment(word: tuple[float, float], is_in: bool) -> None:
    assert words(word).words_in(1.0, 2.0) == is_in
    assert segments(word).words_in(1.0, 2.0) is None


def test_backchannels() -> None:
    short = (1.0, 1.5)
    heard = backchannels([short], words((1.1, 1.4)), 10.0)
    assert (heard.takes_turn, heard.segments_s, heard.per_s) == (False, (short,), 0.1)
    assert not backchannels([], NOTHING, 10.0).takes_turn and backchannels([], NOTHING, 10.0).per_s == 0
    assert not backchannels([short], words((1.0, 1.2), (1.2, 1.5)), 10.0).takes_turn
    assert backchannels([short], words((1.0, 1.2), (1.2, 1.4), (1.4, 1.5)), 10.0).takes_turn, "three words"
    for at_1_s in (words((1.0, 2.0)), segments((1.0, 2.0))):
        one = backchannels([(1.0, 2.0)], at_1_s, 10.0)
        assert one.takes_turn and one.per_s == 0.1, "a turn of less than 3 s is counted all the same"


def test_the_last_segment_decides_and_a_long_one_ends_the_count() -> None:
    assert not backchannels([(1.0, 3.0), (5.0, 5.5)], NOTHING, 10.0).takes_turn
    assert backchannels([(1.0, 1.5), (5.0, 7.0)], NOTHING, 10.0).takes_turn
    long = backchannels([(0.0, 0.5), (1.0, 4.1), (5.0, 5.2)], NOTHING, 10.0)
    assert long.takes_turn and long.segments_s == ((0.0, 0.5),)
    assert not backchannels([(1.0, 4.0), (5.0, 5.2)], NOTHING, 10.0).takes_turn, "3 s are not more than 3 s"


def test_the_divergence_from_people() -> None:
    """In two windows, (1, 0) beside (1/2, 1/2): the mean is (3/4, 1/4)."""
    of_one = math.log(4 / 3)
    of_half = (math.log(2 / 3) + math.log(2)) / 2
    heard = backchannels([(0.0, 0.1)], NOTHING, 0.39)
    assert divergence(heard, [0.5, 0.5]) == pytest.approx(math.sqrt((of_one + of_half) / 2), abs=1e-6)
    assert divergence(heard, [1.0, 0.0]) == pytest.approx(0, abs=1e-3)
    assert divergence(backchannels([], NOTHING, 0.39), [0.5, 0.5]) == 1.0


def test_the_times_of_people_are_stretched_over_the_item() -> None:
    """Three windows, of which the backchannel has the last two: people's (0, 1) becomes (0, 1/2, 1), or 1/3 and 2/3."""
    heard = backchannels([(0.25, 0.45)], NOTHING, 0.5)
    middle = [(1 / 2 + 1 / 3) / 2, (1 / 2 + 2 / 3) / 2]
    ours = sum(0.5 * math.log(0.5 / one) for one in middle)
    theirs = sum(one * math.log(one / other) for one, other in zip((1 / 3, 2 / 3), middle, strict=True))
    assert divergence(heard, [0, 1]) == pytest.approx(math.sqrt((ours + theirs) / 2), abs=1e-4)


def test_intervals() -> None:
    found = intervals([(0.0, 1.0), (4.0, 5.0)], [(1.5, 4.4), (5.6, 7.0)])
    assert found.overlaps_s == [(4.0, 4.4)] and found.gaps_s == [(1.0, 1.5), (5.0, 5.6)]
    assert found.stop_latency_s(4.0, 5.0) == pytest.approx(0.4)
    assert found.response_latency_s(4.0) == pytest.approx(0.6), "and not that of the turn before"
    assert found.stop_latency_s(0.5, 3.0) is None and found.response_latency_s(5.5) is None


def test_pauses_are_no_ends() -> None:
    """0.5 s within the user's speech, 0.4 s within the model's."""
    found = intervals([(0.0, 2.0), (2.5, 3.0)], [(2.8, 3.4), (3.8, 5.0)])
    assert found.overlaps_s == [(2.8, 3.0)] and found.gaps_s == []


def test_a_gap_starts_at_the_users_last_end() -> None:
    assert intervals([(0.0, 1.0), (2.0, 3.0)], [(3.5, 4.0)]).gaps_s == [(3.0, 3.5)]
    assert intervals([(0.0, 1.0)], []).gaps_s == [] and intervals([], [(0.0, 1.0)]).overlaps_s == []
