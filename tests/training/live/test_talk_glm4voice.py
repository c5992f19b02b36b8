"""A model over GLM-4-Voice's codes talks and is evaluated, once its decoder is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.storage.atomic import write_json
from duplexgen.training.live.live import AssistantDecoder, speech_tokenizer
from duplexgen.training.live.modes import can_talk
from duplexgen.training.models.model import ABOUT, load_model, save_model
from duplexgen.training.models.start import start_from_config
from duplexgen.training.sequences import SequenceFormat
from tests.command import duplexgen
from tests.tokens import tiny
from tests.training.conftest import TINY


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_glm4voice_decoder(tmp_path_factory.mktemp("models") / "glm-4-voice-decoder")


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory, data_sets: Callable[..., Dataset]) -> Dataset:
    checkpoint = tiny.write_glm4voice(tmp_path_factory.mktemp("models") / "glm-4-voice-tokenizer")
    section = {"checkpoint": str(checkpoint), "mode": "streaming", "device": "cpu"}
    tokens = {"speech_tokenizer": "glm4voice", "glm4voice": section}
    return data_sets("turn_taking", "turn_taking_glm4voice", tokens=tokens)


@pytest.fixture(scope="module")
def glm_folder(tmp_path_factory: pytest.TempPathFactory, data_set: Dataset) -> Path:
    """As `duplexgen train` would have written it."""
    folder = tmp_path_factory.mktemp("models") / "glm"
    network = start_from_config(TINY, SequenceFormat.read(data_set.path), seed=0)
    save_model(network, network.state_dict(), data_set.path, folder)
    tokens = data_set.tokens.model_dump(mode="json")
    write_json(folder / ABOUT, {"recipe": {"name": "glm"}, "tokens": tokens})
    return folder


def test_a_model_can_talk_once_its_decoder_is_named(glm_folder: Path, decoder: Path) -> None:
    assert not can_talk(load_model(glm_folder).format)
    named = load_model(glm_folder, decoder=decoder).format
    assert can_talk(named)
    voice = AssistantDecoder(speech_tokenizer(named), named, 2, 1)
    waveforms = np.concatenate([voice.push(np.full((2, 1, 10), code, np.int16)) for code in (1, 2, 3)], axis=1)
    assert waveforms.shape == (2, 3 * 12800)
    late = round((0.418 + 0.0125) * 16000)
    assert np.abs(waveforms[:, : late - 250]).max() < 1e-6, "but for the filter of the resampler"
    assert waveforms[:, late + 250 :].std() > 0.01


def test_the_recipe_of_the_data_may_name_it(glm_folder: Path, decoder: Path, tmp_path: Path) -> None:
    about = json.loads((glm_folder / ABOUT).read_text())
    about["tokens"]["glm4voice"]["decoder"] = str(decoder)
    copy = tmp_path / "model"
    copy.mkdir()
    for path in glm_folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    write_json(copy / ABOUT, about)
    assert can_talk(load_model(copy).format)


def test_only_a_model_of_its_codes_takes_it(model_folder: Path, decoder: Path) -> None:
    with pytest.raises(UserError, match=r"to decode codes of GLM-4-Voice, and the speech tokenizer of .* is melvq"):
        load_model(model_folder, decoder=decoder)


def test_talk(glm_folder: Path, decoder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "user.wav", tiny.sounds(1, 25, 16000, 1280)[0], 16000)
    command: tuple[Any, ...] = ("talk", glm_folder, "--user", "user.wav", "--silence", "0.5")
    refused = duplexgen(*command, cwd=tmp_path)
    assert refused.status == 2 and "--decoder" in refused.said and not (tmp_path / "out").exists()
    missing = duplexgen(*command, "--decoder", "nowhere", cwd=tmp_path)
    assert missing.status == 2 and "nowhere is not a folder" in missing.said and "hf download" in missing.said
    ended = duplexgen(*command, "--decoder", decoder, cwd=tmp_path)
    assert ended.status == 0, ended.said
    assistant, rate = soundfile.read(tmp_path / f"out/talk/{glm_folder.name}/user/assistant.wav")
    assert rate == 16000 and assistant[12800 + 8000 :].std() > 0.001


def test_evaluate(glm_folder: Path, decoder: Path, data_set: Dataset, tmp_path: Path) -> None:
    recipe = f"extends: timing\nname: spoken\ndecoder: {decoder}\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    refused = duplexgen("evaluate", glm_folder, data_set.path, "--limit", "1", cwd=tmp_path)
    assert refused.status == 2 and "`decoder` in a recipe of `evaluate`" in refused.said
    (tmp_path / "nowhere.yaml").write_text(recipe.replace(str(decoder), "nowhere"))
    missing = duplexgen("evaluate", glm_folder, data_set.path, "--recipe", "nowhere.yaml", cwd=tmp_path)
    assert missing.status == 2 and "nowhere is not a folder" in missing.said
    ended = duplexgen(*("evaluate", glm_folder, data_set.path, "--recipe", "recipe.yaml", "--limit", "1"), cwd=tmp_path)
    assert ended.status == 0, ended.said
    result = json.loads((tmp_path / f"out/evaluation/{glm_folder.name}/evaluation.json").read_text())
    assert len(result["items"]) == 1 and len(result["decoder_sha256"]) == 64
    assert result["recipe"]["decoder"] == str(decoder)
