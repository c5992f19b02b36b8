"""Timelines in which the user interrupts replies, for any lengths and draws."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import TURN, Event, Timeline
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.recipe.sections import Range
from duplexgen.pipeline.scenarios.barge_in import SILENCE_AFTER_STOP_S
from duplexgen.pipeline.scenarios.interruption import Interruption, InterruptionTiming
from duplexgen.pipeline.scenarios.scenario import Late, Scenario
from tests.scenarios.spoken import RATES, SEEDS, assert_turns_are_whole, changed, exchanges, lay, moved, wrong

SCENARIO: Scenario = Interruption(InterruptionTiming(scenario="interruption"))


def long_enough(lengths_s: list[float]) -> list[float]:
    """Lengths with which every reply but the last can be cut."""
    return [*(max(length, 2.0) for length in lengths_s), 2.0, 2.0]


def reactions(events: tuple[Event, ...]) -> list[int]:
    """Samples from each barge-in to the stop."""
    return [event.end_sample - events[event.cut_by].start_sample for event in events if event.cut_by is not None]


def check_one(timeline: Timeline, rate: int) -> None:
    events = timeline.events
    for index, event in enumerate(events):
        if event.cut_by is None:
            assert event.end_sample == event.whole_end_sample
            continue
        assert (event.channel, event.cut_by) == ("assistant", index + 1)
        barge_in = events[event.cut_by].start_sample
        assert round(0.8 * rate) <= event.end_sample - barge_in <= round(2.0 * rate)
        assert barge_in - event.start_sample >= round(0.5 * rate)
        assert event.end_sample < event.whole_end_sample
        answer = events[index + 2]
        assert answer.start_sample == events[index + 1].end_sample + round(0.8 * rate)
        assert answer.start_sample - event.end_sample >= round(SILENCE_AFTER_STOP_S * rate)
        if event.whole_end_sample - event.start_sample >= round(5.0 * rate) + round(0.5 * rate):
            assert event.whole_end_sample - barge_in >= round(5.0 * rate)


@given(exchanges, RATES, SEEDS)
def test_every_cut_is_as_the_paper_has_it(lengths_s: list[float], rate: int, seed: int) -> None:
    try:
        timeline = lay(SCENARIO, lengths_s, rate, seed)
    except DialogueRejected as rejected:
        assert rejected.reason == "nothing_to_interrupt"
        return
    events = timeline.events
    assert any(event.is_cut for event in events)
    check_one(timeline, rate)
    assert_turns_are_whole(timeline, lengths_s, rate)
    assert wrong(SCENARIO, events, rate) == []


@given(exchanges, RATES, SEEDS)
def test_every_reply_that_can_be_is_cut(lengths_s: list[float], rate: int, seed: int) -> None:
    events = lay(SCENARIO, long_enough(lengths_s), rate, seed).events
    assert [event.is_cut for event in events] == [index % 2 == 1 for index in range(len(events) - 1)] + [False]


@given(exchanges, RATES, SEEDS, st.data())
def test_each_change_is_found(lengths_s: list[float], rate: int, seed: int, data: st.DataObject) -> None:
    events = lay(SCENARIO, long_enough(lengths_s), rate, seed).events
    index = data.draw(st.sampled_from(range(1, len(events) - 2, 2)))
    reply, barge_in = events[index], events[index + 1]
    whole = [
        Event(one.utterance, one.channel, one.kind, one.start_sample, one.end_sample, one.end_sample, one.answers)
        for one in events
    ]
    reaction = reply.end_sample - barge_in.start_sample
    changes = {
        "whole": whole,
        "cut by nobody": changed(events, index, cut_by=None),
        "cut by its question": changed(events, index, cut_by=index - 1),
        "stops at once": changed(events, index, end_sample=barge_in.start_sample + 1),
        "stops late": changed(events, index, end_sample=reply.end_sample + round(2 * rate)),
        "a turn": changed(events, index + 1, kind=TURN),
        "the user is cut": changed(events, index + 1, cut_by=index + 2),
        "answers what it cuts": changed(events, index + 1, answers=index),
        "comes in at once": moved(changed(events, index, end_sample=reply.start_sample + reaction), index + 1,
                                  reply.start_sample - barge_in.start_sample),
        "answered late": moved(events, index + 2, 1),
        "lost": [*events[:index], *events[index + 1 :]],
    }  # fmt: skip
    for what, changed_events in changes.items():
        assert wrong(SCENARIO, changed_events, rate), what


@given(exchanges, RATES, SEEDS)
def test_a_reply_that_was_cut_may_stop_late_as_far_as_it_goes(lengths_s: list[float], rate: int, seed: int) -> None:
    events = lay(SCENARIO, long_enough(lengths_s), rate, seed).events
    late = SCENARIO.late(events, rate)
    assert [one.event for one in late] == [index for index, event in enumerate(events) if event.is_cut]
    for one, reaction in zip(late, reactions(events), strict=True):
        whole = events[one.event].whole_end_sample - events[one.event + 1].start_sample
        assert one == Late(one.event, True, reaction, whole)
        assert one.most_samples is not None and one.delay_samples < one.most_samples


@given(exchanges, RATES, SEEDS)
def test_what_is_measured(lengths_s: list[float], rate: int, seed: int) -> None:
    events = lay(SCENARIO, long_enough(lengths_s), rate, seed).events
    figures = [*SCENARIO.measure(events, rate)]
    assert [value for name, value in figures if name == "reaction_delay_s"] == [one / rate for one in reactions(events)]
    replies = [(event, before) for before, event in pairwise(events) if event.channel == "assistant"]
    delays = [(event.start_sample - before.end_sample) / rate for event, before in replies]
    assert [value for name, value in figures if name == "reply_delay_s"] == delays
    assert not [name for name, _ in figures if name == "next_turn_gap_s"], "every turn comes into a reply"


@given(exchanges, RATES, SEEDS)
def test_slow_reactions_still_cut_something(lengths_s: list[float], rate: int, seed: int) -> None:
    """Reactions longer than the longest negative delay: the reply must still have audio left when it stops."""
    timing = InterruptionTiming(
        scenario="interruption", reaction_delay_s=Range(low=1.5, high=6.0), longest_negative_delay_s=1.0
    )
    events = lay(Interruption(timing), [*(length + 2.0 for length in lengths_s), 4.0, 4.0], rate, seed).events
    assert any(event.is_cut for event in events)
    assert all(event.end_sample < event.whole_end_sample for event in events if event.cut_by is not None)
    assert wrong(Interruption(timing), events, rate) == []


def test_probability_chooses_some_and_at_least_one() -> None:
    def cut(probability: float, seed: int) -> int:
        scenario = Interruption(InterruptionTiming(scenario="interruption", interruption_probability=probability))
        return sum(event.is_cut for event in lay(scenario, [2.0] * 22, 16000, seed).events)

    assert [cut(0.0, seed) for seed in range(5)] == [1] * 5
    mean = np.mean([cut(0.5, seed) for seed in range(200)])
    assert 4.5 < mean < 5.5  # of ten; the standard error is 0.11


@pytest.mark.parametrize(
    "lengths_s", [[3.0, 10.0], [3.0, 1.2, 3.0, 10.0], [3.0, 10.0, 0.4, 10.0]], ids=["last", "short", "no time to stop"]
)
def test_nothing_to_interrupt(lengths_s: list[float]) -> None:
    with pytest.raises(DialogueRejected, match="nothing_to_interrupt"):
        lay(SCENARIO, lengths_s, 16000, 0)


def test_draws_are_uniform_over_the_recipe_s_ranges() -> None:
    scenario = Interruption(InterruptionTiming(scenario="interruption", reaction_delay_s=Range(low=1.0, high=1.5)))
    events = [lay(scenario, [2.0, 12.0, 4.0, 4.0], 16000, seed).events for seed in range(400)]
    drawn_s = np.array([reactions(one)[0] for one in events]) / 16000
    assert drawn_s.min() >= 1.0
    assert drawn_s.max() <= 1.5
    counts, _ = np.histogram(drawn_s, bins=4, range=(1.0, 1.5))
    assert counts.min() > 70  # 100 expected, standard deviation 8.7
