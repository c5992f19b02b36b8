"""What makes a finished data set the one that a recipe asks for, and what does not."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.commands.build import Build, build, prepare
from duplexgen.pipeline.dataset import statistics
from duplexgen.pipeline.dataset.manifest import Manifest
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.making.run import make as make_data_set
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.stages.script import ScriptStage
from duplexgen.pipeline.stages.sequences import SequencesStage
from duplexgen.pipeline.stages.speech import SpeechStage
from duplexgen.pipeline.stages.tracks import TracksStage
from tests.corpus import recipe_dict, run_stages, tree
from tests.tokens.tiny import write_mimi

OTHER_WEIGHTS = r"was made with other weights, voices, prompts or code: tracks\.shape\.shaped_by\.speech_tokenizer"
BPE = Path(__file__).parents[2] / "pipeline" / "tokens" / "text" / "bpe.json"


def changed(recipe: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """changes: values by keys such as `tokens.mimi.num_gpus`."""
    for place, value in changes.items():
        *sections, key = place.split(".")
        section: Any = recipe
        for name in sections:
            section = section[int(name) if name.isdigit() else name]
        section[key] = value
    return recipe


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    """A folder with models, a source, and a data set made of them whose stages' folders are gone."""
    site = tmp_path_factory.mktemp("site")
    write_mimi(site / "models" / "mimi")
    (site / "models" / "text").mkdir()
    shutil.copy(BPE, site / "models" / "text" / "tokenizer.json")
    shutil.copy(corpus, site / "talk.jsonl")
    run_stages(plan(site))
    make(site)
    shutil.rmtree(site / "work")
    return site


def recipe_of(site: Path, changes: dict[str, Any]) -> Recipe:
    mimi = {"checkpoint": str(site / "models" / "mimi"), "codebooks": 2, "device": "cpu"}
    pretrained = {"folder": str(site / "models" / "text")}
    names = {"speech_tokenizer": "mimi", "text_tokenizer": "pretrained"}
    tokens = names | {"mimi": mimi, "pretrained": pretrained}
    return Recipe.model_validate(changed(recipe_dict(Path("talk.jsonl"), tokens=tokens), changes))


def plan(site: Path, changes: dict[str, Any] | None = None) -> Build:
    return prepare(recipe_of(site, changes or {}), site, site / "work", 2, Display())


def make(site: Path, changes: dict[str, Any] | None = None, base: Path | None = None, limit: int | None = 2) -> None:
    build(recipe_of(site, changes or {}), base or site, site / "out", site / "work", limit, Display())


def left_alone(site: Path, *make: Callable[[], None]) -> None:
    before = tree(site / "out")
    for command in make:
        command()
    assert tree(site / "out") == before


def test_machine_settings_leave_a_data_set_what_it_is(site: Path) -> None:
    left_alone(
        site,
        lambda: make(site),
        lambda: make(site, {"tokens.mimi.num_gpus": 0.5, "tokens.mimi.device": "auto"}),
        lambda: make(site, {"max_rejected_share": 0.1}),
    )


def test_moved_models_and_sources_leave_a_data_set_what_it_is(site: Path) -> None:
    shutil.copytree(site / "models", site / "moved" / "models")
    shutil.move(site / "talk.jsonl", site / "moved" / "talk.jsonl")
    try:
        folders = {
            "tokens.mimi.checkpoint": str(site / "moved/models/mimi"),
            "tokens.pretrained.folder": str(site / "moved/models/text"),
        }
        left_alone(site, lambda: make(site, folders, base=site / "moved"))
        folders["sources.0.path"] = str(site / "moved/talk.jsonl")
        left_alone(site, lambda: make(site, folders))
    finally:
        shutil.move(site / "moved" / "talk.jsonl", site / "talk.jsonl")


def test_key_is_that_of_what_shapes_it(site: Path) -> None:
    stored = Dataset(site / "out").manifest
    assert plan(site).key == stored.key
    assert plan(site, {"tokens.mimi.num_gpus": 1.0}).key == stored.key
    shaping = {"seed": 4, "license": "mit", "output": {"shard_mb": 5}}
    keys = {plan(site, {key: value}).key for key, value in shaping.items()}
    assert len(keys | {stored.key}) == 4


def test_data_set_whose_key_was_made_otherwise_is_known_by_its_stages(site: Path) -> None:
    made, stored = plan(site), Dataset(site / "out").manifest
    assert made.is_that_of(claiming(site, stored.model_copy(update={"key": "0" * 16})))
    other = stored.stages["sequences"].model_copy(update={"key": "0" * 16})
    assert not made.is_that_of(
        claiming(site, stored.model_copy(update={"stages": stored.stages | {"sequences": other}}))
    )


