import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import MimiModel

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.tokens.section import Mimi, Tokens
from duplexgen.pipeline.tokens.speech.mimi import WINDOW_FRAMES, MimiTokenizer
from tests.devices import device
from tests.tokens import tiny

SPF = MimiTokenizer.samples_per_frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_mimi(tmp_path_factory.mktemp("mimi"))


def tokenizer(folder: Path | str, codebooks: int = 8, loaded: bool = True) -> MimiTokenizer:
    made = MimiTokenizer(Tokens(mimi=Mimi(checkpoint=str(folder), codebooks=codebooks, device=device())))
    if loaded:
        made.load()
    return made


@pytest.fixture(scope="module")
def mimi(folder: Path) -> MimiTokenizer:
    return tokenizer(folder)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    loaded: Any = MimiModel.from_pretrained(folder)
    return loaded.to(device())


def sounds(frames: int, channels: int = 1, seed: int = 0) -> NDArray[np.int16]:
    return tiny.sounds(channels, frames, 24000, SPF, seed)


@pytest.mark.parametrize("frames", [1, 10, WINDOW_FRAMES, WINDOW_FRAMES + 35])
def test_codes_are_those_of_transformers(mimi: MimiTokenizer, reference: Any, frames: int) -> None:
    samples = sounds(frames, channels=2)
    with torch.no_grad():
        heard = torch.from_numpy(samples / np.float32(32768))[:, None].to(device())
        whole = reference.encode(heard, num_quantizers=8).audio_codes.cpu()
    codes = mimi.encode(samples)
    assert codes.dtype == np.int16 and codes.shape == (2, 8, frames)
    assert (codes == whole.numpy()).all()


def test_the_codes_say_something(mimi: MimiTokenizer) -> None:
    codes = mimi.encode(sounds(100))[0]
    assert all(len(np.unique(book)) > 10 for book in codes)


def test_waveforms_are_those_of_transformers(mimi: MimiTokenizer, reference: Any) -> None:
    codes = mimi.encode(sounds(20))[0]
    for used in (1, 8):
        with torch.no_grad():
            said = torch.from_numpy(codes[None, :used].astype(np.int64)).to(device())
            expected = reference.decode(said).audio_values[0, 0].cpu().numpy()
        waveform = mimi.decode(codes[:used])
        assert waveform.shape == (20 * SPF,) and waveform.dtype == np.float32
        rounding = 0 if device() == "cpu" else 1e-4 * waveform.std()  # kernels of a GPU depend on shapes
        np.testing.assert_allclose(waveform, expected, rtol=0, atol=rounding)
        assert waveform.std() > 0
    assert mimi.decode(codes[:, :0]).shape == (0,)


@pytest.mark.parametrize("frames", [1, 30, WINDOW_FRAMES + 35])
def test_a_voice_that_comes_bit_by_bit_is_that_of_transformers(
    mimi: MimiTokenizer, reference: Any, frames: int
) -> None:
    """Which has all codes at once; its own cache would start each of its convolutions with silence."""
    codes = mimi.encode(sounds(frames))
    with torch.no_grad():
        said_at_once = torch.from_numpy(codes.astype(np.int64)).to(device())
        whole = reference.decode(said_at_once).audio_values[0, 0].cpu().numpy()
    stream = mimi.decoding_stream(1)
    said = np.concatenate([stream.push(codes[:, :, at : at + 1])[0] for at in range(frames)])
    np.testing.assert_allclose(said, whole, rtol=0, atol=1e-4 * whole.std())
    np.testing.assert_allclose(mimi.decode(codes[0]), whole, rtol=0, atol=1e-4 * whole.std())


def test_a_channel_alone_has_the_codes_it_has_in_a_batch(mimi: MimiTokenizer) -> None:
    batch = sounds(30, channels=5)
    batch[3] = 0
    together = mimi.encode(batch)
    for row, codes in zip(batch, together, strict=True):
        assert (mimi.encode(row[np.newaxis])[0] == codes).all()


def test_channels_of_many_tracks_are_rows_of_a_batch(mimi: MimiTokenizer) -> None:
    """As many as there is room for, of similar length, so that little is computed in vain."""
    rows: list[tuple[int, int]] = []
    hook = mimi._model.encoder.register_forward_pre_hook(lambda module, given: rows.append(given[0].shape[::2]))
    mimi._room.most, before = 4 * WINDOW_FRAMES, mimi._room.most
    tracks = [sounds(frames, channels=2) for frames in (WINDOW_FRAMES, 20, WINDOW_FRAMES, 30)]
    mimi.encode_all(tracks)
    hook.remove()
    mimi._room.most = before
    assert rows == [(4, 30 * SPF), (4, WINDOW_FRAMES * SPF)]


