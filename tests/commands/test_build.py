"""Builds on Ray: what comes out, what is not made again, what is left alone."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from duplexgen.pipeline.commands.build import Build, build, prepare
from duplexgen.pipeline.commands.planned import planned
from duplexgen.pipeline.commands.report import describe_dialogue, describe_plan
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.making.stage import run_partition
from duplexgen.pipeline.show.progress import Display
from tests.corpus import TURNS, tree

Recipes = Callable[..., Recipe]
pytestmark = pytest.mark.usefixtures("ray_session")


def make(recipe: Recipe, folder: Path, limit: int | None = None) -> Path:
    out = folder / recipe.name
    build(recipe, Path("/"), out, folder / "work", limit, Display())
    return out


def failures(dataset: Path) -> list[str]:
    return list(verify(dataset, lambda _: None))


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("part-*")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> dict[str, Path]:
    """Both scenarios, built one after the other over the same work folder."""
    from tests.corpus import recipe_dict

    folder = tmp_path_factory.mktemp("built")
    paths = {}
    for scenario in ("turn_taking", "interruption"):
        before = stamps(folder / "work")
        paths[scenario] = make(Recipe.model_validate(recipe_dict(corpus, scenario)), folder)
        paths[f"before {scenario}"] = folder
        after = stamps(folder / "work")
        assert {path: after[path] for path in before} == before  # nothing was made again
    return paths


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_built_data_set_is_whole(built: dict[str, Path], scenario: str) -> None:
    assert failures(built[scenario]) == []


def test_the_card_shows_what_the_gate_heard(recipe: Recipes, tmp_path: Path) -> None:
    speech = {"engine": "replay", "assistant_voice": "assistant", "gate": {"max_silence_s": 3.0}}
    out = make(recipe("turn_taking", speech=speech), tmp_path, limit=2)
    assert failures(out) == []
    assert "| Longest pause within an utterance (s) | 10 |" in (out / "README.md").read_text()


def test_second_recipe_speaks_nothing(built: dict[str, Path]) -> None:
    work = built["turn_taking"].parent / "work"
    assert len([path for path in work.glob("speech-*") if path.is_dir()]) == 1
    assert len([path for path in work.glob("sequences-*") if path.is_dir()]) == 2


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_datasets_reads_it(built: dict[str, Path], scenario: str, tmp_path: Path) -> None:
    rows = datasets.load_dataset(str(built[scenario]), split="train", cache_dir=str(tmp_path))
    assert len(rows) == 7
    assert isinstance(rows.features["audio"], datasets.Audio)
    assert rows.features["audio"].sampling_rate == 16000
    row = rows.cast_column("audio", datasets.Audio(decode=False))[0]
    assert row["dialogue_id"] == "talk/0"
    assert row["audio"]["bytes"][:4] == b"fLaC"
    assert row["audio"]["path"] == "talk%2F0.flac"
    assert len(row["input_ids"]) == row["num_blocks"] * 25
    assert any(of["cut_by"] is not None for of in row["events"]) == (scenario == "interruption")


def test_same_bytes_without_ray_in_one_process(built: dict[str, Path], recipe: Recipes, tmp_path: Path) -> None:
    made = prepare(recipe("interruption"), Path("/"), tmp_path / "work", None, Display())
    source = made.plan.folder
    for stage, folder in zip(made.stages, made.folders, strict=True):
        stage.load(tmp_path / "scratch")
        for partition in reversed(made.plan.partitions):
            folder.write(partition, *run_partition(stage, source.read(partition)))
        source = folder
    assert tree(make(recipe("interruption"), tmp_path)) == tree(built["interruption"])


def test_one_flipped_byte_is_found(built: dict[str, Path], tmp_path: Path) -> None:
    for number, file in enumerate(sorted(path for path in built["turn_taking"].rglob("*") if path.is_file())):
        copy = tmp_path / str(number)
        shutil.copytree(built["turn_taking"], copy)
        target = copy / file.relative_to(built["turn_taking"])
        content = bytearray(target.read_bytes())
        content[len(content) // 2] ^= 1
        target.write_bytes(content)
        try:
            found = failures(copy)
        except UserError as error:
            found = [str(error)]
        assert found, file


def test_missing_and_added_files_are_found(built: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(built["turn_taking"], copy)
    (copy / "vocabulary.json").unlink()
    (copy / "data" / "extra.parquet").write_bytes(b"")
    assert failures(copy) == [
        "vocabulary.json: is missing",
        "data/extra.parquet: is not listed in manifest.json",
    ]


def test_finished_build_is_left_as_it_is(built: dict[str, Path], recipe: Recipes) -> None:
    before = stamps(built["turn_taking"].parent)
    make(recipe(), built["turn_taking"].parent)
    assert stamps(built["turn_taking"].parent) == before


@pytest.mark.parametrize(
    ("changes", "limit", "says"),
    [({"seed": 4}, None, r"seed \(3 there, 4 here\)"), ({}, 2, r"limit \(none there, 2 here\)")],
)
def test_folder_of_something_else_is_left_as_it_is(
    built: dict[str, Path], recipe: Recipes, changes: dict[str, int], limit: int | None, says: str
) -> None:
    before = tree(built["turn_taking"])
    with pytest.raises(UserError, match=says):
        make(recipe(**changes), built["turn_taking"].parent, limit)
    assert tree(built["turn_taking"]) == before


def test_folder_with_other_files_is_left_as_it_is(recipe: Recipes, tmp_path: Path) -> None:
    out = tmp_path / "turn_taking"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="no finished data set"):
        make(recipe(), tmp_path)
    assert tree(out) == {"thesis.tex": b"years of work"}


def test_renditions_multiply_the_dialogues(recipe: Recipes, tmp_path: Path) -> None:
    speech = {"engine": "replay", "assistant_voice": "assistant", "renditions": 3}
    out = make(recipe(speech=speech), tmp_path, limit=2)
    assert failures(out) == []
    rows = list(Dataset(out).rows(["dialogue_id", "events"]))
    assert [row["dialogue_id"] for row in rows] == [
        *("talk/0", "talk/0#1", "talk/0#2"),
        *("talk/1", "talk/1#1", "talk/1#2"),
    ]
    users = [row["events"][0]["voice"] for row in rows]
    assert len(set(users[:3])) == len(set(users[3:])) == 3


def test_takes_multiply_the_rows_and_no_speech(built: dict[str, Path], recipe: Recipes, tmp_path: Path) -> None:
    shutil.copytree(built["turn_taking"].parent / "work", tmp_path / "work")
    before = stamps(tmp_path / "work")
    out = make(recipe(timing={"scenario": "turn_taking", "takes": 2}), tmp_path)
    assert failures(out) == []
    after = stamps(tmp_path / "work")
    assert {path.rsplit("/", 2)[1].split("-")[0] for path in after.keys() - before.keys()} == {"tracks", "sequences"}
    rows = {row["dialogue_id"]: row for row in Dataset(out).rows()}
    assert len(rows) == 14
    assert all(rows[row["dialogue_id"]] == row for row in Dataset(built["turn_taking"]).rows())
    assert "talk/0~1" in rows
    ledger = {counts.stage: counts for counts in Dataset(out).manifest.ledger}
    assert (ledger["speech"].emitted, ledger["tracks"].planned) == (7, 14)
    assert "talk/0~1" in describe_dialogue(Dataset(out), "talk/0~1")
    takes = [line for line in describe_plan(planned(prepared(out, recipe))).splitlines() if line.startswith("takes")]
    assert takes == ["takes        2 of each, 14 dialogues to make"]


def prepared(out: Path, recipe: Recipes) -> Build:
    made = recipe(timing={"scenario": "turn_taking", "takes": 2})
    return prepare(made, Path("/"), out.parent / "work", None, Display())


def test_rows_that_are_left_out_are_in_the_ledger_and_the_plan(recipe: Recipes, tmp_path: Path) -> None:
    corpus = tmp_path / "talk.jsonl"
    lines = [{"id": id_, "lang": lang, "data": TURNS[:2]} for id_, lang in (("a", "zh"), ("b", "en"), ("c", "zh"))]
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    source = {"name": "talk", "shape": "ultrachat", "path": str(corpus), "where": {"lang": "en"}, "id_key": "id"}
    made = recipe(sources=[source])
    out = make(made, tmp_path)
    assert failures(out) == []
    assert [row["dialogue_id"] for row in Dataset(out).rows()] == ["talk-b"]
    first = Dataset(out).manifest.ledger[0]
    assert (first.planned, first.emitted, first.notes) == (1, 1, {"left_out_by_where": 2})
    plan = describe_plan(planned(prepare(made, Path("/"), tmp_path / "work", None, Display()))).splitlines()
    assert plan[1:3] == [
        "dialogues    1 (0 rows of the sources rejected)",
        "left out     2 rows of the sources, by `where`",
    ]


def test_audio_can_be_left_out(recipe: Recipes, tmp_path: Path) -> None:
    out = make(recipe(output={"audio": "none"}), tmp_path, limit=2)
    assert failures(out) == []
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Audio was left out" in card
    assert "cast_column" not in card
    rows = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert "audio" not in rows.features


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_too_many_rejections_stop_the_build(recipe: Recipes, tmp_path: Path, share: float) -> None:
    """Also if the recipe allows that all are rejected: then the message does not blame the recipe."""
    rewriting = {"max_user_words": 1}
    expected = "7 of 7 dialogues were rejected; a data set needs at least one"
    with pytest.raises(UserError, match=expected) as stopped:
        make(recipe(rewriting=rewriting, max_rejected_share=share), tmp_path)
    assert not (tmp_path / "turn_taking").exists()
    assert re.search(r"\n +7  user_turn_too_long, such as talk/0: turn 1 \S+", str(stopped.value))
    table = Path(str(stopped.value).rsplit(" ", 1)[1].removesuffix("."))
    assert datasets.Dataset.from_parquet(str(table), cache_dir=str(tmp_path / "cache")).num_rows == 7


def test_small_shards(recipe: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from duplexgen.pipeline.dataset import finish

    whole = finish.group_shards
    monkeypatch.setattr(
        "duplexgen.pipeline.making.run.group_shards", lambda folder, numbers, _: whole(folder, numbers, 300_000)
    )
    out = make(recipe(), tmp_path)
    assert [path.name for path in Dataset(out).shards] == [f"train-0000{n}-of-00004.parquet" for n in range(4)]
    assert failures(out) == []
