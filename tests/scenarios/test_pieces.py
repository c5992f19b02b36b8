"""All utterances of a dialogue on one channel, for any lengths, texts and draws."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import BARGE_IN, CHANNELS, TURN, Role
from duplexgen.pipeline.recipe.sections import Range, shape_of
from duplexgen.pipeline.scenarios.pieces import Pieces, PiecesTiming
from duplexgen.pipeline.scenarios.scenario import Amount, Grid, Late, Scenario
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

SPEAKING: Scenario = Pieces(PiecesTiming())
HEARD: Scenario = Pieces(PiecesTiming(channel="user"))
scenarios = st.sampled_from([SPEAKING, HEARD])


def known(scenario: Scenario, ids: TextIds) -> TextIds | None:
    """The ids that a scenario is told."""
    return ids if scenario.needs_text_ids else None


@given(exchanges, text_ids, RATES, SEEDS, scenarios)
def test_nothing_overlaps_and_nothing_is_answered(
    lengths_s: list[float], ids: TextIds, rate: int, seed: int, scenario: Scenario
) -> None:
    timeline = lay(scenario, lengths_s, rate, seed, known(scenario, ids))
    events, channel = timeline.events, "user" if scenario is HEARD else "assistant"
    assert [event.utterance for event in events] == list(range(len(lengths_s)))
    lengths = [event.end_sample - event.start_sample for event in events]
    assert lengths == [one.num_samples for one in spoken(lengths_s, rate)]
    stands = {(event.channel, event.kind, event.answers, event.cut_by, event.is_cut) for event in events}
    assert stands == {(channel, TURN, None, None, False)}
    assert round(0.16 * rate) <= events[0].start_sample <= round(0.8 * rate)
    assert all(event.start_sample - before.end_sample >= round(0.5 * rate) for before, event in pairwise(events))
    assert timeline.num_samples >= events[-1].end_sample + round(0.8 * rate)
    assert wrong(scenario, events, rate, ids) == []
    assert scenario.speakers(events) == [CHANNELS[index % 2] for index in range(len(events))]


@given(exchanges, text_ids, RATES, SEEDS)
def test_each_transcript_has_room_before_the_next_piece_and_at_the_end(
    lengths_s: list[float], ids: TextIds, rate: int, seed: int
) -> None:
    """Frame f stands in column f + 1, and a transcript starts in the column after the last frame of its piece."""
    timeline, spf = lay(HEARD, lengths_s, rate, seed, ids), frame(rate)
    starts = [1 + event.start_sample // spf for event in timeline.events[1:]]
    for event, count, start in zip(timeline.events, ids, [*starts, 1 + timeline.num_samples // spf], strict=False):
        past_transcript = 1 + -(-event.end_sample // spf) + count
        assert past_transcript <= start
    for (before, event), count in zip(pairwise(timeline.events), ids, strict=False):
        silence = event.start_sample - (-(-before.end_sample // spf) + count) * spf
        assert round(0.5 * rate) <= silence <= round(2.0 * rate)


@given(exchanges, RATES, SEEDS)
def test_text_may_lead_the_speech_by_two_frames(lengths_s: list[float], rate: int, seed: int) -> None:
    """The text of a piece starts after the initial column, and after a column without text behind the piece before."""
    events, spf = lay(SPEAKING, lengths_s, rate, seed).events, frame(rate)
    texts = [1 + event.start_sample // spf - 2 for event in events]
    assert texts[0] >= 1
    assert all(text > -(-before.end_sample // spf) + 1 for before, text in zip(events, texts[1:], strict=False))


@given(exchanges, text_ids, RATES, SEEDS, scenarios, st.data())
def test_each_change_is_found(
    lengths_s: list[float], ids: TextIds, rate: int, seed: int, scenario: Scenario, data: st.DataObject
) -> None:
    events = lay(scenario, lengths_s, rate, seed, known(scenario, ids)).events
    index = data.draw(st.integers(0, len(events) - 1))
    event, other = events[index], data.draw(st.sampled_from([one for one in range(len(events)) if one != index]))
    changes = {
        "channel": changed(events, index, channel="assistant" if event.channel == "user" else "user"),
        "kind": changed(events, index, kind=BARGE_IN),
        "answers": changed(events, index, answers=other),
        "cut": changed(events, index, whole_end_sample=event.end_sample + 1, cut_by=other),
        "late": moved(events, index, round(1.6 * rate)),
        "early": moved(events, index, -round(1.6 * rate)),
    }
    if index:
        changes["over the piece before"] = moved(events, index, events[index - 1].end_sample - event.start_sample - 1)
    for what, changed_events in changes.items():
        messages = wrong(scenario, changed_events, rate, ids)
        assert messages, what
        assert all(message.isprintable() for message in messages)
    more = [count + 40 * (at < len(events) - 1) for at, count in enumerate(ids)]
    assert len(wrong(HEARD, events, rate, more)) >= len(events) - 1, "transcripts that are 3.2 s longer have no room"


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("gap", [-1, 0, 1])
def test_edges_of_a_range_are_in_it(channel: Role, gap: int) -> None:
    scenario = Pieces(PiecesTiming(channel=channel, silence_s=Range(low=1.0, high=1.0)))
    events, ids = lay(scenario, [1.0] * 4, 16000, 0, [7] * 4).events, [7] * 4
    messages = wrong(scenario, moved(events, 3, gap), 16000, ids)
    of = "the transcript of the piece" if channel == "user" else "the piece"
    assert messages == (
        [f"event 3 starts {16000 + gap} samples after {of} before it, outside silence_s"] if gap else []
    )


def test_silence_is_uniform_over_the_range_of_the_recipe() -> None:
    scenario = Pieces(PiecesTiming(silence_s=Range(low=1.0, high=1.5)))
    laid_out = [lay(scenario, [1.0] * 6, 16000, seed).events for seed in range(100)]
    drawn_s = np.array([value for events in laid_out for _, value in scenario.measure(events, 16000)])
    assert len(drawn_s) == 500 and drawn_s.min() >= 1.0 and drawn_s.max() <= 1.5
    counts, _ = np.histogram(drawn_s, bins=4, range=(1.0, 1.5))
    assert counts.min() > 90  # 125 expected, standard deviation 9.7


def test_only_transcripts_need_text_ids() -> None:
    assert HEARD.needs_text_ids and not SPEAKING.needs_text_ids
    with pytest.raises(ValueError, match="the number of text ids of a piece is not known"):
        lay(HEARD, [1.0, 1.0], 16000, 0)


@given(exchanges, RATES, SEEDS)
def test_nothing_is_late(lengths_s: list[float], rate: int, seed: int) -> None:
    assert SPEAKING.LATENESS == () and SPEAKING.late(lay(SPEAKING, lengths_s, rate, seed).events, rate) == []
    assert [*SPEAKING.check_late(Late(1, False, 1, None), 0, Grid(rate, frame(rate)))]


def test_keys_that_change_nothing_change_no_folder() -> None:
    unused = {"reply_delay_s": 3.0, "next_turn_gap_s": [1.0, 2.0], "fade_s": 0.1}
    one, other = PiecesTiming(), PiecesTiming.model_validate(unused)
    assert shape_of(one) == shape_of(other) == {"scenario": "pieces"}
    assert lay(Pieces(one), [1.0] * 4, 16000, 3) == lay(Pieces(other), [1.0] * 4, 16000, 3)
    assert shape_of(PiecesTiming(channel="user")) == {"scenario": "pieces", "channel": "user"}


@pytest.mark.parametrize("scenario", [SPEAKING, HEARD])
def test_pauses_are_estimated(scenario: Scenario) -> None:
    """As long as they come out, on average, and one more after the last piece."""
    ids, pauses = [11, 30] * 3, 0.0
    for seed in range(400):
        events = lay(scenario, [1.0] * 6, 16000, seed, ids).events
        pauses += sum(event.start_sample - before.end_sample for before, event in pairwise(events)) / 16000
    after_last = 1.25 + 30 * 0.08 * (scenario is HEARD)
    amount = Amount(400 * 3, {"user": 400 * 33, "assistant": 400 * 90}, 0.08)
    assert scenario.pauses_s(amount) - 400 * after_last == pytest.approx(pauses, rel=0.02)
