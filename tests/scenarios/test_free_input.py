"""Timelines in which the user may speak at any time, for any lengths and draws."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import TURN
from duplexgen.pipeline.scenarios.barge_in import SILENCE_AFTER_STOP_S
from duplexgen.pipeline.scenarios.free_input import FreeInput, FreeInputTiming
from duplexgen.pipeline.scenarios.interruption import Interruption, InterruptionTiming
from duplexgen.pipeline.scenarios.scenario import Grid, Late, Scenario
from tests.scenarios.spoken import (
    RATES,
    SEEDS,
    assert_turns_are_whole,
    changed,
    exchanges,
    frame,
    lay,
    moved,
    wrong,
)

SCENARIO: Scenario = FreeInput(FreeInputTiming())


@given(exchanges, RATES, SEEDS)
def test_every_cut_is_as_the_paper_has_it(lengths_s: list[float], rate: int, seed: int) -> None:
    timeline = lay(SCENARIO, lengths_s, rate, seed)
    events = timeline.events
    for index, event in enumerate(events):
        if event.cut_by is None:
            assert event.end_sample == event.whole_end_sample
            continue
        assert (event.channel, event.cut_by) == ("assistant", index + 1)
        barge_in, answer = events[index + 1], events[index + 2]
        assert event.end_sample - barge_in.start_sample == round(0.5 * rate)
        assert barge_in.start_sample - event.start_sample >= round(0.5 * rate)
        assert event.end_sample < event.whole_end_sample
        assert answer.answers == index + 1
        assert answer.start_sample - event.end_sample >= round(SILENCE_AFTER_STOP_S * rate)
    assert_turns_are_whole(timeline, lengths_s, rate)
    assert wrong(SCENARIO, events, rate) == []


@given(exchanges, RATES, SEEDS)
def test_text_that_leads_by_two_frames_starts_after_the_user_s_end(
    lengths_s: list[float], rate: int, seed: int
) -> None:
    """In the next column, or the one after that if the user ends with a frame. Frame f stands in column f + 1."""
    events, spf = lay(SCENARIO, lengths_s, rate, seed).events, frame(rate)
    for before, event in pairwise(events):
        if event.channel == "assistant":
            users_last = -(-before.end_sample // spf)
            first_text = 1 + event.start_sample // spf - 2
            assert first_text == users_last + 1 + (before.end_sample % spf == 0)


@given(st.floats(0.3, 20), st.floats(0.3, 1.5), RATES, SEEDS)
def test_dialogues_that_nobody_can_interrupt_are_kept(user_s: float, reply_s: float, rate: int, seed: int) -> None:
    """Of one exchange, and of replies that are too short: less than 0.5 s that are heard, and 0.5 s that are cut."""
    for lengths_s in ([user_s, reply_s * 10], [user_s, min(reply_s, 1.0), user_s, reply_s]):
        events = lay(SCENARIO, lengths_s, rate, seed).events
        assert not any(event.is_cut for event in events)
        assert wrong(SCENARIO, events, rate) == []


def test_seven_in_ten_replies_are_cut_each_by_itself() -> None:
    laid_out = [lay(SCENARIO, [2.0, 4.0] * 6, 16000, seed).events for seed in range(1000)]
    cut = np.array([[event.is_cut for event in events if event.channel == "assistant"] for events in laid_out])
    assert not cut[:, -1].any(), "nothing follows the last reply"
    assert abs(cut[:, :-1].mean() - 0.7) < 0.025  # of 5,000; the standard error is 0.0065
    assert abs((~cut).all(axis=1).mean() - 0.3**5) < 0.01  # 2.4 of 1,000 dialogues, with a standard error of 1.6
    together = np.corrcoef(cut[:, :-1].T)
    assert np.abs(together - np.eye(5)).max() < 0.15


def test_barge_ins_come_at_any_time_of_a_reply() -> None:
    """From half a second after its start to half a second before its end."""
    laid_out = [lay(SCENARIO, [2.0, 11.0, 2.0, 2.0], 16000, seed).events for seed in range(1000)]
    cut = [events for events in laid_out if events[1].is_cut]
    places_s = np.array([events[2].start_sample - events[1].start_sample for events in cut]) / 16000
    assert places_s.min() >= 0.5 and places_s.max() < 10.5
    counts, _ = np.histogram(places_s, bins=5, range=(0.5, 10.5))
    assert counts.min() > 100  # 140 expected, standard deviation 10.6


@given(exchanges, RATES, SEEDS, st.data())
def test_each_change_is_found(lengths_s: list[float], rate: int, seed: int, data: st.DataObject) -> None:
    timing = FreeInputTiming(interruption_probability=1.0)
    lengths_s = [*(max(length, 2.0) for length in lengths_s), 2.0, 2.0]
    events = lay(FreeInput(timing), lengths_s, rate, seed).events
    index = data.draw(st.sampled_from(range(1, len(events) - 2, 2)))
    reply, barge_in = events[index], events[index + 1]
    changes = {
        "stops at once": changed(events, index, end_sample=barge_in.start_sample + 1),
        "stops a sample late": changed(events, index, end_sample=reply.end_sample + 1),
        "cut by nobody": changed(events, index, cut_by=None),
        "cut by its question": changed(events, index, cut_by=index - 1),
        "a turn": changed(events, index + 1, kind=TURN),
        "the user is cut": changed(events, index + 1, cut_by=index + 2),
        "answered late": moved(events, index + 2, 1),
        "comes in early": moved(events, index + 1, -1),
        "lost": [*events[:index], *events[index + 1 :]],
    }
    for what, changed_events in changes.items():
        messages = wrong(SCENARIO, changed_events, rate)
        assert messages, what
        assert all(message.isprintable() for message in messages)


@given(exchanges, RATES, SEEDS)
def test_replies_are_late_in_the_way_that_they_can_be(lengths_s: list[float], rate: int, seed: int) -> None:
    events, grid = lay(SCENARIO, lengths_s, rate, seed).events, Grid(rate, frame(rate))
    lates = SCENARIO.late(events, rate)
    assert [late.event for late in lates] == list(range(1, len(events), 2))
    for number, late in enumerate(lates):
        reply = events[late.event]
        assert late.stops == reply.is_cut
        if late.stops:
            assert late.delay_samples == round(0.5 * rate)
            assert late.most_samples == reply.whole_end_sample - events[late.event + 1].start_sample
        else:
            assert (late.delay_samples, late.most_samples) == (round(0.24 * rate), None)
        assert [*SCENARIO.check_late(late, number, grid)] == []
        for wrong_late in (
            Late(late.event, late.stops, late.delay_samples + 1, None),
            Late(late.event, not late.stops, late.delay_samples, None),
            Late(late.event + 1, late.stops, late.delay_samples, None),
            Late(late.event + 2, late.stops, late.delay_samples, None),
        ):
            assert len([*SCENARIO.check_late(wrong_late, number, grid)]) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_reply_is_cut_as_in_interruption(seed: int) -> None:
    """With the same times and with certainty, both scenarios draw the same."""
    of_interruption = InterruptionTiming()
    fields = of_interruption.model_dump(exclude={"scenario"})
    timing = FreeInputTiming.model_validate(fields)
    lengths_s = [3.0, 9.0, 2.0, 6.0, 2.0, 8.0]
    one = lay(Interruption(of_interruption), lengths_s, 16000, seed)
    assert one == lay(FreeInput(timing), lengths_s, 16000, seed)
