"""Timelines of both scenarios, drawn at random."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import Role, Timeline
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.recipe.sections import Range
from duplexgen.pipeline.scenarios.section import Timing
from duplexgen.pipeline.scenarios.timing import SILENCE_AFTER_STOP_S, lay_out, talked_on

RATES = st.sampled_from([16000, 24000])
BLOCK_S = 0.8


def spoken(lengths_s: list[float], rate: int) -> list[tuple[Role, int]]:
    roles: list[Role] = ["user", "assistant"]
    return [(roles[index % 2], round(length * rate)) for index, length in enumerate(lengths_s)]


def lay(lengths_s: list[float], timing: Timing, rate: int, seed: int) -> Timeline:
    rng = generator(seed, "dialogue", "timing")
    return lay_out(spoken(lengths_s, rate), timing, rng, rate, round(BLOCK_S * rate))


exchanges = st.lists(st.floats(0.3, 20), min_size=2, max_size=12).map(lambda items: items[: len(items) // 2 * 2])


@given(exchanges, RATES, st.integers(0, 2**31))
def test_turn_taking(lengths_s: list[float], rate: int, seed: int) -> None:
    timeline = lay(lengths_s, Timing(scenario="turn_taking"), rate, seed)
    turns = timeline.placements
    assert [turn.end_sample - turn.start_sample for turn in turns] == [length for _, length in spoken(lengths_s, rate)]
    assert 0 <= turns[0].start_sample <= 0.8 * rate
    for before, turn in pairwise(turns):
        gap = turn.start_sample - before.end_sample
        if turn.role == "assistant":
            assert gap == round(0.8 * rate)
        else:
            assert 0.5 * rate <= gap <= 3.0 * rate
    assert not any(turn.interrupted for turn in turns)
    assert timeline.num_samples % round(BLOCK_S * rate) == 0
    assert round(0.8 * rate) <= timeline.num_samples - turns[-1].end_sample < 2 * round(0.8 * rate)


@given(exchanges, RATES, st.integers(0, 2**31))
def test_interruption(lengths_s: list[float], rate: int, seed: int) -> None:
    timing = Timing(scenario="interruption")
    try:
        timeline = lay(lengths_s, timing, rate, seed)
    except DialogueRejected as rejected:
        assert rejected.reason == "nothing_to_interrupt"
        return
    turns = timeline.placements
    assert any(turn.interrupted for turn in turns)
    for index, turn in enumerate(turns):
        if not turn.interrupted:
            assert turn.end_sample == turn.natural_end_sample
            continue
        barge_in = turns[index + 1].start_sample
        assert turn.reaction_samples == turn.end_sample - barge_in
        assert 0.8 * rate <= turn.reaction_samples <= 2.0 * rate
        assert barge_in - turn.start_sample >= 0.5 * rate
        assert turn.end_sample < turn.natural_end_sample
        assert turns[index + 2].start_sample == turns[index + 1].end_sample + round(0.8 * rate)
        assert turns[index + 2].start_sample - turn.end_sample >= SILENCE_AFTER_STOP_S * rate
        if turn.natural_end_sample - turn.start_sample >= 5.5 * rate:
            assert turn.natural_end_sample - barge_in >= 5.0 * rate


@given(exchanges, RATES, st.integers(0, 2**31))
def test_every_reply_that_can_be_is_interrupted(lengths_s: list[float], rate: int, seed: int) -> None:
    lengths_s = [max(length, 2.0) for length in lengths_s] + [2.0, 2.0]
    turns = lay(lengths_s, Timing(scenario="interruption"), rate, seed).placements
    assert [turn.interrupted for turn in turns] == [index % 2 == 1 for index in range(len(turns) - 1)] + [False]


@given(exchanges, RATES, st.integers(0, 2**31))
def test_slow_reactions_still_cut_something(lengths_s: list[float], rate: int, seed: int) -> None:
    """Reactions longer than the longest negative delay: the reply must still have audio left when it stops."""
    lengths_s = [length + 2.0 for length in lengths_s] + [4.0, 4.0]
    timing = Timing(scenario="interruption", reaction_delay_s=Range(low=1.5, high=6.0), longest_negative_delay_s=1.0)
    timeline = lay(lengths_s, timing, rate, seed)
    turns = timeline.placements
    assert any(turn.interrupted for turn in turns)
    assert all(turn.end_sample < turn.natural_end_sample for turn in turns if turn.interrupted)
    uncut = talked_on(timeline, rate).placements
    assert all(longer.end_sample >= turn.end_sample for longer, turn in zip(uncut, turns, strict=True))


def test_probability_chooses_some_and_at_least_one() -> None:
    def interrupted(probability: float, seed: int) -> int:
        timing = Timing(scenario="interruption", interruption_probability=probability)
        return sum(turn.interrupted for turn in lay([2.0] * 22, timing, 16000, seed).placements)

    assert [interrupted(0.0, seed) for seed in range(5)] == [1] * 5
    mean = np.mean([interrupted(0.5, seed) for seed in range(200)])
    assert 4.5 < mean < 5.5  # of ten; the standard error is 0.11


@pytest.mark.parametrize(
    "lengths_s", [[3.0, 10.0], [3.0, 1.2, 3.0, 10.0], [3.0, 10.0, 0.4, 10.0]], ids=["last", "short", "no time to stop"]
)
def test_nothing_to_interrupt(lengths_s: list[float]) -> None:
    with pytest.raises(DialogueRejected, match="nothing_to_interrupt"):
        lay(lengths_s, Timing(scenario="interruption"), 16000, 0)


def test_draws_are_uniform_over_the_recipe_s_ranges() -> None:
    timing = Timing(scenario="interruption", reaction_delay_s=Range(low=1.0, high=1.5))
    reactions = [lay([2.0, 12.0, 4.0, 4.0], timing, 16000, seed).placements[1].reaction_samples for seed in range(400)]
    drawn_s = np.array([reaction for reaction in reactions if reaction is not None]) / 16000
    assert len(drawn_s) == 400
    assert drawn_s.min() >= 1.0
    assert drawn_s.max() <= 1.5
    counts, _ = np.histogram(drawn_s, bins=4, range=(1.0, 1.5))
    assert counts.min() > 70  # 100 expected, standard deviation 8.7


def test_same_seed_same_timeline_and_other_purposes_do_not_matter() -> None:
    timing = Timing(scenario="interruption")
    assert lay([2.0, 9.0, 2.0, 3.0], timing, 16000, 5) == lay([2.0, 9.0, 2.0, 3.0], timing, 16000, 5)
    assert lay([2.0, 9.0, 2.0, 3.0], timing, 16000, 5) != lay([2.0, 9.0, 2.0, 3.0], timing, 16000, 6)
    draws = {
        purpose: generator(5, "dialogue", purpose).integers(0, 2**63) for purpose in ("timing", "user_voice", "noise")
    }
    assert len(set(draws.values())) == 3


@given(exchanges, RATES, st.integers(0, 2**31))
def test_talked_on_never_reaches_the_next_reply(lengths_s: list[float], rate: int, seed: int) -> None:
    lengths_s = [max(length, 2.0) for length in lengths_s] + [2.0, 2.0]
    timeline = lay(lengths_s, Timing(scenario="interruption"), rate, seed)
    longer = talked_on(timeline, 5 * rate)
    assert longer.num_samples == timeline.num_samples
    for index, (cut, uncut) in enumerate(zip(timeline.placements, longer.placements, strict=True)):
        if not cut.interrupted:
            assert uncut == cut
            continue
        next_reply, barge_in = timeline.placements[index + 2].start_sample, timeline.placements[index + 1].start_sample
        assert uncut.start_sample == cut.start_sample
        assert uncut.end_sample == min(cut.natural_end_sample, barge_in + 5 * rate, next_reply)
        assert uncut.end_sample >= cut.end_sample
