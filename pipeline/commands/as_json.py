"""What a program reads about a plan, a data set, one dialogue or a machine: JSON, by the option --json."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..dataset.reader import Dataset
from ..dataset.row_groups import RowGroups
from ..dataset.statistics import Statistics, Tally
from ..show.findings import Finding
from ..view.rows import check_shown, place_of
from .planned import Planned

Json = dict[str, Any]
QUANTILES = {"p05": 0.05, "median": 0.5, "p95": 0.95}


def written(value: Json) -> str:
    """As text of several lines, all of it ASCII, so that no text of a data set controls a terminal."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    """The value with null for numbers that JSON does not have, such as the level of a clip of silence."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def plan_object(planned: Planned) -> Json:
    return asdict(planned) | {"to_speak": planned.to_speak, "to_make": planned.to_make}


def findings_object(recipe: str, findings: Sequence[Finding]) -> Json:
    """What `doctor` finds."""
    return {
        "recipe": recipe,
        "is_well": all(finding.is_well for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def failures_object(dataset: str, failures: Sequence[str]) -> Json:
    """What `verify` finds."""
    return {"dataset": dataset, "is_whole": not failures, "failures": [*failures]}


def dataset_object(dataset: Dataset) -> Json:
    """Counts and statistics of a data set. Quantiles are exact to half a bin of the histogram."""
    manifest = dataset.manifest
    statistics = Statistics.stored({name: tally.model_dump() for name, tally in manifest.statistics.items()})
    return {
        "path": str(dataset.place),
        "name": manifest.name,
        "description": " ".join(manifest.description.split()),
        "kind": manifest.kind,
        "made_from": manifest.made_of.name if manifest.source else None,
        "key": manifest.key,
        "license": str(manifest.made_of.license),
        "scenario": manifest.made_of.timing.scenario,
        "layout": dataset.layout.name,
        "sample_rate": dataset.sample_rate,
        "rows": manifest.rows,
        "ledger": [counts.model_dump() for counts in manifest.ledger],
        "statistics": {name: _figures(tally) for name, tally in statistics},
    }


def dialogue_object(dataset: Dataset, wanted: str) -> Json:
    """One row, without its audio; samples count at `sample_rate`, Hz.

    wanted: the dialogue's id, or its number counted from 0.
    Raises UserError if there is no such dialogue, or if its row is damaged.
    """
    number = place_of(dataset, wanted)
    columns = [name for name in dataset.columns.names if name != "audio"]
    row = RowGroups(dataset).row(number, columns)
    check_shown(dataset, row)
    return {"number": number, "sample_rate": dataset.sample_rate, **row}


def _figures(tally: Tally) -> Json:
    quantity = tally.quantity
    quantiles = QUANTILES if quantity.bins > 2 else {}  # of what is only true or false, the mean says all
    return {
        "title": quantity.title,
        "unit": quantity.unit,
        "count": tally.count,
        "mean": tally.mean,
        "least": tally.least,
        "most": tally.most,
        **{name: tally.quantile(share) for name, share in quantiles.items()},
    }
