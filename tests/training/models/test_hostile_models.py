"""Malformed models and recordings: each gives a message with file and key, and no traceback."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.pairs.kind import PREFERENCES
from duplexgen.training.data import TrainingData
from duplexgen.training.live.talk import LONGEST_S, read_recording
from duplexgen.training.models.model import DuplexModel, load_model
from duplexgen.training.models.start import start_from_config
from duplexgen.training.objectives.dpo import check_origin
from duplexgen.training.sequences import SequenceFormat
from tests.command import duplexgen
from tests.tokens import tiny
from tests.training.conftest import TINY

VALUES: list[Any] = [
    0,
    -1,
    10**9,
    10**13,
    0.5,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    "x",
    "",
    None,
    [],
    {},
    True,
]
NO_JSON = [
    "",
    "[]",
    "null",
    "{",
    '{"a": NaN}',
    '{"a": Infinity}',
    "[" * 100_000,
    '{"a":' * 100_000,
    '{"a": 1e400}',
    "\x00",
]


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "user.wav"
    soundfile.write(path, np.zeros(16000, np.float32), 16000, subtype="PCM_16")
    return path


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_key_of_a_configuration(folder: Path, value: Any) -> None:
    """A model that can still be loaded has all the weights that were trained."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    weights = load_file(folder / "model.safetensors")
    for key in config:
        path.write_text(json.dumps(config | {key: value}))
        try:
            loaded = load_model(folder).network.state_dict()
        except UserError as error:
            assert str(folder) in str(error)
        else:
            assert all(torch.equal(loaded[name], weight) for name, weight in weights.items())


