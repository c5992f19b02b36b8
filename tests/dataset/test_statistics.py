"""Histograms are stored whole, and quantiles are exact to half a bin."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dataset.statistics import QUANTITIES, Statistics, Tally

NAME = "reply_delay_s"
QUANTITY = QUANTITIES[NAME]
BIN = (QUANTITY.high - QUANTITY.low) / QUANTITY.bins
ROUNDING = 1e-9
inside = st.floats(QUANTITY.low, QUANTITY.high, exclude_max=True)
anywhere = st.floats(-10, 1000)


def tally(values: list[float]) -> Tally:
    made = Tally(QUANTITY)
    for value in values:
        made.add(value)
    return made


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
    made = tally(values)
    quantiles = [made.quantile(share / 20) for share in range(21)]
    assert quantiles == sorted(quantiles)
    assert min(values) <= quantiles[0]
    assert quantiles[-1] <= max(values)
    assert int(made.histogram.sum()) == made.count == len(values)


def test_what_lies_outside_goes_to_the_bins_at_the_ends() -> None:
    made = tally([-1.0, QUANTITY.high, 99.0])
    assert (made.histogram[0], made.histogram[-1]) == (1, 2)
    assert (made.least, made.most) == (-1.0, 99.0)


def test_order_of_quantities_is_fixed() -> None:
    statistics = Statistics()
    for name in reversed(QUANTITIES):
        statistics.add(name, 0.5)
    assert list(statistics.to_json()) == list(QUANTITIES)
    assert [name for name, _ in statistics.distributions()] == list(QUANTITIES)[:-1]


def test_unknown_quantity() -> None:
    with pytest.raises(KeyError):
        Statistics().add("nonsense", 1.0)