def claiming(site: Path, manifest: Manifest) -> Dataset:
    """A data set whose manifest says this."""
    dataset = Dataset(site / "out")
    vars(dataset)["manifest"] = manifest
    return dataset


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 4}, "seed (3 there, 4 here)"),
        ({"name": "other"}, "name (turn_taking there, other here)"),
        ({"description": "Talk."}, "description ( there, Talk. here)"),
        ({"license": "mit"}, "license (cc0-1.0 there, mit here)"),
        ({"sources.0.license": "mit"}, "sources[0].license (unknown there, mit here)"),
        ({"tokens.mimi.codebooks": 3}, "tokens.mimi.codebooks (2 there, 3 here)"),
    ],
)
def test_what_shapes_it_makes_another_and_is_named(site: Path, changes: dict[str, Any], says: str) -> None:
    """The card says name, description and licences: under new ones the old card may not pass for this recipe's."""
    with pytest.raises(UserError) as refused:
        make(site, changes)
    assert f"belongs to another recipe, 'turn_taking' as it was then: it differs in {says}" in str(refused.value)


def test_another_limit(site: Path) -> None:
    with pytest.raises(UserError, match=r"it differs in limit \(2 there, none here\)"):
        make(site, limit=None)


def test_another_source_or_weights_of_the_same_path(site: Path) -> None:
    source = site / "talk.jsonl"
    kept = source.read_bytes()
    source.write_bytes(kept + b"\n")
    with pytest.raises(UserError, match=r"it differs in sources\.talk\.talk\.jsonl \([0-9a-f]{39}… there"):
        make(site)
    source.write_bytes(kept)
    weights = site / "models" / "mimi" / "config.json"
    weights.write_text(weights.read_text() + "\n")
    with pytest.raises(
        UserError,
        match=OTHER_WEIGHTS,
    ):
        make(site)
    weights.write_text(weights.read_text()[:-1])
    make(site)


@pytest.fixture
def spoken(corpus: Path, tmp_path: Path) -> Build:
    """A build whose stages are through, and which is not finished."""
    made = prepare(Recipe.model_validate(recipe_dict(corpus)), Path("/"), tmp_path / "work", None, Display())
    run_stages(made)
    return made


def finish(made: Build, monkeypatch: pytest.MonkeyPatch, without: tuple[type, ...]) -> None:
    """Finish a build in this process, in which the engines of some stages cannot be loaded."""

    def missing(self: object, scratch: Path) -> None:
        raise AssertionError(f"{self} was loaded")

    for stage in without:
        monkeypatch.setattr(stage, "load", missing)
    monkeypatch.setattr(Build, "done_here", 100)
    make_data_set(lambda: made, made.work.parent / "out", made.work, Display())


def test_the_last_stage_needs_its_own_input_alone(
    spoken: Build, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for folder in (spoken.plan.folder, *spoken.folders[:2]):
        for file in folder.path.glob("*.parquet"):
            file.unlink()
    shutil.rmtree(spoken.folders[-1].path)
    finish(spoken, monkeypatch, (ScriptStage, SpeechStage, TracksStage))
    all_ = f"{spoken.plan.num_partitions}/{spoken.plan.num_partitions}"
    assert f"script {all_}, speech {all_}, tracks {all_} already there" in capfd.readouterr().err
    assert list(verify(spoken.work.parent / "out", lambda _: None)) == []


def test_a_stage_whose_folder_is_lost_is_made_again_and_no_other(
    spoken: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(spoken.folders[0].path)
    shutil.rmtree(spoken.folders[0].path)
    finish(spoken, monkeypatch, (SpeechStage, TracksStage, SequencesStage))
    assert {name: content for name, content in tree(spoken.folders[0].path).items() if name in before} == before


def test_what_is_measured_and_what_is_not_said_change_no_key(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bins of histograms, optional keys at their defaults, parts that are not used; what a seed shapes, it changes."""
    keys = plan(site).keys
    for name, quantity in [*statistics.ALL.items()]:
        monkeypatch.setitem(statistics.ALL, name, replace(quantity, bins=quantity.bins + 1, high=quantity.high * 2))
    same = {"timing.takes": 1, "speech.gate": None, "speech.max_attempts": 3, "layout": {}, "rewriting": {"llm": None}}
    assert plan(site, same).keys == keys


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"layout": {"name": "bayling", "user_tokens": 5, "text_tokens": 3}}, 3),
        ({"layout": {"name": "bayling", "user_tokens": 20, "text_tokens": 10}}, 3),
        ({"timing.scenario": "interruption"}, 2),
        ({"timing.takes": 2}, 2),
        ({"tokens.mimi.codebooks": 3}, 2),
        ({"seed": 4}, 1),
        ({"speech.gate": {}}, 1),
        ({"rewriting": {"max_reply_words": 30}}, 0),
        ({"speech.renditions": 2}, 0),
    ],
)
def test_stages_from_the_first_that_a_change_shapes_have_other_keys(
    site: Path, changes: dict[str, Any], kept: int
) -> None:
    keys, others = plan(site).keys, plan(site, changes).keys
    assert others[:kept] == keys[:kept]
    assert not {*others[kept:]} & {*keys}
