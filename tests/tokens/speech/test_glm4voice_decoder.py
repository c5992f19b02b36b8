"""GLM-4-Voice's decoder on a tiny folder. data/glm4voice_decoder.npz has what the official code says of the same folder
and codes; public_decoder.py writes it."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.tokens.section import GLM4Voice, Tokens
from duplexgen.pipeline.tokens.speech import glm4voice_decoder, glm4voice_decoder_config
from duplexgen.pipeline.tokens.speech.glm4voice import GLM4VoiceTokenizer
from duplexgen.pipeline.tokens.speech.glm4voice_decoder import GLM4VoiceDecoder
from duplexgen.pipeline.tokens.speech.glm4voice_voice import DELAY_SAMPLES, Networks, Voices, faded, frames_of
from tests.tokens import tiny
from tests.tokens.speech.public_decoder import MEL_STEP, NUMBERS, PUSHES, WAVE_STEP, WHOLE, codes
from tests.tokens.speech.test_streams import held_bytes

CODES = 512
# The official code adds up the phase of the voice in float32, sample by sample.
CLOSE: Any = {"rtol": 0, "atol": 2e-3}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def reference() -> Any:
    return np.load(NUMBERS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_glm4voice_decoder(tmp_path_factory.mktemp("models") / "glm-4-voice-decoder")


@pytest.fixture(scope="module")
def decoder(folder: Path) -> GLM4VoiceDecoder:
    return GLM4VoiceDecoder(folder, "cpu")


class Spy:
    """A network, and what it was given."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.given: list[tuple[torch.Tensor, ...]] = []

    def __call__(self, *given: torch.Tensor) -> Any:
        self.given.append(given)
        return self._network(*given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


def spied(decoder: GLM4VoiceDecoder) -> tuple[Networks, Any, Any]:
    flow, vocoder = Spy(decoder._networks.flow), Spy(decoder._networks.vocoder)
    return replace(decoder._networks, flow=flow, vocoder=vocoder), flow, vocoder  # type: ignore[arg-type]


def said(voice: Voices, pushes: tuple[int, ...] = PUSHES) -> list[torch.Tensor]:
    """Waveforms at 22,050 Hz of `codes`, cut into pushes; the last one ends the signal."""
    tokens, waveforms = torch.from_numpy(codes(sum(pushes)).astype(np.int64)), []
    with torch.inference_mode():
        for number, piece in enumerate(tokens.split(pushes, dim=1), start=1):
            waveforms.append(voice.push(piece, last=number == len(pushes))[0])
    return waveforms


def test_a_stream_says_what_the_official_code_does_push_by_push(decoder: GLM4VoiceDecoder, reference: Any) -> None:
    networks, _, vocoder = spied(decoder)
    waveforms = said(Voices(networks, 1))
    for number, waveform in enumerate(waveforms):
        mel = vocoder.given[number][0][0, :, 1 if number else 0 :]
        np.testing.assert_allclose(mel.flatten()[::MEL_STEP], reference[f"mel/{number}"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(waveform[::WAVE_STEP], reference[f"wave/{number}"], **CLOSE)
        assert len(waveform[::WAVE_STEP]) == len(reference[f"wave/{number}"]) > 20


def test_a_whole_says_what_the_official_code_does(decoder: GLM4VoiceDecoder, reference: Any) -> None:
    (waveform,) = said(Voices(decoder._networks, 1), (WHOLE,))
    np.testing.assert_allclose(waveform[::WAVE_STEP], reference["wave/whole"], **CLOSE)
    assert len(waveform) == 256 * frames_of(WHOLE)
    spoken = decoder.decode(codes(WHOLE))
    padded = np.pad(waveform.numpy(), (0, WHOLE * 1764 - len(waveform)))
    np.testing.assert_allclose(spoken, soxr.resample(padded, 22050, 16000), rtol=0, atol=1e-6)


def test_the_reference_says_something(reference: Any) -> None:
    """A sound that no bound of the vocoder cuts off, and that is another one in each push."""
    waves = [reference[f"wave/{number}"] for number in range(len(PUSHES))]
    assert all(wave.std() > 0.01 and (np.abs(wave) < 0.98).mean() > 0.95 for wave in waves)
    first = [wave[:100] for wave in waves if len(wave) >= 100]
    assert all(np.abs(one - other).max() > 0.02 for one, other in pairwise(first))


@settings(deadline=None, max_examples=15)
@given(sizes=st.lists(st.integers(0, 23), min_size=1, max_size=6))
def test_however_codes_are_cut_time_is_kept(decoder: GLM4VoiceDecoder, sizes: list[int]) -> None:
    """A push gives as much sound as its codes last, and what it gives is late by the same time in any push."""
    stream, voice = decoder.stream(1, CODES), Voices(decoder._networks, 1)
    all_codes, ends = codes(sum(sizes)), np.cumsum(sizes)
    heard, exact = [], [np.zeros(DELAY_SAMPLES, np.float32)]
    for size, end in zip(sizes, ends, strict=True):
        piece = all_codes[:, end - size : end]
        heard.append(stream.push(piece[np.newaxis]))
        assert heard[-1].shape == (1, size * 1280) and heard[-1].dtype == np.float32
        if size:
            with torch.inference_mode():
                exact.append(voice.push(torch.from_numpy(piece.astype(np.int64)))[0].numpy())
    late = np.concatenate(exact)
    assert len(late) - DELAY_SAMPLES == 256 * max(0, frames_of(int(ends[-1])) - 35)
    assert len(late) >= ends[-1] * 1764
    if not ends[-1]:
        return
    whole, delay = soxr.resample(late[: ends[-1] * 1764], 22050, 16000), 200  # 12.5 ms
    inner = np.concatenate(heard, axis=1)[0][delay:]
    np.testing.assert_allclose(inner[:-200], whole[: len(inner)][:-200], rtol=0, atol=1e-3)


def test_a_push_costs_the_same_late_as_early(decoder: GLM4VoiceDecoder) -> None:
    networks, flow, vocoder = spied(decoder)
    voice, kept = Voices(networks, 1), []
    with torch.inference_mode():
        for number in range(40):
            voice.push(torch.full((1, 10), number % CODES))
            kept.append(held_bytes([voice._tokens, voice._mel, voice._overlap, voice._frame, voice._source]))
    frames = [given[2].shape[1] for given in flow.given]
    assert {given[0].shape[1] for given in flow.given[6:]} == {60}
    assert max(frames[6:]) - min(frames[6:]) <= 1 and max(frames) <= 414
    assert max(given[0].shape[2] for given in vocoder.given[1:]) <= 70
    assert max(kept[6:]) - min(kept[6:]) <= 2 * 80 * 4


def test_what_is_given_ends_where_the_sound_does(decoder: GLM4VoiceDecoder) -> None:
    """However often old tokens are forgotten, and wherever they are cut: no frame is lost, none comes twice."""
    networks, flow, vocoder = spied(decoder)
    voice, tokens, frames = Voices(networks, 1), 0, 0
    with torch.inference_mode():
        for size in [7] * 20 + [1] * 30 + [33] * 5:
            voice.push(torch.arange(tokens, tokens + size)[None] % CODES)
            tokens += size
            (given,), (known,), noise = flow.given[-1]
            first = tokens - len(given)
            assert torch.equal(given, torch.arange(first, tokens) % CODES) and first % 10 == 0
            assert known.shape[1] == max(0, frames - frames_of(first))
            assert noise.shape[1] == frames_of(tokens) - frames_of(first)
            frames = max(0, frames_of(tokens) - 34)
    new = sum(given[0].shape[2] for given in vocoder.given) - (len(vocoder.given) - 1)
    assert new == frames


def test_a_fade_of_equal_frames_changes_nothing() -> None:
    frames = torch.from_numpy(generator(0, "frames", "test").standard_normal((80, 60)).astype(np.float32))
    assert torch.allclose(faded(frames[:, :34], frames), frames, atol=1e-6)
    other = faded(frames[:, :34] + 1, frames)
    assert (other[:, 0] - frames[:, 0]).mean() > 0.9 and (other[:, 33] - frames[:, 33]).mean() < 0.1
    assert torch.equal(other[:, 34:], frames[:, 34:])


def test_the_same_codes_give_the_same_sound(folder: Path, decoder: GLM4VoiceDecoder) -> None:
    spoken = np.stack([codes(80), codes(80)[:, ::-1], np.full((1, 80), 7, np.int16)])
    stream, again = decoder.stream(3, CODES), GLM4VoiceDecoder(folder, "cpu").stream(3, CODES)
    for at in range(0, 80, 10):
        waveforms = stream.push(spoken[:, :, at : at + 10])
        torch.manual_seed(at)  # nothing hangs on it
        assert (again.push(spoken[:, :, at : at + 10]) == waveforms).all()


@settings(deadline=None, max_examples=15)
@given(
    sizes=st.lists(st.integers(0, 23), min_size=1, max_size=6),
    channels=st.integers(1, 5),
    at_once=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_a_channel_sounds_as_alone_whoever_speaks_beside(
    decoder: GLM4VoiceDecoder, sizes: list[int], channels: int, at_once: int, seed: int
) -> None:
    """However codes are cut into pushes, and channels into batches."""
    draw = generator(seed, "channels", "test")
    spoken = draw.integers(0, CODES, (channels, 1, sum(sizes))).astype(np.int16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glm4voice_decoder, "CHANNELS_AT_ONCE", at_once)
        together = decoder.stream(channels, CODES)
        alone = [decoder.stream(1, CODES) for _ in range(channels)]
        for size, end in zip(sizes, np.cumsum(sizes), strict=True):
            piece = spoken[:, :, end - size : end]
            waveforms = together.push(piece)
            assert waveforms.shape == (channels, size * 1280)
            for number, stream in enumerate(alone):
                np.testing.assert_allclose(waveforms[number], stream.push(piece[number : number + 1])[0], **CLOSE)


def test_channels_are_decoded_together(decoder: GLM4VoiceDecoder) -> None:
    """In one pass of each network, not in one per channel; a batch of any size has a bounded number of rows."""
    networks, flow, vocoder = spied(decoder)
    stream = glm4voice_decoder.GLM4VoiceDecodingStream(networks, 70, CODES)
    stream.push(np.zeros((70, 1, 10), np.int16))
    for network in (flow, vocoder):
        assert [len(given[0]) for given in network.given] == [32, 32, 6]


def test_what_are_no_codes_is_refused(decoder: GLM4VoiceDecoder) -> None:
    stream = decoder.stream(2, CODES)
    for shape in ((1, 1, 4), (2, 2, 4), (2, 4)):
        with pytest.raises(ValueError, match=r"expected codes \[2, 1, frames\]"):
            stream.push(np.zeros(shape, np.int16))
    with pytest.raises(ValueError, match="expected codes 0 … 511, got"):
        stream.push(np.full((2, 1, 4), 512, np.int16))
    assert stream.push(np.zeros((2, 1, 0), np.int16)).shape == (2, 0)
    assert decoder.decode(np.zeros((1, 0), np.int16)).shape == (0,)


def test_long_signals_are_decoded_in_parts(decoder: GLM4VoiceDecoder) -> None:
    waveform = decoder.decode(codes(760))
    assert waveform.shape == (760 * 1280,) and waveform.dtype == np.float32
    assert np.isfinite(waveform).all() and waveform[-1280:].std() > 0.005


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "is not a folder. Download"),
    "no configuration": (lambda folder: (folder / "config.yaml").unlink(), r"config.yaml is missing. Download"),
    "no vocoder": (lambda folder: (folder / "hift.pt").unlink(), r"hift.pt is missing. Download"),
    "empty": (lambda folder: (folder / "flow.pt").write_bytes(b""), "flow.pt is empty"),
    "cut off": (lambda folder: _cut(folder / "flow.pt"), "flow.pt is cut off"),
    "a pointer": (
        lambda folder: (folder / "hift.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
        "Git LFS",
    ),
    "damaged": (lambda folder: _flip(folder / "hift.pt"), "hift.pt cannot be read"),
    "swapped": (
        lambda folder: shutil.copy(folder / "hift.pt", folder / "flow.pt"),
        r"flow.pt lacks decoder.estimator.*and \d+ more: it is another model",
    ),
    "more": (lambda folder: _save(folder / "flow.pt", {"conv": torch.zeros(3)}), "flow.pt has also conv: it is"),
    "another shape": (
        lambda folder: _save(folder / "flow.pt", {"encoder_proj.bias": torch.zeros(3)}),
        r"encoder_proj.bias in .*flow.pt is \[3\], and config.yaml wants \[80\]",
    ),
    "a list": (lambda folder: torch.save([1, 2], folder / "flow.pt"), "flow.pt holds no weights by their names"),
    "numbers": (lambda folder: torch.save({"a": 1}, folder / "flow.pt"), "flow.pt holds no weights by their names"),
    "code": (lambda folder: torch.save({"a": Code(folder / "ran")}, folder / "flow.pt"), "flow.pt cannot be read"),
}


class Code:
    """What a pickle may hold: a call that is made when it is read."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self._marker,)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[:200] = b"\xff" * 200
    path.write_bytes(content)


def _save(path: Path, changed: dict[str, torch.Tensor]) -> None:
    torch.save(torch.load(path, weights_only=True) | changed, path)


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_folder_is_refused_in_words(
    folder: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    copy = tmp_path / "glm-4-voice-decoder"
    shutil.copytree(folder, copy)
    damage(copy)
    tokenizer = _tokenizer(tmp_path, copy)
    with pytest.raises(UserError, match=message):
        tokenizer.decoding_stream(1)
    assert not (copy / "ran").exists()


CONFIGURATIONS = {
    "another vocabulary": ({"vocab_size: 512": "vocab_size: 511"}, "says flow.vocab_size 511, expected 512"),
    "another class": ({"encoder.BlockConformer": "encoder.Conformer"}, "ConformerEncoder.*, expected .*BlockConformer"),
    "CosyVoice's": ({"input_frame_rate: 12.5": "input_frame_rate: 50"}, "says flow.input_frame_rate 50, expected 12.5"),
    "other steps": ({"[8, 8]": "[8, 4]"}, r"says hift.upsample_rates \[8, 4\], expected \[8, 8\]"),
    "unsaid": ({"block_size: 10": "block_size: 10\n        key_bias: False"}, "key_bias false, expected true"),
    "no size": ({"num_blocks: 2": "num_blocks: 0"}, "says flow.encoder.num_blocks 0, expected 1 to 100"),
    "huge": ({"linear_units: 32": f"linear_units: {10**30}"}, "says flow.encoder.linear_units 10+, expected 1 to"),
    "too long to be a number": ({"linear_units: 32": f"linear_units: {'9' * 5000}"}, "line 16: '99.* is no value"),
    "a word": ({"linear_units: 32": "linear_units: many"}, "says flow.encoder.linear_units 'many', expected 1 to"),
    "heads": ({"attention_heads: 2": "attention_heads: 5"}, "output_size 24, expected a multiple of 10"),
    "channels": ({"[16, 24]": "[16, 20]"}, r"channels \[16, 20\], expected a list of multiples of 8"),
    "one size less": ({"        block_size: 10\n": ""}, "says flow.encoder.block_size None, expected 1 to"),
    "no reference": ({"!ref <spk_embed_dim>": "!ref <nothing>"}, "says flow.spk_embed_dim None, expected 1 to"),
    "no vocoder": ({"hift:": "other:"}, "lacks hift: it is not the configuration of GLM-4-Voice's decoder"),
    "a call": ({"block_size: 10": "block_size: !apply:os.getpid []"}, "line 23: !apply:os.getpid is no part of"),
    "python": (
        {"block_size: 10": "block_size: !!python/name:os.getpid"},
        "line 23: !!python/name.* is no part of",
    ),
    "an object": ({"[16, 24]": "!new:os.stat_result [1]"}, "!new:os.stat_result is no part of"),
    "another object": ({"!new:omegaconf.DictConfig": "!apply:omegaconf.DictConfig"}, "!apply:omegaconf.* is no part"),
    "no names": ({"flow:": "? [flow]\n:"}, "lacks flow: it is not the configuration"),
    "no mapping": ({tiny.DECODER: "[1, 2]"}, "lacks flow and hift"),
    "no YAML": ({"flow:": "flow: ["}, "not YAML"),
}


@pytest.mark.parametrize(("changed", "message"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_a_configuration_of_another_model_is_refused_in_words(
    tmp_path: Path, changed: dict[str, str], message: str
) -> None:
    folder = tiny.write_glm4voice_decoder(tmp_path, changed)
    (mistake,) = GLM4VoiceDecoder(folder, "cpu").mistakes(CODES)
    assert str(folder / "config.yaml") in mistake and re.search(message, mistake), mistake


def test_nothing_of_a_configuration_is_run(tmp_path: Path) -> None:
    """The published file has calls and a language model beside what is read."""
    marker = tmp_path / "ran"
    calls = f"call: !apply:os.mkdir ['{marker}']\nllm: !new:pathlib.Path\n    a: !!python/name:os.system\nflow:"
    folder = tiny.write_glm4voice_decoder(tmp_path / "decoder", {"flow:": calls})
    assert GLM4VoiceDecoder(folder, "cpu").mistakes(CODES) == []
    assert glm4voice_decoder_config.read(folder / "config.yaml")["flow.spk_embed_dim"] == 192
    assert not marker.exists()


def _tokenizer(path: Path, decoder: Path | None) -> GLM4VoiceTokenizer:
    checkpoint = tiny.write_glm4voice(path / "glm-4-voice-tokenizer")
    section = GLM4Voice(checkpoint=str(checkpoint), decoder=str(decoder) if decoder else None, device="cpu")
    return GLM4VoiceTokenizer(Tokens(speech_tokenizer="glm4voice", glm4voice=section))


def test_a_decoder_changes_no_code_and_is_not_looked_at_by_what_encodes(tmp_path: Path, folder: Path) -> None:
    """A data set is built and verified with or without it, and where its folder is not."""
    without, there, missing = (_tokenizer(tmp_path, place) for place in (None, folder, tmp_path / "nowhere"))
    assert [made.decodes for made in (without, there, missing)] == [False, True, True]
    assert without.fingerprint() == there.fingerprint() == missing.fingerprint()
    missing.load()
    assert missing.encode(tiny.sounds(1, 3, 16000, 1280)).shape == (1, 1, 3)
    with pytest.raises(UserError, match=r"nowhere is not a folder. Download the decoder: hf download"):
        missing.decode(codes(3))
    with pytest.raises(UserError, match="whose folder is not named"):
        without.decode(codes(3))


def test_a_decoder_says_what_its_tokenizer_heard(tmp_path: Path, folder: Path) -> None:
    """As every tokenizer that decodes: at its own rate, a frame of sound for a frame of codes."""
    tokenizer = _tokenizer(tmp_path, folder)
    tokenizer.load()
    heard = tokenizer.encode(tiny.sounds(2, 20, 16000, 1280))
    assert tokenizer.decode(heard[0]).shape == (20 * 1280,)
    assert tokenizer.decoding_stream(2).push(heard).shape == (2, 20 * 1280)
    with pytest.raises(ValueError, match="expected codes 0 … 511"):
        tokenizer.decode(np.array([[512]], np.int16))
