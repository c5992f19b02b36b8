"""How the GPUs of a cluster are shared out, and what workers warn of; actor pools themselves are what builds test."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from duplexgen.pipeline.commands.build import build
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.making import ray as dag
from duplexgen.pipeline.making import rounds
from duplexgen.pipeline.making.ray import gpus_each, slots
from duplexgen.pipeline.show.progress import Display
from tests.corpus import recipe_dict
from tests.rewriting.llm.conftest import endpoint  # noqa: F401
from tests.serving import Endpoint


@pytest.mark.parametrize(
    ("gpus", "share", "actors"), [(4, 0.5, 8), (4, 0.75, 4), (8, 0.7, 8), (4, 1, 4), (4, 2, 2), (3, 2, 1), (1, 0.3, 3)]
)
def test_an_actor_does_not_reach_over_two_gpus(gpus: float, share: float, actors: int) -> None:
    assert slots(gpus, share) == actors


@pytest.mark.parametrize(("share", "cores", "actors"), [(0.5, 16, 2), (0.1, 16, 10), (0.1, 4, 4), (1.0, 0, 1)])
def test_no_more_actors_than_cores(share: float, cores: int, actors: int) -> None:
    stage = SimpleNamespace(name="speech", num_gpus=share, cost=1.0)
    assert dag._actors(stage, {"CPU": cores}, 1.0, {"speech": 1}) == actors  # type: ignore[arg-type]


@pytest.mark.parametrize("gpus", [1, 2, 3, 4, 8, 100])
def test_stages_share_what_there_is(gpus: float) -> None:
    shares = {"speech": 0.5, "data": 0.25}
    given = gpus_each(shares, gpus)
    assert sum(given.values()) <= gpus
    assert all(given[name] >= share for name, share in shares.items())
    assert gpus < 4 or given["speech"] > given["data"]


def test_stages_that_ask_for_more_than_there_is_are_named() -> None:
    with pytest.raises(UserError, match=r"2 GPUs, .*\(speech 1, data 1\), and the cluster has 1"):
        gpus_each({"speech": 1, "data": 1}, 1)
    assert gpus_each({}, 0) == {}


@pytest.mark.usefixtures("ray_session")
def test_what_a_worker_warns_of_is_said_once_where_the_command_runs(
    corpus: Path,
    endpoint: Endpoint,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rewriting = {"engine": "llm", "llm": {"url": endpoint.url, "model": "some-model"}}
    recipe = Recipe.model_validate(recipe_dict(corpus, rewriting=rewriting))
    kept = tmp_path / "work" / "script.scratch"
    kept.mkdir(parents=True)
    (kept / "answers-torn.jsonl").write_text(json.dumps({"key": "a"})[:-4] + "\n", encoding="utf-8")
    said: list[str] = []
    monkeypatch.setattr(rounds.LOG, "warning", lambda text, *values: said.append(text % values))
    build(recipe, Path("/"), tmp_path / "out", tmp_path / "work", 4, Display(quiet=True))
    assert len(said) == 1
    assert "answers-torn.jsonl" in said[0]
