"""Histograms are stored whole, and quantiles are exact to half a bin."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dataset.statistics import QUANTITIES, Statistics, Tally, measure
from duplexgen.pipeline.dialogue import CodedTrack
from duplexgen.pipeline.layouts.bayling import Bayling, BaylingSection
from duplexgen.pipeline.layouts.shared import SharedVocabulary

VOCABULARY = SharedVocabulary(
    silence=10, assistant=11, pad=12, epad=13, audio_first_id=14, audio_size=4, text_size=10, end_of_text=18
)
LAYOUT = Bayling(BaylingSection(name="bayling"), VOCABULARY, 1280)
NAME = "reply_delay_s"
QUANTITY = QUANTITIES[NAME]
BIN = (QUANTITY.high - QUANTITY.low) / QUANTITY.bins
ROUNDING = 1e-9
inside = st.floats(QUANTITY.low, QUANTITY.high, exclude_max=True)
anywhere = st.floats(-10, 1000)


def tally(values: list[float]) -> Tally:
    whole = Tally(QUANTITY)
    for value in values:
        whole.add(value)
    return whole


@given(st.lists(anywhere, max_size=20))
def test_what_is_stored_is_what_was_measured(values: list[float]) -> None:
    measured = Statistics()
    for value in values:
        measured.add(NAME, value)
    stored = json.loads(json.dumps(measured.to_json()))
    assert Statistics.stored(stored).to_json() == measured.to_json() == stored


@given(st.lists(inside, min_size=1, max_size=40), st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0]))
def test_quantiles_are_exact_to_half_a_bin(values: list[float], share: float) -> None:
    exact = next(value for rank, value in enumerate(sorted(values), start=1) if rank >= share * len(values))
    assert abs(tally(values).quantile(share) - exact) <= BIN / 2 + ROUNDING


@given(st.lists(anywhere, min_size=1, max_size=40))
def test_quantiles_grow_and_stay_between_the_extremes(values: list[float]) -> None:
    whole = tally(values)
    quantiles = [whole.quantile(share / 20) for share in range(21)]
    assert quantiles == sorted(quantiles)
    assert min(values) <= quantiles[0]
    assert quantiles[-1] <= max(values)
    assert int(whole.histogram.sum()) == whole.count == len(values)


def test_what_lies_outside_goes_to_the_bins_at_the_ends() -> None:
    whole = tally([-1.0, QUANTITY.high, 99.0])
    assert (whole.histogram[0], whole.histogram[-1]) == (1, 2)
    assert (whole.least, whole.most) == (-1.0, 99.0)


def test_order_of_quantities_is_fixed() -> None:
    statistics = Statistics()
    for name in reversed(QUANTITIES):
        statistics.add(name, 0.5)
    assert list(statistics.to_json()) == list(QUANTITIES)
    assert [name for name, _ in statistics.distributions()] == list(QUANTITIES)[:-1]


def test_unknown_quantity() -> None:
    with pytest.raises(KeyError):
        Statistics().add("nonsense", 1.0)


def row_of(spans: list[tuple[str, int, int]], frames: int) -> dict[str, Any]:
    """A row with such events: channel, first sample, one past the last."""
    events = [
        {
            "channel": channel,
            "kind": "turn",
            "start_sample": start,
            "end_sample": end,
            "whole_end_sample": end,
            "answers": index - 1 if channel == "assistant" else None,
            "cut_by": None,
        }
        for index, (channel, start, end) in enumerate(spans)
    ]
    track = CodedTrack(np.zeros((1, frames + 19), np.int16), np.zeros((1, frames + 19), np.int16), 19, 1280, (), ())
    return {"scenario": "turn_taking", "events": events, **LAYOUT.encode(track, [])}


def values(spans: list[tuple[str, int, int]], frames: int = 100) -> dict[str, tuple[int, float]]:
    statistics = Statistics()
    measure(statistics, row_of(spans, frames), LAYOUT, 16000)
    return {name: (tally.count, tally.mean) for name, tally in statistics}


def test_what_is_measured_of_turns() -> None:
    first = [("user", 0, 16000), ("assistant", 28800, 60800)]
    figures = values([*first, ("user", 76800, 92800), ("assistant", 105600, 121600)])
    assert figures["user_turn_s"] == (2, 1.0) and figures["assistant_turn_s"] == (2, 1.5)
    assert figures["reply_delay_s"] == (2, 0.8) and figures["next_turn_gap_s"] == (1, 1.0)
    assert figures["dialogue_s"] == (1, 8.0) and figures["turns"] == (1, 4.0) and figures["overlap_share"] == (1, 0.0)
    assert figures["user_speech_share"] == (1, 2 / 8) and figures["assistant_speech_share"] == (1, 3 / 8)
    assert figures["sequence_ids"] == (1, 250.0)


def test_overlap_is_time_in_which_both_speak() -> None:
    spans = [("user", 0, 32000), ("assistant", 16000, 64000), ("user", 48000, 80000), ("assistant", 76000, 80000)]
    count, share = values(spans)["overlap_share"]
    assert count == 1 and share == pytest.approx((16000 + 16000 + 4000) / 16000 / 8)


def test_a_row_that_fails_leaves_no_trace() -> None:
    statistics = Statistics()
    row = row_of([("user", 0, 16000), ("assistant", 28800, 60800)], 100)
    with pytest.raises(ValueError, match="reshape"):
        measure(statistics, row | {"input_ids": row["input_ids"][:-1]}, LAYOUT, 16000)
    assert statistics.to_json() == {}