@settings(deadline=None, max_examples=12)
@given(sizes=st.lists(st.integers(0, 12), min_size=1, max_size=8), seed=st.integers(0, 100))
def test_blocks_pushed_one_by_one_give_the_codes_of_the_whole(mimi: MimiTokenizer, sizes: list[int], seed: int) -> None:
    samples = sounds(sum(sizes), channels=2, seed=seed)
    stream, heard, codes = mimi.stream(2), 0, []
    for size in sizes:
        codes.append(stream.push(samples[:, heard * SPF : (heard + size) * SPF]))
        heard += size
    assert (np.concatenate(codes, axis=2) == mimi.encode(samples)).all()


@settings(deadline=None, max_examples=20)
@given(frames=st.integers(1, 40), heard=st.integers(0, 40), seed=st.integers(0, 100), loud=st.booleans())
def test_no_code_looks_ahead(mimi: MimiTokenizer, frames: int, heard: int, seed: int, loud: bool) -> None:
    heard = min(heard, frames)
    first = sounds(frames, seed=seed)
    second = first.copy()
    rest = second[:, heard * SPF :]
    rest[:] = np.where(np.arange(rest.shape[1]) % 50 < 25, 32767, -32768) if loud else 0
    assert (mimi.encode(first)[..., :heard] == mimi.encode(second)[..., :heard]).all()


def test_a_code_does_depend_on_what_was_before(mimi: MimiTokenizer) -> None:
    samples = sounds(20)
    assert (mimi.encode(samples)[..., 10:] != mimi.encode(samples[:, 10 * SPF :])).any()


def test_fewer_codebooks_are_the_first_ones(mimi: MimiTokenizer, folder: Path) -> None:
    samples = sounds(20)
    assert (tokenizer(folder, codebooks=3).encode(samples) == mimi.encode(samples)[:, :3]).all()


def test_wrong_input_is_refused(mimi: MimiTokenizer) -> None:
    with pytest.raises(ValueError, match="1921 samples are not a whole number of frames of 1920"):
        mimi.encode(np.zeros((2, 1921), np.int16))
    with pytest.raises(ValueError, match="expected int16"):
        mimi.encode(np.zeros((2, 1920), np.float32))
    with pytest.raises(ValueError, match="expected 2 channels, got 3"):
        mimi.stream(2).push(np.zeros((3, 1920), np.int16))
    with pytest.raises(ValueError, match="expected codes 0"):
        mimi.decode(np.full((1, 3), 2048, np.int16))
    with pytest.raises(ValueError, match="expected codes"):
        mimi.decode(np.zeros((9, 3), np.int16))
    assert mimi.encode(np.zeros((2, 0), np.int16)).shape == (2, 8, 0)


def test_planning_needs_no_model(folder: Path, tmp_path: Path) -> None:
    planned = tokenizer(folder, loaded=False)
    assert planned.check() == [] and planned.codebooks == 8
    moved = Path(shutil.copytree(folder, tmp_path / "moved"))
    assert tokenizer(moved, loaded=False).fingerprint() == planned.fingerprint()
    again = pickle.loads(pickle.dumps(planned))
    again.load()
    assert again.encode(sounds(1)).shape == (1, 8, 1)


def mistakes(planned: MimiTokenizer, key: str = "checkpoint") -> str:
    problems = planned.check()
    assert [location for location, _ in problems] == [("tokens", "mimi", key)] * len(problems)
    with pytest.raises(UserError):
        planned.load()
    return " | ".join(message for _, message in problems)


def test_what_is_missing_or_another_model_is_a_mistake(folder: Path, tmp_path: Path) -> None:
    assert "hf download kyutai/mimi" in mistakes(tokenizer(tmp_path / "nowhere", loaded=False))
    assert "hf download kyutai/mimi" in mistakes(tokenizer("no-such/model-here", loaded=False))
    for name in ("config.json", "model.safetensors"):
        partial = Path(shutil.copytree(folder, tmp_path / name))
        (partial / name).unlink()
        assert name in mistakes(tokenizer(partial, loaded=False))
    (partial / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-1])
    assert "copy it again" in mistakes(tokenizer(partial, loaded=False))
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "encodec"}))
    assert 'model_type "encodec", expected "mimi"' in mistakes(tokenizer(other, loaded=False))
    for key, value in (("pad_mode", "reflect"), ("trim_right_ratio", 0.5), ("use_causal_conv", False)):
        (other / "config.json").write_text(json.dumps(config | {key: value}))
        assert f"says {key} " in mistakes(tokenizer(other, loaded=False))
    assert "at most the 10" in mistakes(tokenizer(folder, codebooks=11, loaded=False), "codebooks")
    assert "mimi" in MimiTokenizer(Tokens()).check()[0][1]


def test_weights_that_are_missing_are_not_drawn_at_random(folder: Path, tmp_path: Path) -> None:
    partial = Path(shutil.copytree(folder, tmp_path / "partial"))
    weights = load_file(partial / "model.safetensors")
    lost = next(name for name in weights if name.startswith("encoder"))
    del weights[lost]
    save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="copied in part"):
        tokenizer(partial)
