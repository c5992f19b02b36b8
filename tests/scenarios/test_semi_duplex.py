"""Replies that wait for a transcript, for any lengths, texts and draws."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import BARGE_IN, TURN
from duplexgen.pipeline.recipe.sections import Range, shape_of
from duplexgen.pipeline.scenarios.scenario import Amount, Grid, Late, Scenario
from duplexgen.pipeline.scenarios.semi_duplex import SemiDuplex, SemiDuplexTiming
from tests.scenarios.spoken import (
    RATES,
    SEEDS,
    TextIds,
    changed,
    exchanges,
    frame,
    lay,
    moved,
    spoken,
    text_ids,
    wrong,
)

SCENARIO: Scenario = SemiDuplex(SemiDuplexTiming())


def columns(end_sample: int, start_sample: int, ids: int, lead: int, spf: int) -> tuple[list[int], int, int]:
    """Where a row has `<asr>`, the transcript and `<answer>`, the first id of the reply, and its first speech.

    Frame f stands in column f + 1. end_sample: of the user's turn. start_sample: of the reply.
    """
    users_last = -(-end_sample // spf)
    speech = 1 + start_sample // spf
    return list(range(users_last + 1, users_last + 1 + ids + 2)), speech - lead, speech


@given(exchanges, text_ids, RATES, SEEDS, st.integers(0, 5))
def test_a_reply_has_exactly_the_room_that_it_needs(
    lengths_s: list[float], ids: TextIds, rate: int, seed: int, lead: int
) -> None:
    """The text of a reply starts in the column after `<answer>`, and its speech begins with a frame."""
    scenario = SemiDuplex(SemiDuplexTiming(text_lead_frames=lead))
    timeline = lay(scenario, lengths_s, rate, seed, ids)
    events, spf = timeline.events, frame(rate)
    assert [event.utterance for event in events] == list(range(len(events)))
    lengths = [event.end_sample - event.start_sample for event in events]
    assert lengths == [one.num_samples for one in spoken(lengths_s, rate)]
    for index, (before, event) in enumerate(pairwise(events)):
        if event.channel == "assistant":
            transcript, text, speech = columns(before.end_sample, event.start_sample, ids[index], lead, spf)
            assert text == transcript[-1] + 1 and speech == text + lead
            assert event.start_sample % spf == 0
            late = columns(before.end_sample, event.start_sample - 1, ids[index], lead, spf)[1]
            assert late == transcript[-1], "one sample earlier there is no room"
        else:
            assert round(0.5 * rate) <= event.start_sample - before.end_sample <= round(3.0 * rate)
    assert timeline.num_samples == events[-1].end_sample + round(0.8 * rate)
    assert [event.answers for event in events] == [index - 1 if index % 2 else None for index in range(len(events))]
    assert {(event.kind, event.cut_by, event.is_cut) for event in events} == {(TURN, None, False)}
    assert wrong(scenario, events, rate, ids) == []


@given(exchanges, text_ids, RATES, SEEDS, st.integers(0, 40))
def test_extra_frames_are_whole_and_in_their_range(
    lengths_s: list[float], ids: TextIds, rate: int, seed: int, extra: int
) -> None:
    scenario = SemiDuplex(SemiDuplexTiming(extra_delay_frames=extra))
    events = lay(scenario, lengths_s, rate, seed, ids).events
    for index in range(1, len(events), 2):
        frames, rest = divmod(events[index].start_sample, frame(rate))
        least = -(-events[index - 1].end_sample // frame(rate)) + ids[index - 1] + 4
        assert rest == 0 and least <= frames <= least + extra
    assert wrong(scenario, events, rate, ids) == []
    last = len(events) - 1
    least = -(-events[-2].end_sample // frame(rate)) + ids[last - 1] + 4
    for frames, finds in ((least - 1, 1), (least, 0), (least + extra, 0), (least + extra + 1, 1)):
        by = frames * frame(rate) - events[-1].start_sample
        assert len(wrong(scenario, moved(events, last, by), rate, ids)) == finds


def test_all_extra_frames_are_drawn() -> None:
    scenario = SemiDuplex(SemiDuplexTiming(extra_delay_frames=3))
    lengths_s, ids = [1.0, 1.0] * 6, [5] * 12
    starts = [lay(scenario, lengths_s, 16000, seed, ids).events for seed in range(20)]
    extra = {
        one[index].start_sample // 1280 - -(-one[index - 1].end_sample // 1280) - 9
        for one in starts
        for index in range(1, 12, 2)
    }
    assert extra == {0, 1, 2, 3}


@given(exchanges, text_ids, RATES, SEEDS, st.data())
def test_each_change_is_found(lengths_s: list[float], ids: TextIds, rate: int, seed: int, data: st.DataObject) -> None:
    events = lay(SCENARIO, lengths_s, rate, seed, ids).events
    index = data.draw(st.integers(0, len(events) // 2 - 1)) * 2 + 1
    question, reply = events[index - 1], events[index]
    changes = {
        "a sample late": moved(events, index, 1),
        "a sample early": moved(events, index, -1),
        "a frame late": moved(events, index, frame(rate)),
        "a frame early": moved(events, index, -frame(rate)),
        "cut": changed(events, index, whole_end_sample=reply.end_sample + 1),
        "a barge-in": changed(events, index, kind=BARGE_IN),
        "answers nothing": changed(events, index, answers=None),
        "lost": [*events[:index], *events[index + 1 :]],
        "a frame longer": changed(events, index - 1, end_sample=question.end_sample + frame(rate)),
        "the gap": moved(events, index - 1, -round(4.0 * rate)),
    }
    for what, changed_events in changes.items():
        messages = wrong(SCENARIO, changed_events, rate, [*ids, *ids])
        assert messages, what
        assert all(message.isprintable() for message in messages)
    (other,) = wrong(SCENARIO, events, rate, [count + (at == index - 1) for at, count in enumerate(ids)])
    gap = reply.start_sample - question.end_sample
    assert other == f"event {index} starts {gap} samples after the user's end, not when its transcript has been written"


def test_a_dialogue_whose_texts_are_not_known_is_not_laid_out() -> None:
    assert SCENARIO.needs_text_ids
    with pytest.raises(ValueError, match="the number of text ids of a turn is not known"):
        lay(SCENARIO, [1.0, 1.0], 16000, 0)


@given(exchanges, text_ids, RATES, SEEDS)
def test_what_is_late(lengths_s: list[float], ids: TextIds, rate: int, seed: int) -> None:
    ids = [1 + count for count in ids]  # all that is said has a text
    events, grid = lay(SCENARIO, lengths_s, rate, seed, ids).events, Grid(rate, frame(rate))
    late = SCENARIO.late(events, rate)
    gaps = [events[index].start_sample - events[index - 1].end_sample for index in range(1, len(events), 2)]
    assert late == [Late(2 * number + 1, False, gap, None) for number, gap in enumerate(gaps)]
    for number, one in enumerate(late):
        assert [*SCENARIO.check_late(one, number, grid)] == []
        assert len([*SCENARIO.check_late(one, number + 1, grid)]) == 1
        (message,) = SCENARIO.check_late(Late(one.event, False, 5 * frame(rate) - 1, None), number, grid)
        assert message.endswith("expected at least 0.4, for a transcript before the reply")
        assert len([*SCENARIO.check_late(Late(one.event, True, one.delay_samples, None), number, grid)]) == 1


@given(exchanges, text_ids, RATES, SEEDS)
def test_what_is_measured(lengths_s: list[float], ids: TextIds, rate: int, seed: int) -> None:
    events = lay(SCENARIO, lengths_s, rate, seed, ids).events
    gaps = [(event.start_sample - before.end_sample) / rate for before, event in pairwise(events)]
    names = ["reply_delay_s", *["next_turn_gap_s", "reply_delay_s"] * (len(events) // 2 - 1)]
    assert [*SCENARIO.measure(events, rate)] == list(zip(names, gaps, strict=True))


def test_the_reply_delay_changes_nothing_and_no_folder() -> None:
    one, other = SemiDuplexTiming(), SemiDuplexTiming(reply_delay_s=3.0, fade_s=0.1)
    assert shape_of(one) == shape_of(other) == {"scenario": "semi_duplex"}
    timelines = [lay(SemiDuplex(timing), [1.0, 2.0] * 3, 16000, 7, [9] * 6) for timing in (one, other)]
    assert timelines[0] == timelines[1]
    assert shape_of(SemiDuplexTiming(text_lead_frames=3)) != shape_of(one)


def test_pauses_are_estimated() -> None:
    """As long as they come out, on average, if the user's turns end anywhere in a frame."""
    scenario = SemiDuplex(
        SemiDuplexTiming(extra_delay_frames=6, next_turn_gap_s=Range(low=0.5, high=1.5), lead_in_s=Range(low=0, high=1))
    )
    ids, pauses = [11, 30] * 6, 0.0
    for seed in range(400):
        events = lay(scenario, [1.0] * 12, 16000, seed, ids).events
        pauses += sum(event.start_sample - before.end_sample for before, event in pairwise(events)) / 16000
    amount = Amount(400 * 6, {"user": 400 * 66, "assistant": 400 * 180}, 0.08)
    after_last = 400 * 1.0  # of the last reply, no turn follows
    assert scenario.pauses_s(amount) - after_last == pytest.approx(pauses, rel=0.01)