def test_a_model_whose_configuration_has_an_infinity(model: DuplexModel, folder: Path) -> None:
    """Mamba-2, as transformers wrote it before 5: `Infinity`, where 5 writes `{"__float__": "Infinity"}`."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_heads": 4, "head_dim": 8, "state_size": 8, "n_groups": 1}
    network = start_from_config({"model_type": "mamba2"} | sizes, model.format, seed=0)
    network.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["time_step_limit"] == [0.0, {"__float__": "Infinity"}]
    (folder / "config.json").write_text(json.dumps(config | {"time_step_limit": [0.0, float("inf")]}))
    loaded = load_model(folder).network
    assert loaded.config.time_step_limit[1] == float("inf")
    assert all(torch.equal(loaded.state_dict()[name], weight) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("content", NO_JSON, ids=lambda text: repr(text)[:12])
@pytest.mark.parametrize("name", ["config.json", "training.json", "vocabulary.json"])
def test_files_that_are_no_json(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=str(folder)):
        load_model(folder)


@pytest.mark.parametrize(
    "tokens", [7, [], "x", {"mimi": 3}, {"mimi": {"checkpoint": ""}}, {"glm4voice": {"checkpoint": "s3://x/y"}}]
)
def test_tokens_of_a_model(folder: Path, tokens: Any) -> None:
    (folder / "training.json").write_text(json.dumps({"tokens": tokens}))
    with pytest.raises(UserError, match=rf"{folder}/training\.json is damaged, or of another version: tokens: "):
        load_model(folder)


@pytest.mark.parametrize("about", [{}, {"data": 5}, {"data": None}, {"data": [1]}, {"data": {"x": 1}}], ids=repr)
def test_pairs_for_a_model_that_does_not_say_what_it_was_trained_on(
    folder: Path, data_sets: Callable[..., Dataset], about: dict[str, Any]
) -> None:
    (folder / "training.json").write_text(json.dumps(about))
    pairs = TrainingData([data_sets("turn_taking").path], PREFERENCES, [])
    with pytest.raises(UserError, match=r"training\.json does not say which data sets it was trained on"):
        check_origin(pairs, load_model(folder))


def test_weights_that_are_not_those_of_the_configuration(folder: Path) -> None:
    """Without this check, layers that are left out or never trained make a model that says nonsense."""
    weights = load_file(folder / "model.safetensors")
    less = {name: weight for name, weight in weights.items() if "layers.1." not in name}
    save_file(less, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        UserError, match=r"weights are not those that config\.json asks for, \d+ of them, such as model\.layers\.1"
    ):
        load_model(folder)
    save_file(
        weights | {"model.layers.2.mlp.up_proj.weight": torch.zeros(64, 32)},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(UserError, match=r"such as model\.layers\.2\.mlp\.up_proj\.weight"):
        load_model(folder)


def test_a_model_larger_than_the_machine_is_not_begun(data_sets: Callable[..., Dataset]) -> None:
    sequence_format = SequenceFormat.read(data_sets("turn_taking").path)
    with pytest.raises(UserError, match=r"makes no causal language model: it has .* weights, and this machine"):
        start_from_config(TINY | {"intermediate_size": 10**12}, sequence_format, seed=0)
    for change in ({"num_attention_heads": 0}, {"hidden_size": -1}, {"hidden_act": "x"}, {"rope_parameters": 3}):
        with pytest.raises(UserError, match="makes no causal language model"):
            start_from_config(TINY | change, sequence_format, seed=0)


@pytest.mark.parametrize("option", ["--silence", "--temperature"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "1e9", "1e308", "x", ""])
def test_options_of_talk(folder: Path, recording: Path, tmp_path: Path, option: str, value: str) -> None:
    ended = duplexgen("talk", folder, "--user", recording, "--out", "talk", option, value, cwd=tmp_path)
    assert ended.status == 2
    assert option in ended.said and "Traceback" not in ended.said
    assert not (tmp_path / "talk").exists()


def wav(
    rate: int = 16000, channels: int = 1, data: bytes = b"\0\0" * 1600, says: int | None = None, kind: int = 1
) -> bytes:
    """A WAV with a header of these values. says: bytes of data that the header claims; None: as there are."""
    bits = 16 if kind == 1 else 32
    width = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels, rate, (rate * width) % 2**32, width % 2**16, bits)
    size = len(data) if says is None else says
    chunks = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def refused(path: Path, content: bytes, channel: int | None = None) -> str:
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_recording(path, 16000, channel)
    assert str(error.value).startswith(str(path))
    return str(error.value).removeprefix(str(path)).strip()


def test_recordings_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "user.wav"
    assert "is empty: it has no samples" in refused(path, wav(data=b""))
    for rate in (0, 1, 3999, 768_001, 2**31 - 1, 2**32 - 1):
        refused(path, wav(rate=rate))
    assert "says that it has 1 samples per second. Expected 4000 … 768000." in refused(path, wav(rate=1))
    assert "has 300 channels. Say which one is the user's" in refused(path, wav(channels=300, data=b"\0\0" * 3000))
    assert "has no channel 300, expected 0 … 299." in refused(path, wav(channels=300, data=b"\0\0" * 3000), channel=300)
    refused(path, wav(channels=0))
    refused(path, b"")
    refused(path, b"RIFF")
    refused(path, b"fLaC" + b"\xff" * 100)
    numbers = np.array([0.0, float("nan"), 0.0], "<f4").tobytes()
    assert "holds samples that are not finite numbers" in refused(path, wav(data=numbers, kind=3))
    assert "cannot be read" in refused(tmp_path / "text.wav", b"hello")


def test_what_a_header_says_of_the_length_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "user.wav"
    path.write_bytes(wav(says=2**32 - 2))
    samples, _ = read_recording(path, 16000, None)
    assert len(samples) == 1600
    flac = tmp_path / "user.flac"
    soundfile.write(flac, np.zeros(1600, np.int16), 16000)
    content = bytearray(flac.read_bytes())
    content[21] |= 0x0F  # the upper bits of the 36 that count the samples
    content[22:26] = b"\xff" * 4
    flac.write_bytes(content)
    try:
        samples, _ = read_recording(flac, 16000, None)
    except UserError as error:
        assert str(flac) in str(error)
    else:
        assert len(samples) <= 1600


def test_a_recording_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "user.wav"
    with path.open("wb") as file:
        data = (LONGEST_S + 10) * 4000 * 2
        file.write(wav(rate=4000, data=b"", says=data))
        file.truncate(data + 44)
    with pytest.raises(UserError, match=f"is longer than {LONGEST_S} s"):
        read_recording(path, 16000, None)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_size_of_a_speech_tokenizer(tmp_path: Path, value: Any) -> None:
    from duplexgen.pipeline.tokens.section import GLM4Voice, Tokens
    from duplexgen.pipeline.tokens.speech.glm4voice import SIZES, STRUCTURE, GLM4VoiceTokenizer

    folder = tiny.write_glm4voice(tmp_path / "tokenizer")
    config = json.loads((folder / "config.json").read_text())
    tokens = Tokens(glm4voice=GLM4Voice(checkpoint=str(folder)))
    for key in (*SIZES, *STRUCTURE):
        (folder / "config.json").write_text(json.dumps(config | {key: value}))
        tokenizer = GLM4VoiceTokenizer(tokens)
        if problems := tokenizer.check():
            assert all("config.json" in message or str(folder) in message for _, message in problems)
            with pytest.raises(UserError):
                tokenizer.load()
        else:
            tokenizer.load()
            assert tokenizer.encode(np.zeros((1, 12800), np.int16)).shape == (1, 1, 10)


@pytest.mark.parametrize("content", NO_JSON, ids=lambda text: repr(text)[:12])
def test_tokenizers_whose_files_are_no_json(tmp_path: Path, content: str) -> None:
    from duplexgen.pipeline.tokens.section import GLM4Voice, Pretrained, Tokens
    from duplexgen.pipeline.tokens.speech.glm4voice import GLM4VoiceTokenizer
    from duplexgen.pipeline.tokens.text.pretrained import PretrainedTokenizer

    folder = tiny.write_glm4voice(tmp_path / "tokenizer")
    for name in ("config.json", "preprocessor_config.json"):
        content_before = (folder / name).read_bytes()
        (folder / name).write_text(content)
        assert GLM4VoiceTokenizer(Tokens(glm4voice=GLM4Voice(checkpoint=str(folder)))).check()
        (folder / name).write_bytes(content_before)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "tokenizer.json").write_text(content)
    assert PretrainedTokenizer(Tokens(pretrained=Pretrained(folder=str(tmp_path / "text")))).check()


def test_the_model_is_as_it_was(model: DuplexModel, folder: Path) -> None:
    assert all(
        torch.equal(weight, model.network.state_dict()[name])
        for name, weight in load_model(folder).network.state_dict().items()
    )
