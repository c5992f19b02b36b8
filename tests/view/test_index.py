"""Filters find what a loop over all rows finds, on any page, whichever row groups they lie in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.view import repeat
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.view.index import Query
from duplexgen.pipeline.view.viewer import Viewer
from tests.view.conftest import Row, Sets, rewritten

ROWS = 250  # three row groups


@pytest.fixture(scope="module")
def large(sets: Sets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows whose figures of quality differ, and some have none."""
    folder = tmp_path_factory.mktemp("large")
    numbers = iter(range(100))

    def measured(row: Row) -> None:
        for event in row["events"]:
            number = next(numbers)
            figures = {"wer": (number % 5) / 10, "dnsmos": 2 + (number % 4) / 2}
            event["quality"] = None if number % 3 == 0 else {**dict.fromkeys(QUALITY), **figures}

    repeat(rewritten(sets("natural"), folder / "measured", measured), folder / "large", ROWS)
    return folder / "large"


QUALITY = ("wer", "dnsmos", "similarity", "seconds_per_character", "leading_silence_s", "longest_pause_s", "repeats")


def found(folder: Path, query: Query) -> list[int]:
    viewer = Viewer(folder)
    viewer.index.wait()
    pages = [viewer.index.page(query, offset, 70) for offset in range(0, ROWS, 70)]
    assert {page.found for page in pages} == {sum(len(page.rows) for page in pages)}
    return [row["number"] for page in pages for row in page.rows]


def worst(row: Row, name: str, of: Callable[[list[float]], float]) -> float | None:
    values = [event["quality"][name] for event in row["events"] if event["quality"]]
    return of(values) if values else None


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        (Query(), lambda row: True),
        (Query({"kind": "turn"}), lambda row: any(event["kind"] == "turn" for event in row["events"])),
        (Query({"kind": "no such kind"}), lambda row: False),
        (Query({"source": "talk", "language": "en"}), lambda row: True),
        (Query({"source": "another"}), lambda row: False),
        (Query(text="LOGUE-24"), lambda row: "logue-24" in row["dialogue_id"]),
        (Query(figure="wer", most=0.3), lambda row: (worst(row, "wer", max) or 9) <= 0.3),
        (Query(figure="dnsmos", least=2.4), lambda row: (worst(row, "dnsmos", min) or 0) >= 2.4),
        (Query(figure="similarity"), lambda row: False),
    ],
)
def test_a_filter_finds_what_a_loop_finds(large: Path, query: Query, holds: Callable[[Row], bool]) -> None:
    expected = [number for number, row in enumerate(Dataset(large).rows()) if holds(row)]
    assert found(large, query) == expected
    assert query == Query() or len(expected) < ROWS or query.tags


def test_each_voice_and_kind_is_counted(large: Path) -> None:
    viewer = Viewer(large)
    viewer.index.wait()
    facets = viewer.facets()
    rows = [*Dataset(large).rows(["events"])]
    for name in ("voice", "kind"):
        values = {event[name] for row in rows for event in row["events"]}
        counts = {value: sum(any(event[name] == value for event in row["events"]) for row in rows) for value in values}
        assert dict(facets["tags"][name]) == counts
        for value, count in counts.items():
            assert len(found(large, Query({name: value}))) == count


def test_a_page_needs_no_index(large: Path) -> None:
    viewer = Viewer(large)
    page = viewer.dialogues({"offset": "180", "limit": "40"})
    assert [row["id"] for row in page["rows"]] == [f"dialogue-{number}" for number in range(180, 220)]
    assert all(row["opening"] for row in page["rows"]) and viewer.index.indexed == []


def test_pairs_are_found_by_their_mistake(sets: Sets) -> None:
    viewer = Viewer(sets("pairs"))
    viewer.index.wait()
    rows: list[dict[str, Any]] = [*Dataset(sets("pairs")).rows()]
    (mistake,) = {row["mistake"] for row in rows}
    assert viewer.dialogues({"mistake": mistake})["found"] == len(rows)
    assert viewer.dialogues({"mistake": "another"})["found"] == 0
