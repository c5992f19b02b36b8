"""Full-Duplex-Bench's inputs, and the assistant of the data set as the model that is scored.

The rules of its scorers are written down here; `test_the_scorers_themselves` runs DanielLin94144/Full-Duplex-Bench at
d7336bd on an export, where DUPLEXGEN_PUBLIC names its clone (CONTRIBUTING.md).
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.exports.exporters import export
from tests.exports.conftest import Export, Sets
from tests.exports.heard import samples_of
from tests.layouts.public.programs import run

V1 = ("smooth_turn_taking", "pause_handling", "user_interruption")
ANSWER_S = 7.0
Row = dict[str, Any]


def rows_of(dataset: Dataset) -> dict[str, Row]:
    """By the number of the row, which is the name of its items."""
    return {str(number): row for number, row in enumerate(dataset.rows(["dialogue_id", "events", "audio"]))}


def items_of(out: Path, task: str) -> dict[str, Path]:
    return {folder.name: folder for folder in (out / task).iterdir()} if (out / task).exists() else {}


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def heard(folder: Path, name: str = "input.wav") -> np.ndarray:
    samples: np.ndarray
    samples, rate = soundfile.read(folder / name, dtype="int16")
    assert rate == 16_000 and samples.ndim == 1
    return samples


def seconds(event: Row, *edges: str) -> list[float]:
    return [event[f"{edge}_sample"] / 16_000 for edge in edges]


def interruption_of(row: Row) -> tuple[int, Row]:
    """The first event that stops a reply and is answered."""
    events = row["events"]
    cutting = {event["cut_by"] for event in events}
    return next(
        (index, event)
        for index, event in enumerate(events)
        if index in cutting and any(other["answers"] == index for other in events)
    )


@pytest.mark.parametrize("name", ["bayling", "natural"])
def test_smooth_turn_taking(exports: Export, sets: Sets, name: str) -> None:
    out, rows = exports("full-duplex-bench", name), rows_of(sets(name))
    items = items_of(out, "v1.0/smooth_turn_taking")
    assert items.keys() == {number for number, row in rows.items() if not row["events"][0]["pauses"]}
    for number, folder in items.items():
        row = rows[number]
        turn, reply = row["events"][:2]
        ((mark,), samples, user) = read(folder, "turn_taking.json"), heard(folder), samples_of(row)[0]
        assert mark == {"text": "[TURN-TAKING]", "timestamp": [*seconds(turn, "end"), *seconds(reply, "start")]}
        end = turn["end_sample"]
        assert np.array_equal(samples[:end], user[:end]) and len(samples) == end + ANSWER_S * 16_000
        assert not samples[end:].any(), "without noise, silence"
        said = {entry["speaker"]: entry["item"] for entry in read(folder, "transcription.json")}
        assert [word["text"] for word in said[1]][: len(turn["words"])] == [word["text"] for word in turn["words"]]
        assert said[1][0]["timestamp"] == seconds(turn["words"][0], "start", "end")
        assert said[0][0]["timestamp"] == seconds(reply["words"][0], "start", "end")


def test_pause_handling(exports: Export, sets: Sets) -> None:
    out, rows = exports("full-duplex-bench", "natural"), rows_of(sets("natural"))
    items = items_of(out, "v1.0/pause_handling")
    assert items and items.keys() == {number for number, row in rows.items() if row["events"][0]["pauses"]}
    for number, folder in items.items():
        turn = rows[number]["events"][0]
        marks = read(folder, "pause.json")
        assert [mark["timestamp"] for mark in marks] == [seconds(pause, "start", "end") for pause in turn["pauses"]]
        samples = heard(folder)
        assert np.array_equal(samples, samples_of(rows[number])[0][: turn["end_sample"]]), "no time for an answer"
        for start, end in (mark["timestamp"] for mark in marks):
            assert not samples[round(start * 16_000) : round(end * 16_000)].any()


@pytest.mark.parametrize("name", ["bayling", "natural"])
def test_user_interruption(exports: Export, sets: Sets, name: str) -> None:
    out, rows = exports("full-duplex-bench", name), rows_of(sets(name))
    items, pairs = items_of(out, "v1.0/user_interruption"), items_of(out, "v1.5/user_interruption")
    assert items and items.keys() == pairs.keys()
    for number, folder in items.items():
        row, user = rows[number], samples_of(rows[number])[0]
        index, event = interruption_of(row)
        before = [one for one in row["events"][:index] if one["channel"] == "user" and one["kind"] != "backchannel"][-1]
        (mark,) = read(folder, "interrupt.json")
        span = seconds(event, "start", "end")
        assert mark == {"context": before["text"], "interrupt": event["text"], "timestamp": span}
        start, end = event["start_sample"], event["end_sample"]
        assert np.array_equal(heard(folder)[:end], user[:end]) and len(heard(folder)) == end + ANSWER_S * 16_000
        assert np.array_equal(heard(folder, "interrupt.wav"), user[start:end])
        assert np.array_equal(heard(folder, "context.wav"), user[before["start_sample"] : before["end_sample"]])
        about = read(pairs[number], "metadata.json")
        assert about == {"context_text": before["text"], "current_turn_text": event["text"], "timestamps": span}
        noisy, clean = heard(pairs[number]), heard(pairs[number], "clean_input.wav")
        assert np.array_equal(noisy, heard(folder)) and np.array_equal(clean[:start], noisy[:start])
        assert not clean[start:].any(), "without the interruption"


def test_backchannels(exports: Export, sets: Sets) -> None:
    out, rows = exports("full-duplex-bench", "natural"), rows_of(sets("natural"))
    items = items_of(out, "v1.5/user_backchannel")
    assert items
    for number, folder in items.items():
        events = rows[number]["events"]
        replies = [event for event in events if event["channel"] == "assistant"]
        during = [
            event
            for event in events
            if event["kind"] == "backchannel"
            and any(one["start_sample"] < event["start_sample"] < one["end_sample"] for one in replies)
        ]
        about = read(folder, "metadata.json")
        assert about["timestamps"] == seconds(during[0], "start", "end")
        assert about["current_turn_text"] == during[0]["text"]
        start, end = during[0]["start_sample"], during[0]["end_sample"]
        noisy, clean = heard(folder), heard(folder, "clean_input.wav")
        assert noisy[start:end].any() and not clean[start:end].any() and len(noisy) == len(clean)
        assert np.array_equal(np.delete(noisy, range(start, end)), np.delete(clean, range(start, end)))


def test_items_are_listed(exports: Export, sets: Sets) -> None:
    out, rows = exports("full-duplex-bench", "natural"), rows_of(sets("natural"))
    listed = [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]
    found = {(str(path.parent.relative_to(out)), path.name) for path in out.glob("v1.*/*/*")}
    assert {(item["task"], item["id"]) for item in listed} == found and len(listed) == len(found)
    assert all(item["dialogue_id"] == rows[item["id"]]["dialogue_id"] for item in listed)
    assert all(name.isdigit() for _, name in found), "as its scorer of backchannels demands"


def words_after(row: Row, start_s: float, end_s: float) -> list[Row]:
    """The assistant's words of a row that start in a stretch of time, as output.json has them."""
    words = [word for event in row["events"] if event["channel"] == "assistant" for word in event["words"]]
    chunks = [{"text": word["text"], "timestamp": seconds(word, "start", "end")} for word in words]
    return [chunk for chunk in chunks if start_s <= chunk["timestamp"][0] < end_s]


