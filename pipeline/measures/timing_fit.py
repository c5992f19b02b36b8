"""Fits a distribution to how people take turns, by maximum likelihood, with standard errors.

    floor transfer offsets   (1 − w) · N(m + b, s) within [low, high]  +  w · −logN(overlaps), b ~ N(0, t) per dialogue
    pauses                   logN, of which only those of 200 ms and more are seen: shorter ones part no IPUs

The integral over b is a sum over a grid. Offsets above `high` are lapses, after which nobody had to answer: they are
left out and counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_ndtr, logit, logsumexp

from ..errors import UserError
from .conversation import IPU_SILENCE_S, Conversation

Array = NDArray[np.float64]
GRID = np.linspace(-4.0, 4.0, 41)  # of b, in its standard deviations
LOG_GRID = -0.5 * GRID**2 - logsumexp(-0.5 * GRID**2)
MOST_TRANSFERS = 10_000  # whose likelihood is computed, for a search of some seconds
FEWEST_DIALOGUES, FEWEST_TRANSFERS, FEWEST_OVERLAPS, FEWEST_PAUSES = 3, 50, 10, 30
SHARES = (0.9, 0.4)  # of the overlaps that a start of the search gives to the component of overlaps
STEP = 1e-3  # of numeric second derivatives
LEAST_LOG = -700.0  # of a density: less is no number
BOUNDS_OF_OFFSETS = (
    *((-1.0, 3.0), (np.log(0.005), np.log(3.0)), (np.log(1e-3), np.log(1.5))),
    *((logit(1e-4), logit(0.9999)), (np.log(0.005), np.log(10.0)), (np.log(0.05), np.log(3.0))),
)
BOUNDS_OF_PAUSES = ((np.log(0.01), np.log(60.0)), (np.log(0.05), np.log(3.0)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its standard error; None: the data does not determine it."""

    value: float
    error: float | None


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted, in ms, and to how much."""

    mean_ms: Estimate
    sd_ms: Estimate
    speaker_sd_ms: Estimate
    overlap_share: Estimate
    overlap_median_ms: Estimate
    overlap_sigma: Estimate
    pause_median_ms: Estimate
    pause_sigma: Estimate
    transfers: int
    lapses: int
    pauses: int


def fit(conversations: Sequence[Conversation], low_s: float, high_s: float) -> Fit:
    """The distributions of these dialogues. low_s, high_s: the range of offsets that are no overlaps of the mixture.

    Raises UserError if there is too little to fit.
    """
    offsets = [np.asarray(one.offsets_s) for one in conversations]
    answered = [own[own <= high_s] for own in offsets]
    pauses = np.concatenate([np.zeros(0), *(np.asarray(one.pauses_s) for one in conversations)])
    transfers, overlaps = sum(map(len, answered)), sum(int((own < 0).sum()) for own in answered)
    _check_enough(
        [
            (len(conversations), FEWEST_DIALOGUES, "dialogues"),
            (transfers, FEWEST_TRANSFERS, "floor transfers"),
            (overlaps, FEWEST_OVERLAPS, "floor transfers with overlap"),
            (len(pauses), FEWEST_PAUSES, "pauses"),
        ]
    )
    mean, sd, speaker_sd, share, median, sigma = _fit_offsets(_thinned(answered), low_s, high_s)
    pause_median, pause_sigma = _fit_pauses(pauses)
    return Fit(
        mean_ms=_in_ms(mean),
        sd_ms=_in_ms(sd),
        speaker_sd_ms=_in_ms(speaker_sd),
        overlap_share=share,
        overlap_median_ms=_in_ms(median),
        overlap_sigma=sigma,
        pause_median_ms=_in_ms(pause_median),
        pause_sigma=pause_sigma,
        transfers=transfers,
        lapses=sum(map(len, offsets)) - transfers,
        pauses=len(pauses),
    )


def _check_enough(counts: Sequence[tuple[int, int, str]]) -> None:
    if missing := [f"{count} {what} (expected {least} or more)" for count, least, what in counts if count < least]:
        raise UserError(f"there is too little to fit: {', '.join(missing)}. Give more recordings.")


def _thinned(dialogues: Sequence[Array]) -> list[Array]:
    """Whole dialogues, evenly spread, with up to about MOST_TRANSFERS transfers; only those that have any."""
    step = max(1, round(sum(map(len, dialogues)) / MOST_TRANSFERS))
    return [own for own in dialogues[::step] if len(own)]


def _in_ms(in_s: Estimate) -> Estimate:
    return Estimate(in_s.value * 1000, None if in_s.error is None else in_s.error * 1000)


def _fit_offsets(dialogues: Sequence[Array], low_s: float, high_s: float) -> list[Estimate]:
    offsets = np.concatenate(dialogues)
    firsts = np.cumsum([0, *map(len, dialogues)])[:-1]
    overlaps, gaps = -offsets[offsets < 0], offsets[offsets >= 0]
    gaps = gaps if len(gaps) > 1 else np.asarray([0.1, 0.3])
    logs = np.log(overlaps)

    def loss(point: Array) -> float:
        return _offsets_loss(point, offsets, firsts, low_s, high_s)

    starts = [
        np.asarray(
            [
                *(gaps.mean() * share, np.log(gaps.std() + 0.05), np.log(0.05)),
                *(logit(share * len(overlaps) / len(offsets)), logs.mean(), np.log(logs.std() + 0.1)),
            ]
        )
        for share in SHARES
    ]
    point, errors = _minimum(loss, starts, BOUNDS_OF_OFFSETS)
    share = float(expit(point[3]))
    slopes = [1.0, *np.exp(point[1:3]), share * (1 - share), *np.exp(point[4:])]
    values = [point[0], *np.exp(point[1:3]), share, *np.exp(point[4:])]
    return _estimates(values, slopes, errors)


def _offsets_loss(point: Array, offsets: Array, firsts: NDArray[np.int64], low_s: float, high_s: float) -> float:
    """Minus the log-likelihood. point: mean, log sd, log speaker sd, logit share, log median, log sigma; in seconds.

    firsts: where each dialogue starts among the offsets.
    """
    mean, log_sd, log_speaker_sd, logit_share, log_median, log_sigma = point
    sd, sigma = np.exp(log_sd), np.exp(log_sigma)
    centers = mean + np.exp(log_speaker_sd) * GRID
    inside = _log_mass((low_s - centers) / sd, (high_s - centers) / sd)
    normal = _log_normal((offsets[:, None] - centers) / sd) - log_sd - inside
    normal[offsets < low_s] = -np.inf
    lengths = np.where(offsets < 0, -offsets, 1.0)
    overlap = _log_normal((np.log(lengths) - log_median) / sigma) - log_sigma - np.log(lengths)
    overlap = np.where(offsets < 0, overlap, -np.inf) - np.logaddexp(0, -logit_share)
    of_each = np.logaddexp(normal - np.logaddexp(0, logit_share), overlap[:, None])
    of_dialogues = np.add.reduceat(np.maximum(of_each, LEAST_LOG), firsts, axis=0)
    return -float(logsumexp(of_dialogues + LOG_GRID, axis=1).sum())


def _fit_pauses(pauses: Array) -> list[Estimate]:
    logs, seen = np.log(pauses), np.log(IPU_SILENCE_S)

    def loss(point: Array) -> float:
        sigma = np.exp(point[1])
        return -float((_log_normal((logs - point[0]) / sigma) - point[1] - log_ndtr((point[0] - seen) / sigma)).sum())

    start = np.asarray([logs.mean(), np.log(logs.std() + 0.1)])
    point, errors = _minimum(loss, [start], BOUNDS_OF_PAUSES)
    values = np.exp(point)
    return _estimates(values, values, errors)


def _log_normal(z: Array) -> Array:
    return np.asarray(-0.5 * z**2 - 0.5 * np.log(2 * np.pi))


def _log_mass(low: Array, high: Array) -> Array:
    """The logarithm of the probability that a standard normal variable lies between two values, low < high."""
    low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)  # the tail in which it is exact
    return np.asarray(log_ndtr(high) + np.log1p(-np.exp(log_ndtr(low) - log_ndtr(high))))


def _minimum(
    loss: Callable[[Array], float], starts: Sequence[Array], bounds: Sequence[tuple[float, float]]
) -> tuple[Array, Array]:
    """Where a loss is least, and the standard errors there; NaN where the data does not determine a value."""
    low, high = (np.asarray(edge) for edge in zip(*bounds, strict=True))
    inner = 1e-3 * (high - low)
    found = [
        minimize(loss, np.clip(start, low + inner, high - inner), method="L-BFGS-B", bounds=bounds) for start in starts
    ]
    point = np.asarray(min(found, key=lambda one: one.fun).x)
    free = np.flatnonzero((point > low + inner) & (point < high - inner))
    errors = np.full(len(point), np.nan)
    if len(free) == 0:
        return point, errors
    try:
        variances = np.diag(np.linalg.inv(_curvature(loss, point, free)))
    except np.linalg.LinAlgError:
        return point, errors
    errors[free] = np.sqrt(np.where(variances > 0, variances, np.nan))
    return point, errors


def _curvature(loss: Callable[[Array], float], point: Array, free: NDArray[np.int64]) -> Array:
    """Second derivatives of a loss by these coordinates."""
    steps = STEP * np.eye(len(point))[free]

    def at(one: Array, other: Array) -> float:
        return loss(point + one + other)

    return np.asarray([[(at(a, b) - at(a, -b) - at(-a, b) + at(-a, -b)) / (4 * STEP**2) for b in steps] for a in steps])


def _estimates(values: Sequence[float] | Array, slopes: Sequence[float] | Array, errors: Array) -> list[Estimate]:
    """slopes: of each value by its coordinate, whose standard errors are given."""
    return [
        Estimate(float(value), float(slope * error) if np.isfinite(error) else None)
        for value, slope, error in zip(values, slopes, errors, strict=True)
    ]
