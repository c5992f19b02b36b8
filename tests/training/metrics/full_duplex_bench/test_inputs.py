"""What is found in folders of Full-Duplex-Bench, and what is left out of them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.training.metrics.full_duplex_bench.inputs import Mark, Task, found
from tests.training.metrics.full_duplex_bench import folders


def test_the_folders_that_the_benchmark_publishes(tmp_path: Path) -> None:
    items, left_out = found(folders.published(tmp_path))
    assert not left_out
    assert [(item.set_name, item.id) for item in items] == [
        ("v1_0/candor_pause_handling", "1"),
        *[("v1_0/candor_turn_taking", number) for number in ("1", "2", "10")],
        ("v1_0/icc_backchannel", "0"),
        ("v1_0/synthetic_pause_handling", "1"),
        ("v1_0/synthetic_user_interruption", "1"),
        ("v1_5/user_backchannel", "1"),
        ("v1_5/user_interruption", "1"),
    ]
    tasks = {item.set_name.split("/")[1]: item for item in items}
    assert tasks["candor_turn_taking"].task is Task.SMOOTH_TURN_TAKING
    assert tasks["candor_turn_taking"].mark == Mark(2.0, 2.4)
    assert tasks["synthetic_user_interruption"].mark == Mark(1.0, 2.0, "Where is it?", "No, when is it?")
    assert tasks["user_backchannel"].task is tasks["user_interruption"].task is Task.OVERLAP
    assert tasks["user_interruption"].mark == Mark(1.0, 2.0, "Where is it?", "No, when is it?")
    assert tasks["user_interruption"].inputs == ["input.wav", "clean_input.wav"]
    assert (tasks["icc_backchannel"].task, tasks["icc_backchannel"].mark) == (Task.BACKCHANNEL, None)
    assert tasks["candor_pause_handling"].task is Task.PAUSE_HANDLING


def test_any_folder_above_an_item(tmp_path: Path) -> None:
    root = folders.published(tmp_path / "data")
    inner = root / "v1_0" / "candor_turn_taking"
    assert {item.set_name for item in found(inner)[0]} == {"candor_turn_taking"}
    assert {item.set_name for item in found(root / "v1_5")[0]} == {"user_backchannel", "user_interruption"}
    above = {item.set_name for item in found(tmp_path)[0]}
    assert above == {f"data/{item.set_name}" for item in found(root)[0]}
    assert [item.id for item in found(inner, limit=2)[0]] == ["1", "2"]
    with pytest.raises(UserError, match=r"has no items of Full-Duplex-Bench. Expected in it"):
        found(inner / "1")
    (tmp_path / "empty").mkdir()
    for nothing in ("empty", "nowhere"):
        with pytest.raises(UserError, match=nothing):
            found(tmp_path / nothing)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def _says(content: object) -> Callable[[Path], None]:
    return lambda item: folders.write_json(item / "turn_taking.json", content)


@pytest.mark.parametrize(
    ("damage", "reason", "detail"),
    [
        (lambda item: (item / "input.wav").unlink(), "missing_file", "there is no input.wav"),
        (lambda item: folders.write_wav(item / "input.wav", 0.0), "unreadable_audio", "it has no samples"),
        (lambda item: folders.write_wav(item / "input.wav", channels=2), "unreadable_audio", "has 2 channels"),
        (lambda item: _cut(item / "input.wav"), "unreadable_audio", "input.wav"),
        (lambda item: (item / "input.wav").write_text("no sound"), "unreadable_audio", "input.wav"),
        (lambda item: (item / "turn_taking.json").unlink(), "missing_file", "there is no turn_taking.json"),
        (lambda item: (item / "turn_taking.json").write_text("["), "unreadable_json", "turn_taking.json"),
        (lambda item: (item / "turn_taking.json").write_text("[" * 100_000), "unreadable_json", "turn_taking.json"),
        (lambda item: (item / "turn_taking.json").write_bytes(b"\xff"), "unreadable_json", "expected UTF-8"),
        (_says([]), "unreadable_json", "has not the form"),
        (_says({}), "unreadable_json", "has not the form"),
        (_says(["2.0"]), "unreadable_json", "has not the form"),
        (_says([{"timestamp": [6.5, 7.0]}]), "unreadable_json", "6.5 s comes after the end of input.wav, at 6.000 s"),
        *[
            (_says([{"timestamp": times}]), "unreadable_json", "expected two times in seconds")
            for times in (None, 2.0, [2.0], [2.0, "3"], [-1.0, 2.0], [True, 2.0], [1.0, 10**400])
        ],
    ],
)
def test_an_item_that_cannot_be_used_is_listed(
    tmp_path: Path, damage: Callable[[Path], object], reason: str, detail: str
) -> None:
    for number in ("1", "2"):
        folders.turn_taking(tmp_path / "candor_turn_taking" / number)
    damage(tmp_path / "candor_turn_taking" / "2")
    items, (left_out,) = found(tmp_path)
    assert [item.id for item in items] == ["1"]
    assert (left_out.set_name, left_out.reason) == ("candor_turn_taking", reason)
    assert left_out.detail.startswith("2: ") and detail in left_out.detail


def test_the_name_of_a_folder_says_its_task_if_no_mark_does(tmp_path: Path) -> None:
    for name in ("candor_turn_taking", "icc_backchannel", "somewhere"):
        folders.write_wav(tmp_path / name / "1" / "input.wav")
    items, left_out = found(tmp_path)
    assert [item.set_name for item in items] == ["icc_backchannel"]
    assert {one.set_name: one.reason for one in left_out} == {
        "candor_turn_taking": "missing_file",
        "somewhere": "unknown_task",
    }


def test_an_answer_may_start_before_the_turn_ends_and_no_event_ends_before_its_start(tmp_path: Path) -> None:
    folders.published(tmp_path)
    mark = json.loads((tmp_path / "v1_5/user_interruption/1/metadata.json").read_text())
    folders.write_json(tmp_path / "v1_5/user_interruption/1/metadata.json", mark | {"timestamps": [2.0, 1.0]})
    folders.write_json(tmp_path / "v1_0/candor_turn_taking/1/turn_taking.json", [{"timestamp": [2.0, 1.8]}])
    items, (left_out,) = found(tmp_path)
    assert left_out.set_name == "v1_5/user_interruption" and "before its start" in left_out.detail
    assert next(item.mark for item in items if item.id == "1" and item.task is Task.SMOOTH_TURN_TAKING) == Mark(2, 1.8)
