"""A profile that is drawn from comes back, within the standard errors that the fit states."""

from typing import Any

import numpy as np
import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.measures.conversation import Conversation, conversation
from duplexgen.pipeline.measures.timing_fit import Estimate, Fit, fit
from duplexgen.pipeline.scenarios.profile import HIGH_MS, LOW_MS, Offset, Pause, Profile
from tests.measures.talking import talk

DIALOGUES, TURNS = 50, 30
SEEDS = range(5)
WITHIN = 4.0  # standard errors
OFFSETS = ("mean_ms", "sd_ms", "speaker_sd_ms", "overlap_share", "overlap_median_ms", "overlap_sigma")
PAUSES = ("median_ms", "sigma")


def drawn(rng: np.random.Generator) -> Profile:
    return Profile(
        offset=Offset(
            mean_ms=rng.uniform(100, 500),
            sd_ms=rng.uniform(120, 350),
            speaker_sd_ms=rng.uniform(60, 150),
            overlap_share=rng.uniform(0.25, 0.45),
            overlap_median_ms=rng.uniform(150, 450),
            overlap_sigma=rng.uniform(0.3, 0.6),
        ),
        pause=Pause(median_ms=rng.uniform(250, 900), sigma=rng.uniform(0.3, 0.8)),
    )


def fitted(profile: Profile, rng: np.random.Generator, dialogues: int = DIALOGUES, turns: int = TURNS) -> Fit:
    talks = [conversation(talk(profile, rng, turns), 300.0) for _ in range(dialogues)]
    return fit(talks, LOW_MS / 1000, HIGH_MS / 1000)


def misses(profile: Profile, found: Fit) -> list[float]:
    """How far each estimate is off, in its standard errors: the mean as it is, the others by their logarithms."""
    pairs: list[tuple[float, Estimate]] = [(getattr(profile.offset, name), getattr(found, name)) for name in OFFSETS]
    pairs += [(getattr(profile.pause, name), getattr(found, f"pause_{name}")) for name in PAUSES]
    assert all(estimate.error for _, estimate in pairs)
    (mean, found_mean), *others = pairs
    off = [float(np.log(one.value / true)) * one.value / (one.error or 1) for true, one in others]
    return [(found_mean.value - mean) / (found_mean.error or 1), *off]


def test_a_known_profile_comes_back_within_the_stated_errors() -> None:
    """And the errors are no larger than they need be: over all draws, misses are about one standard error."""
    off = []
    for seed in SEEDS:
        rng = np.random.Generator(np.random.Philox(seed))
        profile = drawn(rng)
        off += misses(profile, fitted(profile, rng))
    assert max(map(abs, off)) < WITHIN
    assert 0.6 < float(np.sqrt(np.mean(np.square(off)))) < 1.5


def test_errors_shrink_with_what_there_is_to_fit() -> None:
    rng = np.random.Generator(np.random.Philox(11))
    few, many = (fitted(Profile(), rng, dialogues) for dialogues in (15, 60))
    for name in ("mean_ms", "sd_ms", "overlap_share", "pause_median_ms"):
        less, more = (getattr(found, name).error for found in (few, many))
        assert more < less * 0.75


def test_lapses_are_left_out_and_counted() -> None:
    rng = np.random.Generator(np.random.Philox(3))
    talks = [conversation(talk(Profile(), rng, TURNS), 300.0) for _ in range(10)]
    lapsed = [
        Conversation(one.length_s, one.ipus_s, one.pauses_s, one.gaps_s, one.overlaps_s, (*one.offsets_s, 60.0))
        for one in talks
    ]
    clean, other = (fit(each, LOW_MS / 1000, HIGH_MS / 1000) for each in (talks, lapsed))
    assert (clean.lapses, other.lapses) == (0, 10)
    assert other.mean_ms == clean.mean_ms and other.transfers == clean.transfers


def test_a_component_that_is_not_there_has_no_error() -> None:
    """All pairs of speakers are alike, so nothing determines how much they differ."""
    rng = np.random.Generator(np.random.Philox(5))
    found = fitted(Profile(offset=Offset(speaker_sd_ms=0.0)), rng)
    assert found.speaker_sd_ms.value < 40


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dialogues": 2}, "2 dialogues (expected 3 or more)"),
        ({"turns": 3}, "8 floor transfers (expected 50 or more)"),
        ({"profile": Profile(offset=Offset(mean_ms=900.0, sd_ms=50.0, overlap_share=0.0))}, "0 floor transfers with"),
    ],
)
def test_too_little_to_fit(change: dict[str, Any], says: str) -> None:
    rng = np.random.Generator(np.random.Philox(2))
    with pytest.raises(UserError) as raised:
        asked: dict[str, Any] = {"profile": Profile(), "rng": rng, "dialogues": 4, "turns": 40} | change
        fitted(**asked)
    assert says in str(raised.value)


@pytest.mark.parametrize("seed", SEEDS)
def test_offsets_are_drawn_as_the_profile_says(seed: int) -> None:
    rng = np.random.Generator(np.random.Philox(seed))
    offset = drawn(rng).offset.model_copy(update={"low_ms": -300.0, "high_ms": 700.0, "overlap_share": 0.0})
    draws = [offset.draw_ms(0.0, rng) for _ in range(500)]
    assert min(draws) >= -300 and max(draws) <= 700
    overlaps = [offset.model_copy(update={"overlap_share": 1.0}).draw_ms(0.0, rng) for _ in range(500)]
    assert max(overlaps) < 0
    within = 4 * 1.25 * offset.overlap_sigma / np.sqrt(len(overlaps))  # of the logarithm of a median
    assert np.log(-np.median(overlaps) / offset.overlap_median_ms) == pytest.approx(0, abs=within)
