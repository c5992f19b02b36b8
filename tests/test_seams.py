"""A layout, a scenario, an effect and exporters that nobody ships: a module each, a line in a table, and they work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from duplexgen.pipeline.acoustics.effects import EFFECTS
from duplexgen.pipeline.commands.build import Build, build, prepare
from duplexgen.pipeline.commands.report import describe_dialogue
from duplexgen.pipeline.dataset.invariants import Checker
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.exports.exporters import EXPORTERS, export
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.layouts.layouts import LAYOUTS
from duplexgen.pipeline.pairs.build import build as build_pairs
from duplexgen.pipeline.scenarios.scenarios import SCENARIOS
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.stages.sequences import SequencesStage
from duplexgen.pipeline.stages.tracks import TracksStage
from duplexgen.pipeline.view.viewer import Viewer
from duplexgen.training.live.live import converse
from duplexgen.training.models.model import load_model
from duplexgen.training.objectives.dpo import train_dpo
from duplexgen.training.objectives.sft import train_sft
from tests.corpus import recipe_dict, run_stages, tree
from tests.pairs.conftest import pairs_recipe
from tests.seams.effect import Hum
from tests.seams.exporter import Broken, Heard, Lines, Sequences
from tests.seams.layout import Plain
from tests.seams.scenario import Overlapping
from tests.stages.running import SCRATCH, recipe, through
from tests.training.objectives.test_dpo import dpo_recipe
from tests.training.objectives.test_sft import sft_recipe

OURS: dict[str, Any] = {
    "timing": {"scenario": "overlapping", "share": 0.25},
    "acoustics": [{"effect": "hum", "loudest": 300}],
    "layout": {"name": "plain", "shift": 2},
}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "plain", Plain)
    monkeypatch.setitem(SCENARIOS, "overlapping", Overlapping)
    monkeypatch.setitem(EFFECTS, "hum", Hum)
    for exporter in (Lines, Heard, Sequences, Broken):
        monkeypatch.setitem(EXPORTERS, exporter.name, exporter)


@pytest.fixture
def built(corpus: Path, tmp_path: Path) -> Callable[..., Path]:
    """A data set of the recipe, three dialogues long, and the work folder beside it."""

    def make(name: str = "set", **changes: Any) -> Path:
        recipe = Recipe.model_validate(recipe_dict(corpus) | OURS | {"name": name} | changes)
        run_stages(prepare(recipe, Path("/"), tmp_path / "work", 3, Display()))
        build(recipe, Path("/"), tmp_path / name, tmp_path / "work", 3, Display())
        return tmp_path / name

    return make


def test_stages_make_rows_that_keep_every_invariant(said: pa.Table) -> None:
    of = recipe(**OURS)
    stage = SequencesStage(of)
    made, outcome = through([TracksStage(of), stage], said)
    assert outcome.rejections == () and made.schema.names[-1] == "plain_ids"
    check = Checker(of, stage.layout, stage.text_tokenizer, stage.speech_tokenizer, stage.samples_per_frame, 40)
    for row in made.to_pylist():
        assert list(check.check(row)) == []
        assert {(one["effect"], one["quantity"]) for one in row["acoustics"]} == {("hum", "level")}
        row["plain_ids"][7] ^= 1
        assert list(check.check(row)) == ["plain_ids are not those of the track"]


def test_the_same_tracks_give_both_layouts(said: pa.Table) -> None:
    """Whatever layout is asked for, the tracks that are stored are the same, and so is what they are made of."""
    changes = {"timing": {"scenario": "turn_taking"}}
    ours, bayling = recipe(**OURS | changes), recipe(**OURS | changes | {"layout": {}})
    assert TracksStage(ours).shaped_by() == TracksStage(bayling).shaped_by()
    tracks, _ = through([TracksStage(ours)], said)
    plain, blocks = (through([SequencesStage(one)], tracks)[0].to_pylist() for one in (ours, bayling))
    for row, other in zip(plain, blocks, strict=True):
        assert {name: row[name] for name in row.keys() & other.keys()} == {
            name: other[name] for name in row.keys() & other.keys()
        }
        users = np.asarray(row["plain_ids"]).reshape(-1, 3)[:, 0]
        ids = np.asarray(other["input_ids"]).reshape(-1, 25)[:, :10].reshape(-1)
        assert len(np.unique(ids[: len(users)] - users)) == 1, "the same codes, by other ids"


def test_a_build_with_them_verifies_and_is_shown(built: Callable[..., Path]) -> None:
    folder = built()
    assert list(verify(folder, lambda _: None)) == []
    dataset = Dataset(folder)
    assert dataset.layout == Plain(dataset.described.layout, dataset.layout.vocabulary, 1280)  # type: ignore[attr-defined,arg-type]
    assert "plain columns" in describe_dialogue(dataset, "0").splitlines()[-1]
    shown = Viewer(folder).dialogue(0)
    assert (
        shown["grids"][""]["lines"] == describe_dialogue(dataset, "0").splitlines()[-len(shown["grids"][""]["lines"]) :]
    )
    assert shown["acoustics"]["values"][0]["effect"] == "hum"
    assert dataset.manifest.statistics["sequence_ids"].count == 3


def test_pairs_of_it_verify(built: Callable[..., Path], tmp_path: Path) -> None:
    """A late track through the same layout: nothing of the pairs knows what a row is."""
    build_pairs(pairs_recipe(), built(), tmp_path / "pairs", tmp_path / "work", Display())
    assert list(verify(tmp_path / "pairs", lambda _: None)) == []
    for row in Dataset(tmp_path / "pairs").rows():
        chosen, rejected = (np.asarray(row[f"{side}_plain_ids"]).reshape(-1, 3) for side in ("chosen", "rejected"))
        assert np.array_equal(chosen[:, 0], rejected[:, 0]) and not np.array_equal(chosen, rejected)
        assert row["scenario"] == "overlapping" and row["rejected_delay_s"] > row["chosen_delay_s"]


def test_models_are_trained_on_it(
    built: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both stages over rows of this layout: its own column of ids, its own kinds of positions."""
    folder, model = built(), tmp_path / "model"
    train_sft(sft_recipe(folder, steps=12, batch_size=3, micro_batch_size=2), model, Display())
    steps = [json.loads(line) for line in (model / "log.jsonl").read_text().splitlines()]
    assert steps[-1].keys() >= {"audio", "reply"} and steps[-1]["reply"] < 0.75 * steps[0]["reply"]
    build_pairs(pairs_recipe(), folder, tmp_path / "pairs", tmp_path / "work", Display())
    train_dpo(dpo_recipe(model, tmp_path / "pairs", steps=4), tmp_path / "preferring", Display())
    steps = [json.loads(line) for line in (tmp_path / "preferring" / "log.jsonl").read_text().splitlines()]
    assert steps[-1]["margin"] > steps[0]["margin"] and steps[-1].keys() >= {"audio", "reply"}
    shown = capsys.readouterr().err
    assert shown.count(": trained.") == 2 and "duplexgen talk" not in shown
    with pytest.raises(UserError, match="the model has the layout plain, and `talk` and `evaluate` know only bayling"):
        next(converse(load_model(model), ["one"], np.zeros((1, 12800), np.int16)))


