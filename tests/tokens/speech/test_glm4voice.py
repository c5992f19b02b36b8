"""The reference codes in data/ were made once with the WhisperVQEncoder of THUDM/GLM-4-Voice (transformers 4.44.1,
float32, one signal at a time, segments of 30 s) on the weights and sounds that `tiny` makes."""

import json
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.tokens.section import GLM4Voice, Tokens
from duplexgen.pipeline.tokens.speech.glm4voice import GLM4VoiceTokenizer
from duplexgen.pipeline.tokens.speech.glm4voice_batches import Batches, Task
from duplexgen.pipeline.tokens.speech.glm4voice_stream import Encoder, GLM4VoiceStream
from tests.devices import Device, device
from tests.tokens import tiny

REFERENCE: dict[str, list[list[int]]] = json.loads(
    (Path(__file__).parent / "data" / "glm4voice_codes.json").read_text()
)
Mode = Literal["offline", "streaming"]
SPF = GLM4VoiceTokenizer.samples_per_frame
BLOCK = 10
SHORT_SEGMENT = 115  # frames, for tests of many segments: two blocks of attention and a part of one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_glm4voice(tmp_path_factory.mktemp("glm-4-voice-tokenizer"))


def tokenizer(
    folder: Path, mode: Mode = "offline", loaded: bool = True, on: Device | None = None
) -> GLM4VoiceTokenizer:
    section = GLM4Voice(checkpoint=str(folder), mode=mode, device=on or device())
    made = GLM4VoiceTokenizer(Tokens(glm4voice=section))
    if loaded:
        made.load()
    return made


@pytest.fixture(scope="module")
def offline(folder: Path) -> GLM4VoiceTokenizer:
    return tokenizer(folder)


@pytest.fixture(scope="module")
def streaming(folder: Path) -> GLM4VoiceTokenizer:
    return tokenizer(folder, "streaming")


def sounds(frames: int, channels: int = 2, seed: int | None = None) -> NDArray[np.int16]:
    return tiny.sounds(channels, frames, 16000, SPF, seed=frames if seed is None else seed)


@pytest.mark.parametrize("frames", [int(frames) for frames in REFERENCE])
def test_codes_are_those_of_the_official_code(offline: GLM4VoiceTokenizer, frames: int) -> None:
    codes = offline.encode(sounds(frames))
    assert codes.dtype == np.int16 and codes.shape == (2, 1, frames)
    assert codes[:, 0].tolist() == REFERENCE[str(frames)]


def test_the_reference_says_something() -> None:
    codes = np.array(REFERENCE["500"])
    assert len(np.unique(codes)) > 100 and (codes[0] != codes[1]).mean() > 0.9


@pytest.mark.parametrize("mode", ["offline", "streaming"])
def test_a_channel_alone_has_the_codes_it_has_in_a_batch(folder: Path, mode: Mode) -> None:
    batch = sounds(30, channels=5)
    batch[3] = 0
    together = tokenizer(folder, mode).encode(batch)
    for row, codes in zip(batch, together, strict=True):
        assert (tokenizer(folder, mode).encode(row[np.newaxis])[0] == codes).all()


def test_segments_stand_alone(offline: GLM4VoiceTokenizer) -> None:
    frames = offline.segment_frames
    samples = sounds(2 * frames + 25, channels=1)
    pieces = [samples[:, at * SPF : (at + frames) * SPF] for at in range(0, 2 * frames + 25, frames)]
    joined = np.concatenate([offline.encode(piece) for piece in pieces], axis=2)
    assert (offline.encode(samples) == joined).all()


