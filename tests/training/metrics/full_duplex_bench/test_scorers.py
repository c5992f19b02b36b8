"""Our rules beside Full-Duplex-Bench's own scorers (DanielLin94144/Full-Duplex-Bench at d7336bd), on random items.

They run where DUPLEXGEN_PUBLIC names the clone (CONTRIBUTING.md).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duplexgen.training.metrics.full_duplex_bench.inputs import found
from duplexgen.training.metrics.full_duplex_bench.rules import Chunk, Speech, backchannels, divergence, intervals
from duplexgen.training.metrics.full_duplex_bench.scores import figures, read_people, scored
from tests.layouts.public.programs import clones, run
from tests.training.metrics.full_duplex_bench import folders

ITEMS = 40
LENGTH_S = 8.0
CLONE = "full-duplex-bench"


def times(rng: np.random.Generator, most: int, shortest_s: float, longest_s: float) -> list[tuple[float, float]]:
    """Words or segments one after the other, from some time on, in hundredths of a second."""
    at, spans = rng.uniform(0, 5), list[tuple[float, float]]()
    for _ in range(rng.integers(0, most + 1)):
        end = at + rng.uniform(shortest_s, longest_s)
        spans.append((round(at, 2), round(end, 2)))
        at = end + rng.choice([0.0, 0.3, 0.9])
    return [(start, end) for start, end in spans if end < LENGTH_S]


def write_words(item: Path, spans: list[tuple[float, float]]) -> None:
    chunks = [{"text": "word", "timestamp": span} for span in spans]
    folders.write_json(item / "output.json", {"text": " ".join("word" for _ in spans), "chunks": chunks})


def test_turns_and_latencies(tmp_path: Path) -> None:
    clones(CLONE)
    rng, root = np.random.default_rng(1), tmp_path / "root"
    makers = {
        "smooth_turn_taking": folders.turn_taking,
        "pause_handling": folders.pause_handling,
        "user_interruption": folders.interruption,
    }
    for task, make in makers.items():
        for number in range(ITEMS):
            item = root / task / str(number)
            make(item)
            folders.write_wav(item / "output.wav", 1.0)
            write_words(item, times(rng, 5, 0.1, 0.4))
    items, _ = found(root)
    rows, left_out = scored(items, root, None)
    assert not left_out and len(rows) == 3 * ITEMS
    theirs = run("full_duplex_bench", tmp_path, {task: str(root / task) for task in makers}, CLONE)
    for task in makers:
        ours = figures([row for row in rows if row["set"] == task], 0)
        assert ours["tor"].value == pytest.approx(theirs[task]["take turn"], abs=1e-9)
        assert ours["tor"].value not in (0, 1), "there are turns and others"
        if task != "pause_handling":
            assert ours["latency_s"].value == pytest.approx(theirs[task]["latency"], abs=1e-9)


def test_backchannels(tmp_path: Path) -> None:
    people = read_people(clones(CLONE) / CLONE / "v1_v1.5/evaluation/icc_gt_distribution.json")
    rng, root = np.random.default_rng(2), tmp_path / "root"
    ours = list[tuple[Any, float]]()
    for number in range(ITEMS):
        item = root / "icc_backchannel" / str(number)
        folders.write_wav(item / "output.wav", LENGTH_S)
        segments, words = times(rng, 4, 0.3, 3.5), times(rng, 9, 0.1, 0.4)
        folders.write_json(item / "output.segments.json", segments)
        write_words(item, words)
        speech = Speech(tuple(Chunk("word", *span) for span in words), are_words=True)
        heard = backchannels(segments, speech, LENGTH_S)
        ours.append((heard, divergence(heard, people[str(number)])))
    theirs = run("full_duplex_bench", tmp_path, {"backchannel": str(root / "icc_backchannel")}, CLONE)["backchannel"]
    printed = 6e-5  # with four digits
    assert np.mean([heard.takes_turn for heard, _ in ours]) == pytest.approx(theirs["TOR"], abs=printed)
    assert np.mean([heard.per_s for heard, _ in ours]) == pytest.approx(theirs["Frequency"], abs=printed)
    assert np.mean([distance for _, distance in ours]) == pytest.approx(theirs["JSD"], abs=printed)
    assert 0 < theirs["TOR"] < 1 and theirs["JSD"] < 1


def test_intervals(tmp_path: Path) -> None:
    clones(CLONE)
    rng, root = np.random.default_rng(3), tmp_path / "root"
    ours = dict[str, Any]()
    for number in range(ITEMS):
        item = root / str(number)
        for channel in ("input", "output"):
            folders.write_wav(item / f"{channel}.wav", 1.0)
        user, model = times(rng, 4, 0.3, 2.0), times(rng, 4, 0.3, 2.0)
        folders.write_json(item / "input.segments.json", user)
        folders.write_json(item / "output.segments.json", model)
        said = intervals(user, model)
        ours[item.name] = {"latency_stop_list": said.overlaps_s, "latency_resp_list": said.gaps_s}
    run("full_duplex_bench", tmp_path, {"timing": str(root)}, CLONE)
    theirs = {item.name: json.loads((item / "latency_intervals.json").read_text()) for item in root.iterdir()}
    assert json.loads(json.dumps(ours)) == theirs
    assert any(one["latency_stop_list"] for one in theirs.values())
    assert any(one["latency_resp_list"] for one in theirs.values())
