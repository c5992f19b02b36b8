"""A data set as a whole: what became of its dialogues, its histograms, and the figures of people beside them."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset import people
from ..dataset.reader import Dataset
from ..dataset.statistics import TRANSFER_OFFSET, Statistics, Tally
from ..pairs.kind import PREFERENCES
from ..scenarios.profile import Offset
from .sound import Sound

PEOPLE_MS = (100, 200)  # the most frequent floor transfer offsets between people, as the card shows them


def summary(dataset: Dataset, sound: Sound) -> dict[str, Any]:
    """What the page shows of a data set; all of it is in the manifest."""
    manifest = dataset.manifest
    statistics = Statistics.stored({name: tally.model_dump() for name, tally in manifest.statistics.items()})
    return {
        "name": manifest.name,
        "description": " ".join(manifest.description.split()),
        "kind": dataset.kind,
        "of": manifest.made_of.name if dataset.kind == PREFERENCES else "",
        "license": str(manifest.made_of.license),
        "scenario": manifest.made_of.timing.scenario,
        "layout": dataset.layout.name,
        "rows": manifest.rows,
        "hours": _hours(statistics),
        "sound": {"state": sound.state, "says": sound.says},
        "ledger": [counts.model_dump() for counts in manifest.ledger],
        "rejected": sum(counts.rejected for counts in manifest.ledger),
        "people": [line.cells for line in people.lines(statistics)],
        "histograms": [_histogram(name, tally) for name, tally in statistics.distributions()],
    }


def _hours(statistics: Statistics) -> float:
    tally = statistics.get("dialogue_s") or statistics.get("pair_s")
    return tally.total / 3600 if tally else 0.0


def _histogram(name: str, tally: Tally) -> dict[str, Any]:
    quantity = tally.quantity
    histogram = {
        "name": name,
        "title": quantity.title,
        "unit": quantity.unit,
        "low": quantity.low,
        "high": quantity.high,
        "bins": tally.histogram.tolist(),
        "count": tally.count,
        "mean": tally.mean,
        "quantiles": [tally.quantile(share) for share in (0.05, 0.5, 0.95)],
    }
    if name == TRANSFER_OFFSET:
        edges = quantity.edges
        middles = (edges[:-1] + edges[1:]) / 2
        width = edges[1] - edges[0]
        histogram["band"] = [edge / 1000 for edge in PEOPLE_MS]
        histogram["curve"] = (offset_density(Offset(), middles) * width * tally.count).tolist()
    return histogram


def offset_density(offset: Offset, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The density, per second, of the floor transfer offsets that a profile draws (`scenarios.profile.Offset`)."""
    ms = seconds * 1000
    gaps = NormalDist(offset.mean_ms, math.hypot(offset.sd_ms, offset.speaker_sd_ms))
    share = gaps.cdf(offset.high_ms) - gaps.cdf(offset.low_ms)
    inside = (ms >= offset.low_ms) & (ms <= offset.high_ms)
    normal = np.array([gaps.pdf(one) for one in ms.tolist()]) * inside / share
    lengths = NormalDist(math.log(offset.overlap_median_ms), offset.overlap_sigma)
    log_normal = np.array([lengths.pdf(math.log(-one)) / -one if one < 0 else 0.0 for one in ms.tolist()])
    density: NDArray[np.float64] = (1 - offset.overlap_share) * normal + offset.overlap_share * log_normal
    return density * 1000
