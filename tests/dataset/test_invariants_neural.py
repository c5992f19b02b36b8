"""Codes of neural networks against audio: rounding is forgiven, another signal is not."""

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from duplexgen.pipeline.audio.flac import encode as to_flac
from duplexgen.pipeline.commands.build import build, prepare
from duplexgen.pipeline.dataset.invariants import ROUNDED_SHARE, Checker
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, installed
from tests.corpus import recipe_dict, run_stages
from tests.tokens.tiny import write_glm4voice, write_mimi

Row = dict[str, Any]
FOLDERS: dict[str, Callable[[Path], Path]] = {"glm4voice": write_glm4voice, "mimi": write_mimi}


@pytest.fixture(scope="module")
def neural(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> dict[str, Path]:
    """A data set of one dialogue in the tokens of each, its model beside it."""
    folders = {}
    for name, write in FOLDERS.items():
        folder = tmp_path_factory.mktemp(name)
        section = {"checkpoint": str(write(folder / "model")), "device": "cpu"}
        recipe = Recipe.model_validate(recipe_dict(corpus, tokens={"speech_tokenizer": name, name: section}))
        run_stages(prepare(recipe, Path("/"), folder / "work", 1, Display()))
        build(recipe, Path("/"), folder / "out", folder / "work", 1, Display())
        folders[name] = folder
    return folders


@pytest.fixture(scope="module")
def checkers(neural: dict[str, Path]) -> dict[str, Checker]:
    by_name = {}
    for name, folder in neural.items():
        dataset = Dataset(folder / "out")
        described = dataset.described
        text = installed(TEXT_TOKENIZERS, described.text_tokenizer, dataset.tokens)
        speech = installed(SPEECH_TOKENIZERS, described.speech_tokenizer, dataset.tokens)
        frame = described.samples_per_frame, described.margin_frames
        by_name[name] = Checker(dataset.manifest.made_of, dataset.layout, text, speech, *frame)
    return by_name


@pytest.fixture
def rows(neural: dict[str, Path]) -> dict[str, Row]:
    return {name: next(Dataset(folder / "out").rows()) for name, folder in neural.items()}


def failures(checker: Checker, row: Row) -> list[str]:
    return list(checker.check(row))


@pytest.mark.parametrize("name", FOLDERS)
def test_whole(neural: dict[str, Path], name: str) -> None:
    assert list(verify(neural[name] / "out", lambda _: None)) == []


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("damage", ["moved by a frame", "channels swapped", "of other speech"])
def test_another_signal(checkers: dict[str, Checker], rows: dict[str, Row], name: str, damage: str) -> None:
    row = rows[name]
    track, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
    other = {"moved by a frame": np.roll(track, 1280, axis=0), "channels swapped": track[:, ::-1]}
    row["audio"]["bytes"] = to_flac(other.get(damage, track[::-1]), rate)
    messages = failures(checkers[name], row)
    for column in ("user_codes", "assistant_codes"):
        assert any(says.startswith(f"{column} are not the codes of the audio: ") for says in messages), messages


def test_a_code_here_and_there_is_rounding_and_more_is_not(checkers: dict[str, Checker], rows: dict[str, Row]) -> None:
    row, frame = rows["mimi"], 1280
    user = [event for event in row["events"] if event["channel"] == "user"]
    speech = sum(-(-event["end_sample"] // frame) - event["start_sample"] // frame for event in user)
    spoken = speech + 40  # and the margin
    most = int(np.ceil(ROUNDED_SHARE * spoken))
    assert 1 <= most < 0.1 * spoken
    row["user_codes"][2][5] ^= 1  # each codebook is counted by itself
    for number in range(most + 1):  # of another codebook than the one in the sequence
        assert failures(checkers["mimi"], row) == []
        row["user_codes"][1][20 + number] ^= 1
    (message,) = failures(checkers["mimi"], row)
    differ = f"{most + 1} of {len(row['user_codes'][0])} differ in a codebook, at most {most} may"
    assert message == f"user_codes are not the codes of the audio: {differ}"


def test_codes_of_another_length(checkers: dict[str, Checker], rows: dict[str, Row]) -> None:
    rows["mimi"]["user_codes"] = [codes[:-1] for codes in rows["mimi"]["user_codes"]]
    assert any(
        says.startswith("assistant_codes does not have the shape [")
        for says in failures(checkers["mimi"], rows["mimi"])
    )


def test_weights_in_other_precision(checkers: dict[str, Checker], rows: dict[str, Row]) -> None:
    """A hundred times what float32 rounds is forgiven; what half precision does to weights is not."""
    encoder = checkers["mimi"].speech_tokenizer._model.encoder  # type: ignore[attr-defined]
    weights = copy.deepcopy(encoder.state_dict())
    noise = torch.Generator().manual_seed(0)
    try:
        for spread, is_forgiven in ((1e-5, True), (3e-3, False)):
            draws = {key: torch.randn(value.shape, generator=noise) for key, value in weights.items()}
            off = {key: value * (1 + spread * draws[key]) for key, value in weights.items()}
            encoder.load_state_dict(off)
            assert (failures(checkers["mimi"], rows["mimi"]) == []) == is_forgiven, spread
    finally:
        encoder.load_state_dict(weights)


@pytest.mark.parametrize("name", FOLDERS)
def test_model_that_is_somewhere_else(neural: dict[str, Path], name: str) -> None:
    folder = neural[name]
    (folder / "model").rename(folder / "elsewhere")
    try:
        with pytest.raises(
            UserError, match=f"(?s)tokens.{name}.checkpoint: .*its rows were not.*or a link to it, there"
        ):
            list(verify(folder / "out", lambda _: None))
    finally:
        (folder / "elsewhere").rename(folder / "model")