@settings(deadline=None, max_examples=25)
@given(blocks=st.integers(1, 5), heard=st.integers(0, 4), seed=st.integers(0, 100), loud=st.booleans())
def test_streaming_never_looks_ahead(
    streaming: GLM4VoiceTokenizer, blocks: int, heard: int, seed: int, loud: bool
) -> None:
    heard = min(heard, blocks)
    first = sounds(blocks * BLOCK, channels=1, seed=seed)
    second = first.copy()
    rest = second[:, heard * BLOCK * SPF :]
    rest[:] = np.where(np.arange(rest.shape[1]) % 50 < 25, 32767, -32768) if loud else 0
    committed = heard * BLOCK
    assert (streaming.encode(first)[..., :committed] == streaming.encode(second)[..., :committed]).all()


def test_offline_does_look_ahead_within_its_blocks(offline: GLM4VoiceTokenizer) -> None:
    first = sounds(50, channels=1)
    second = first.copy()
    second[:, 30 * SPF :] = 0
    assert (offline.encode(first)[..., :30] != offline.encode(second)[..., :30]).any()


def test_streaming_commits_what_offline_says_of_the_prefix(
    offline: GLM4VoiceTokenizer, streaming: GLM4VoiceTokenizer
) -> None:
    frames = 385  # more than a segment, whose end lies inside a block
    samples = sounds(frames, channels=1)
    codes = streaming.encode(samples)
    for start in (0, 190, 370, 380):
        end = min(start + BLOCK, frames)
        assert (offline.encode(samples[:, : end * SPF])[..., start:] == codes[..., start:end]).all()


@pytest.mark.parametrize("block_frames", [7, 10, 60])
def test_every_block_of_a_stream_is_what_offline_says_of_the_prefix(
    offline: GLM4VoiceTokenizer, folder: Path, block_frames: int
) -> None:
    """Silence, then ever louder, so that what was kept has to be made again; two segments, cut anywhere."""
    section = GLM4Voice(checkpoint=str(folder), mode="streaming", block_frames=block_frames, device=device())
    made = GLM4VoiceTokenizer(Tokens(glm4voice=section))
    made.load()
    samples = sounds(430, channels=1, seed=3)
    louder = 10 ** np.linspace(-4, 0, samples.shape[1])
    louder[60 * SPF : 70 * SPF] = 0
    samples = np.rint(samples * louder).astype(np.int16)
    codes = made.encode(samples)
    for start in range(0, 430, block_frames):
        end = min(start + block_frames, 430)
        assert (offline.encode(samples[:, : end * SPF])[..., start:] == codes[..., start:end]).all(), start


@settings(deadline=None, max_examples=10)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_a_stream_of_offline_hears_what_offline_would_if_it_ended_there(
    offline: GLM4VoiceTokenizer, sizes: list[int], seed: int
) -> None:
    samples, stream, end = sounds(sum(sizes), seed=seed), offline.stream(2), 0
    for size in sizes:
        end += size
        codes = stream.push(samples[:, (end - size) * SPF : end * SPF])
        assert (codes == offline.encode(samples[:, : end * SPF])[..., end - size :]).all()


def test_a_push_encodes_a_block_again_and_not_what_was_before_it(streaming: GLM4VoiceTokenizer) -> None:
    """Positions that go through the layers: at most an open block of 4 s and the pushed 0.8 s, wherever it stands."""
    passed: list[int] = []
    layer = streaming._encoder.network.layers[0]
    hook = layer.register_forward_hook(lambda module, given, out: passed.append(given[0].shape[1]))
    stream = streaming.stream(1)
    for at in range(0, 800, BLOCK):
        stream.push(noise(800)[:, at * SPF : (at + BLOCK) * SPF])
    hook.remove()
    assert len(passed) == 81  # one push meets the end of a segment
    assert max(passed[:37]) == 200, "a push that ends a block is the last that encodes it"
    assert max(passed) <= 200 + 4 * BLOCK
    in_four_s = np.convolve(passed, np.ones(5, int), "valid")  # as many as open a block and end it
    assert in_four_s[:30].max() == 600
    assert in_four_s.max() <= 700, "in every second segment, pushes do not end with blocks"