def answered(out: Path, rows: dict[str, Row], root: Path) -> dict[str, str]:
    """Copies of the tasks of v1.0, where the assistant of the data set has answered, by name."""
    for task in V1:
        for number, folder in items_of(out, f"v1.0/{task}").items():
            copy = shutil.copytree(folder, root / task / number)
            start = read(folder, "interrupt.json")[0]["timestamp"][1] if task == "user_interruption" else 0.0
            chunks = words_after(rows[number], start, len(heard(folder)) / 16_000)
            text = " ".join(chunk["text"] for chunk in chunks)
            (copy / "output.json").write_text(json.dumps({"text": text, "chunks": chunks}))
    return {task: str(root / task) for task in V1 if (root / task).exists()}


def scored(folder: Path, mark: str, edge: int) -> tuple[float, float]:
    """Share of turns that were taken, and mean latency, as its scorers count: a turn is an answer of 1 s, or of more
    than three words; its latency is the time from the end of the user's speech, at least 0.
    """
    taken, latencies = [], []
    for item in folder.iterdir():
        chunks, end = read(item, "output.json")["chunks"], read(item, mark)[0]["timestamp"][edge]
        duration = chunks[-1]["timestamp"][1] - chunks[0]["timestamp"][0] if chunks else 0
        taken.append(bool(chunks) and (duration >= 1 or len(chunks) > 3))
        if taken[-1]:
            latencies.append(max(0.0, chunks[0]["timestamp"][0] - end))
    return sum(taken) / len(taken), sum(latencies) / len(latencies)


