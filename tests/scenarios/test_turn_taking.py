"""Timelines of turns that follow each other, for any lengths and draws."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import BARGE_IN, TURN
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.recipe.sections import Range
from duplexgen.pipeline.scenarios.scenario import Late, Scenario
from duplexgen.pipeline.scenarios.turn_taking import TurnTaking, TurnTakingTiming
from tests.scenarios.spoken import RATES, SEEDS, changed, exchanges, lay, moved, spoken, wrong

SCENARIO: Scenario = TurnTaking(TurnTakingTiming(scenario="turn_taking"))


@given(exchanges, RATES, SEEDS)
def test_every_gap_is_in_its_range(lengths_s: list[float], rate: int, seed: int) -> None:
    timeline = lay(SCENARIO, lengths_s, rate, seed)
    events = timeline.events
    assert [event.utterance for event in events] == list(range(len(events)))
    assert [event.end_sample - event.start_sample for event in events] == [
        one.num_samples for one in spoken(lengths_s, rate)
    ]
    assert 0 <= events[0].start_sample <= round(0.8 * rate)
    for before, event in pairwise(events):
        gap = event.start_sample - before.end_sample
        if event.channel == "assistant":
            assert gap == round(0.8 * rate)
        else:
            assert round(0.5 * rate) <= gap <= round(3.0 * rate)
    assert timeline.num_samples == events[-1].end_sample + round(0.8 * rate)


@given(exchanges, RATES, SEEDS)
def test_replies_answer_and_nothing_is_cut(lengths_s: list[float], rate: int, seed: int) -> None:
    events = lay(SCENARIO, lengths_s, rate, seed).events
    assert [event.answers for event in events] == [index - 1 if index % 2 else None for index in range(len(events))]
    assert {(event.kind, event.cut_by, event.is_cut) for event in events} == {(TURN, None, False)}
    assert wrong(SCENARIO, events, rate) == []


@given(exchanges, RATES, SEEDS, st.data())
def test_each_change_is_found(lengths_s: list[float], rate: int, seed: int, data: st.DataObject) -> None:
    events = lay(SCENARIO, lengths_s, rate, seed).events
    index = data.draw(st.integers(0, len(events) - 1))
    event = events[index]
    changes = {
        "channel": changed(events, index, channel="assistant" if event.channel == "user" else "user"),
        "kind": changed(events, index, kind=BARGE_IN),
        "answers": changed(events, index, answers=index - 2 if event.answers is not None else 0),
        "cut": changed(events, index, whole_end_sample=event.end_sample + 1),
        "lost": [*events[:index], *events[index + 1 :]],
        "twice": [*events[: index + 1], *events[index:]],
        "late": moved(events, index, round(4.0 * rate)),
        "early": moved(events, index, -round(4.0 * rate)),
    }
    if event.channel == "user":
        changes["ends elsewhere"] = changed(events, index, end_sample=event.end_sample + 1)
    for what, changed_events in changes.items():
        messages = wrong(SCENARIO, changed_events, rate)
        assert messages, what
        assert all(message.isprintable() for message in messages)
    assert wrong(SCENARIO, [], rate) == ["turns do not alternate from user to assistant"]


@given(exchanges, RATES, SEEDS)
def test_every_reply_may_be_late_by_any_time(lengths_s: list[float], rate: int, seed: int) -> None:
    events = lay(SCENARIO, lengths_s, rate, seed).events
    assert SCENARIO.late(events, rate) == [
        Late(index, False, round(0.8 * rate), None) for index in range(1, len(events), 2)
    ]


@given(exchanges, RATES, SEEDS)
def test_what_is_measured(lengths_s: list[float], rate: int, seed: int) -> None:
    events = lay(SCENARIO, lengths_s, rate, seed).events
    figures = [*SCENARIO.measure(events, rate)]
    names = [name for name, _ in figures]
    assert names == ["reply_delay_s", *["next_turn_gap_s", "reply_delay_s"] * (len(events) // 2 - 1)]
    gaps = [(event.start_sample - before.end_sample) / rate for before, event in pairwise(events)]
    assert [value for _, value in figures] == gaps


def test_times_of_the_recipe_are_kept() -> None:
    timing = TurnTakingTiming(
        scenario="turn_taking",
        lead_in_s=Range(low=1.0, high=1.0),
        reply_delay_s=0.25,
        next_turn_gap_s=Range(low=0.5, high=0.5),
        tail_s=2.0,
    )
    timeline = lay(TurnTaking(timing), [1.0, 2.0, 3.0, 4.0], 16000, 0)
    spans = [(event.start_sample / 16000, event.end_sample / 16000) for event in timeline.events]
    assert spans == [(1.0, 2.0), (2.25, 4.25), (4.75, 7.75), (8.0, 12.0)]
    assert timeline.num_samples == 14 * 16000


def test_same_seed_same_timeline_and_other_purposes_do_not_matter() -> None:
    lengths_s = [2.0, 9.0, 2.0, 3.0]
    assert lay(SCENARIO, lengths_s, 16000, 5) == lay(SCENARIO, lengths_s, 16000, 5)
    assert lay(SCENARIO, lengths_s, 16000, 5) != lay(SCENARIO, lengths_s, 16000, 6)
    draws = {
        purpose: generator(5, "dialogue", purpose).integers(0, 2**63) for purpose in ("timing", "user_voice", "noise")
    }
    assert len(set(draws.values())) == 3


@pytest.mark.parametrize("gap", [-1, 1])
def test_edges_of_a_range_are_in_it(gap: int) -> None:
    scenario = TurnTaking(TurnTakingTiming(scenario="turn_taking", next_turn_gap_s=Range(low=1.0, high=1.0)))
    events = lay(scenario, [1.0] * 4, 16000, 0).events
    assert wrong(scenario, events, 16000) == []
    (message,) = wrong(scenario, moved(events, 2, gap), 16000)
    assert message == f"event 2 starts {16000 + gap} samples after the assistant's end, outside next_turn_gap_s"