def test_another_layout_speaks_and_tokenizes_nothing_again(built: Callable[..., Path], tmp_path: Path) -> None:
    built(timing={"scenario": "turn_taking"})
    before = {path.name for path in (tmp_path / "work").iterdir() if path.is_dir()}
    built("bayling", timing={"scenario": "turn_taking"}, layout={"name": "bayling"})
    after = {path.name for path in (tmp_path / "work").iterdir() if path.is_dir()}
    assert {name.partition("-")[0] for name in after - before} == {"sequences"}


def test_a_recipe_that_names_what_is_not_there(corpus: Path) -> None:
    for section, key in (("timing", "scenario"), ("layout", "name")):
        with pytest.raises(ValueError, match=rf"{section}\.{key}\n  expected one of .*(overlapping|plain)"):
            Recipe.model_validate(recipe_dict(corpus) | {section: {key: "another"}})


def test_an_export_is_whole_or_not_there(built: Callable[..., Path], tmp_path: Path) -> None:
    dataset = Dataset(built())
    counted: list[int] = []
    out = tmp_path / "new" / "lines"
    assert export(dataset, "lines", out, counted.append).rows == 3
    lines = (out / "lines-0.txt").read_text(encoding="utf-8").splitlines()
    events = [(row["dialogue_id"], one["channel"], one["text"]) for row in dataset.rows() for one in row["events"]]
    assert [tuple(line.split("\t")) for line in lines] == events and counted == [1, 2, 3, 3]
    assert (out / "count.txt").read_text() == str(len(events)) and "tags:\n- lines" in (out / "README.md").read_text()
    whole = tree(out)
    with pytest.raises(UserError, match="disk is full"):
        export(dataset, "broken", tmp_path / "new" / "broken")
    with pytest.raises(UserError, match=r"holds something else than this export"):
        export(dataset, "broken", out)
    assert not export(dataset, "lines", out).is_new
    assert tree(out) == whole and not (tmp_path / "new" / "broken").exists()


def test_what_a_data_set_cannot_give_is_said_before_anything_is_written(
    built: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset(built(output={"audio": "none"}, layout={}))
    written = tmp_path / "there" / "out"
    with pytest.raises(UserError, match=r"as heard: its rows have no audio: build it again with `output: \{audio: fl"):
        export(dataset, "heard", written)
    with pytest.raises(UserError, match=r"its layout is bayling: build it again with `layout: \{name: plain\}`"):
        export(dataset, "sequences", written)
    with pytest.raises(
        UserError, match=r"no exporter 'nothing': expected one of broken, .*heard, .*lines, .*sequences"
    ):
        export(dataset, "nothing", written)
    batches = Dataset.batches

    def without_words(self: Dataset, *args: Any) -> Any:
        for batch in batches(self, *args):
            rows = batch.to_pylist()
            events = [{"events": [event | {"words": None} for event in row["events"]]} for row in rows]
            yield type(batch).from_pylist([row | own for row, own in zip(rows, events, strict=True)], batch.schema)

    monkeypatch.setattr(Dataset, "batches", without_words)
    with pytest.raises(UserError, match=r"no audio: .*; the times of words are not known for all of its events"):
        export(dataset, "heard", written)
    assert not written.parent.exists()


def test_a_plan_is_made_of_them(corpus: Path, tmp_path: Path) -> None:
    made: Build = prepare(Recipe.model_validate(recipe_dict(corpus) | OURS), Path("/"), tmp_path, 3, Display())
    assert [stage.name for stage in made.stages] == ["script", "speech", "tracks", "sequences"]
    made.sequences.load(SCRATCH)
    assert isinstance(made.sequences.layout, Plain)