def wanted(rows: dict[str, Row], folder: Path, task: str) -> float:
    """The mean time from the end of a turn or an interruption to the first word of its answer, from the events."""
    gaps = []
    for number in (item.name for item in folder.iterdir()):
        events = rows[number]["events"]
        index = 0 if task == "smooth_turn_taking" else interruption_of(rows[number])[0]
        (answer,) = (event for event in events if event["answers"] == index)
        gaps.append((answer["words"][0]["start_sample"] - events[index]["end_sample"]) / 16_000)
    return float(sum(gaps) / len(gaps))


def test_the_laid_out_assistant_takes_each_turn(exports: Export, sets: Sets, tmp_path: Path) -> None:
    """In time, which is 0.8 s in this data set, as the recipe says."""
    rows = rows_of(sets("bayling"))
    answered(exports("full-duplex-bench", "bayling"), rows, tmp_path)
    for task, mark, edge in (("smooth_turn_taking", "turn_taking.json", 0), ("user_interruption", "interrupt.json", 1)):
        taken, latency = scored(tmp_path / task, mark, edge)
        assert taken == 1.0 and latency == pytest.approx(wanted(rows, tmp_path / task, task), abs=1e-9)
        assert latency == pytest.approx(0.8, abs=0.05)


def test_the_scorers_themselves(exports: Export, sets: Sets, tmp_path: Path) -> None:
    for name in ("bayling", "natural"):
        rows, folder = rows_of(sets(name)), tmp_path / name
        tasks = answered(exports("full-duplex-bench", name), rows, folder)
        found = run("full_duplex_bench", tmp_path, tasks, "full-duplex-bench")
        for task in tasks.keys() & {"smooth_turn_taking", "user_interruption"}:
            assert found[task]["take turn"] == 1.0, (name, task)
            assert found[task]["latency"] == pytest.approx(wanted(rows, folder / task, task), abs=1e-9)
        assert found["user_interruption"]["rating"] == 5.0
        if name == "natural":
            assert found["pause_handling"]["take turn"] == 0.0, "the laid-out assistant waits"


def test_a_data_set_in_which_nothing_is_measured(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Dataset.batches

    def read_none(self: Dataset, *args: Any) -> Any:
        for batch in batches(self, *args):
            rows = [row | {"events": []} for row in batch.to_pylist()]
            yield type(batch).from_pylist(rows, schema=batch.schema)

    monkeypatch.setattr(Dataset, "batches", read_none)
    with pytest.raises(UserError, match=r"has no turn, pause, interruption or aside that Full-Duplex-Bench measures"):
        export(sets("bayling"), "full-duplex-bench", tmp_path / "out")
    assert not (tmp_path / "out").exists()
