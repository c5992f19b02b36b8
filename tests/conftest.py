"""What tests of several rooms share: a small corpus, recipes over it, and one local Ray."""

import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import settings

from benchmarks import replay
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.kokoro import Kokoro
from duplexgen.pipeline.stages.speech import SpeechStage
from tests.corpus import TURNS, recipe_dict
from tests.stages.running import dialogue, texts, through
from tests.stages.running import recipe as stage_recipe

MAKES_ROOM = ["mount", "-o", "remount,size=64m"]
"""Give it the folder of a small disk."""

settings.register_profile("duplexgen", deadline=None)  # how long an example takes decides nothing
settings.load_profile("duplexgen")


@pytest.fixture(scope="session", autouse=True)
def replay_engine() -> None:
    """Recipes of tests may name the engine that plays a recording."""
    replay.register()


@pytest.fixture
def signals() -> Iterator[None]:
    """Commands that a test starts heed signals, also if the tests were started in the background or under nohup."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small disk: `disk("256k")`."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for all builds of a run; a build uses what it finds initialised."""
    import ray

    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven dialogues of two and three exchanges, in UltraChat's shape."""
    path = tmp_path_factory.mktemp("corpus") / "talk.jsonl"
    lines = [{"id": f"talk/{number}", "data": TURNS[: 4 + 2 * (number % 2)]} for number in range(7)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def recipe(corpus: Path) -> Callable[..., Recipe]:
    """Make a checked recipe over the corpus: `recipe("interruption", seed=4)`."""
    return lambda scenario="turn_taking", **changes: Recipe.model_validate(recipe_dict(corpus, scenario, **changes))


@pytest.fixture
def recipe_file(corpus: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write such a recipe to a file."""

    def write(scenario: str = "turn_taking", **changes: Any) -> Path:
        path = tmp_path / f"{scenario}.yaml"
        path.write_text(yaml.safe_dump(recipe_dict(corpus, scenario, **changes)), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def kokoro() -> Kokoro:
    engine = Kokoro()
    engine.load()
    return engine


@pytest.fixture(scope="session")
def spoken(kokoro: Kokoro) -> Waveform:
    """An utterance as the engine gives it: [samples] at 24 kHz, silence at both ends."""
    (said,) = kokoro.speak([SpeechRequest("Put the kettle on, and we will talk.", "am_michael", "en", seed=0)])
    assert isinstance(said, RawSpeech)
    return said.waveform


@pytest.fixture(scope="session")
def said() -> pa.Table:
    """What the stage `speech` makes of two dialogues, of three and of two exchanges, with words and with figures."""
    speech = {"engine": "replay", "assistant_voice": "assistant", "gate": {"max_silence_s": 3.0}}
    stage = SpeechStage(stage_recipe(speech=speech).speech, seed=1)
    return through([stage], texts(dialogue("a/b", *TURNS), dialogue("c", *TURNS[:4])))[0]