def noise(frames: int, channels: int = 1) -> NDArray[np.int16]:
    """Of which nothing is clamped."""
    drawn = generator(0, "noise", "test").integers(-9000, 9000, (channels, frames * SPF))
    return drawn.astype(np.int16)


def course(kind: str, frames: int, seed: int) -> NDArray[np.int16]:
    """Two channels that grow from silence, fall silent, or go on: what is clamped changes with the loudest moment."""
    samples = sounds(frames, seed=seed)
    if kind == "growing":
        samples = np.rint(samples * 10 ** np.linspace(-4, 0, samples.shape[1])).astype(np.int16)
    if kind in ("growing", "pausing"):
        samples[1, : frames // 3 * SPF] = 0
        samples[0, frames // 2 * SPF : frames * 2 // 3 * SPF] = 0
    return samples


def at_once(
    encoder: Encoder, tracks: Sequence[NDArray[np.int16]], block_frames: int | None, most: int | None = None
) -> list[NDArray[np.int16]]:
    codes = [np.empty((len(samples), samples.shape[1] // SPF), np.int16) for samples in tracks]
    signals, rows = ([row for track in of for row in track] for of in (tracks, codes))
    Batches(encoder, most).encode([Task(*each) for each in zip(signals, rows, strict=True)], block_frames)
    return codes


def streamed(encoder: Encoder, samples: NDArray[np.int16], block_frames: int) -> NDArray[np.int16]:
    stream = GLM4VoiceStream(encoder, len(samples), block_frames)
    return np.concatenate([stream.push(samples), stream.finish()], axis=2)[:, 0]


TRACKS = st.lists(
    st.tuples(st.sampled_from(["steady", "pausing", "growing"]), st.integers(0, 180), st.integers(0, 99)),
    min_size=1, max_size=3,
)  # fmt: skip


@settings(deadline=None, max_examples=15)
@given(tracks=TRACKS, block_frames=st.sampled_from([3, 7, 10, 50, 60, 200]), most=st.sampled_from([100, 700, 9000]))
def test_signals_known_as_a_whole_have_the_codes_of_their_streams(
    streaming: GLM4VoiceTokenizer, tracks: list[tuple[str, int, int]], block_frames: int, most: int
) -> None:
    """However many positions are computed at once; segments are short, so that tracks have some."""
    encoder = replace(streaming._encoder, segment_frames=SHORT_SEGMENT)
    whole = [course(*track) for track in tracks]
    for samples, codes in zip(whole, at_once(encoder, whole, block_frames, most), strict=True):
        assert (codes == streamed(encoder, samples, block_frames)).all()


@settings(deadline=None, max_examples=15)
@given(tracks=TRACKS, most=st.sampled_from([100, 700, 9000]))
def test_offline_too_a_track_has_the_codes_it_has_alone(
    offline: GLM4VoiceTokenizer, tracks: list[tuple[str, int, int]], most: int
) -> None:
    encoder = replace(offline._encoder, segment_frames=SHORT_SEGMENT)
    whole = [course(*track) for track in tracks]
    for samples, codes in zip(whole, at_once(encoder, whole, None, most), strict=True):
        assert (codes == at_once(encoder, [samples], None)[0]).all()


def test_the_last_mel_frame_reaches_no_position(offline: GLM4VoiceTokenizer) -> None:
    """So what it mirrors at the end of a prefix changes nothing but the loudest moment."""
    network = offline._encoder.network
    features = torch.rand(1, 128, 80, device=network.codebook.weight.device)
    other = features.clone()
    other[..., -1] = 9
    assert torch.equal(network.convolved(features), network.convolved(other))
    other[..., -2] = 9
    assert not torch.equal(network.convolved(features), network.convolved(other))


def test_the_end_of_a_prefix_may_be_its_loudest_moment(streaming: GLM4VoiceTokenizer) -> None:
    """Only the mel frame that mirrors it hears a click there, and all quiet moments of the prefix are clamped by it."""
    quiet = sounds(40) // 300
    click = quiet.copy()
    click[:, 20 * SPF - 100 : 20 * SPF : 2] = 32767
    ((codes,), (without,)) = (at_once(streaming._encoder, [samples], BLOCK) for samples in (click, quiet))
    assert (codes == streamed(streaming._encoder, click, BLOCK)).all()
    assert (codes[:, 10:19] != without[:, 10:19]).any()


@contextmanager
def passes(encoder: Encoder, watch: Callable[[int], None]) -> Iterator[None]:
    """Calls `watch` with the positions of each pass."""

    def see(module: Any, given: Any) -> None:
        watch(given[0].shape[-2])

    first: Any = encoder.network.layers[0]
    hook = first.fc1.register_forward_pre_hook(see)
    yield
    hook.remove()


def test_all_blocks_of_a_segment_are_one_pass_and_three_times_what_offline_costs(streaming: GLM4VoiceTokenizer) -> None:
    """Both channels and two tracks of 30 s; block by block that would be 152 passes."""
    positions: list[int] = []
    tracks = [noise(375, channels=2), noise(375, channels=2)[::-1]]
    with passes(streaming._encoder, positions.append):
        at_once(streaming._encoder, tracks, BLOCK, most=100_000)
    assert len(positions) == 1 and positions[0] <= 4 * 3 * 1500


@pytest.mark.parametrize("block_frames", [None, 1, BLOCK])
def test_a_pass_has_a_bounded_number_of_positions(offline: GLM4VoiceTokenizer, block_frames: int | None) -> None:
    """But for the whole blocks of a segment, 1400 at most, which are needed together."""
    positions: list[int] = []
    with passes(offline._encoder, positions.append):
        at_once(offline._encoder, [noise(400, channels=3)], block_frames, most=2000)
    assert max(positions) <= 2000 + 1400 and sum(positions) >= 3 * 1600


def test_what_does_not_fit_into_memory_is_halved_and_stays_so(
    offline: GLM4VoiceTokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    tracks = [sounds(50 + 10 * number) for number in range(6)]
    expected, tried = at_once(offline._encoder, tracks, None), []
    codes = [np.empty(samples.shape[1] // SPF, np.int16) for samples in tracks]
    tasks = [Task(samples[0], row) for samples, row in zip(tracks, codes, strict=True)]

    def fail(positions: int) -> None:
        tried.append(positions)
        if positions > fitting:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    batches, fitting = Batches(offline._encoder, 5000), 700
    with passes(offline._encoder, fail):
        batches.encode(tasks, None)
        assert sum(positions > fitting for positions in tried) == caplog.text.count("out of memory with") == 2
        batches.encode(tasks, None)
        assert caplog.text.count("out of memory with") == 2, "it is not tried again"
        assert all((row == of[0]).all() for row, of in zip(codes, expected, strict=True))
        fitting = 100
        with pytest.raises(UserError, match="Put fewer actors on a GPU"):
            batches.encode(tasks, None)


def test_features_are_those_of_transformers(folder: Path) -> None:
    from transformers import WhisperFeatureExtractor

    from duplexgen.pipeline.tokens.speech.glm4voice_stream import mirrored

    samples = sounds(30, channels=1)[0]
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    theirs = extractor(samples / np.float32(32768), sampling_rate=16000, padding="longest", return_tensors="pt")
    encoder = tokenizer(folder, on="cpu")._encoder
    log_mel = encoder.log_mel(mirrored(encoder.signal(samples), at_start=True))
    ours = (log_mel.clamp(min=log_mel.max() - 8) + 4) / 4
    assert torch.equal(ours, theirs["input_features"][0])


def test_names_with_and_without_prefix_are_the_same_model(offline: GLM4VoiceTokenizer, tmp_path: Path) -> None:
    named = tokenizer(tiny.write_glm4voice(tmp_path, prefix="model.encoder."))
    assert (named.encode(sounds(20)) == offline.encode(sounds(20))).all()


def test_nothing_is_left_to_the_global_generator(folder: Path) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = tokenizer(folder).encode(sounds(20))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(1)
    assert (tokenizer(folder).encode(sounds(20)) == first).all()


def test_wrong_samples_are_refused(offline: GLM4VoiceTokenizer) -> None:
    with pytest.raises(ValueError, match="1281 samples are not a whole number of frames of 1280"):
        offline.encode(np.zeros((2, 1281), np.int16))
    with pytest.raises(ValueError, match="expected int16"):
        offline.encode(np.zeros((2, 1280), np.float32))
    assert offline.encode(np.zeros((2, 0), np.int16)).shape == (2, 1, 0)


def test_decoding_says_whose_it_is(offline: GLM4VoiceTokenizer) -> None:
    with pytest.raises(UserError, match="glm-4-voice-decoder"):
        offline.decode(np.zeros((1, 10), np.int16))


def test_planning_needs_no_model(folder: Path) -> None:
    planned = tokenizer(folder, loaded=False)
    assert planned.check() == [] and planned.codebook_size == 512 and planned.num_gpus == 0
    again = pickle.loads(pickle.dumps(planned))
    assert again.fingerprint() == planned.fingerprint()
    again.load()
    assert again.encode(sounds(1)).shape == (2, 1, 1)


def test_the_fingerprint_follows_weights_and_mode_and_not_the_place(folder: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(folder, tmp_path / "moved"))
    planned = tokenizer(folder, loaded=False)
    assert tokenizer(moved, loaded=False).fingerprint() == planned.fingerprint()
    assert tokenizer(folder, "streaming", loaded=False).fingerprint() != planned.fingerprint()
    weights = load_file(moved / "model.safetensors")
    weights["conv1.bias"][0] += 1
    save_file(weights, moved / "model.safetensors")
    assert tokenizer(moved, loaded=False).fingerprint()["sha256"] != planned.fingerprint()["sha256"]


def mistakes(folder: Path) -> str:
    planned = tokenizer(folder, loaded=False)
    problems = planned.check()
    assert all(location == ("tokens", "glm4voice", "checkpoint") for location, _ in problems)
    with pytest.raises(UserError):
        planned.load()
    return " | ".join(message for _, message in problems)


def test_a_folder_that_is_not_there_or_half_copied_is_a_mistake(folder: Path, tmp_path: Path) -> None:
    assert "hf download THUDM/glm-4-voice-tokenizer" in mistakes(tmp_path / "nowhere")
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        partial = Path(shutil.copytree(folder, tmp_path / name))
        (partial / name).unlink()
        assert name in mistakes(partial)
    weights = (folder / "model.safetensors").read_bytes()
    (partial / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert "its header says" in mistakes(partial) and "copy it again" in mistakes(partial)
    (partial / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "not a safetensors file" in mistakes(partial)


def test_another_model_is_a_mistake(folder: Path, tmp_path: Path) -> None:
    other = tiny.write_glm4voice(tmp_path / "looks_ahead", encoder_causal_convolution=False)
    assert "encoder_causal_convolution false, expected true" in mistakes(other)
    whisper = tiny.write_glm4voice(tmp_path / "whisper")
    config = json.loads((whisper / "config.json").read_text())
    del config["quantize_vocab_size"]
    (whisper / "config.json").write_text(json.dumps(config))
    assert "does not say quantize_vocab_size" in mistakes(whisper)
    assert "lack layers.2." in mistakes(
        tiny.write_glm4voice(tmp_path / "deeper", quantize_position=3, pooling_position=3)
    )
    assert "wants [48, 128, 3]" in mistakes(tiny.write_glm4voice(tmp_path / "wider", d_model=48))


def test_a_recipe_without_the_section_is_a_mistake() -> None:
    assert "glm4voice" in GLM4VoiceTokenizer(Tokens()).check()[0][1]
