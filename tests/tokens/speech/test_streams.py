"""What holds for the streams of every speech tokenizer."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.tokens.protocols import EncodingStream, SpeechTokenizer
from duplexgen.pipeline.tokens.section import GLM4Voice, Mimi, Tokens
from duplexgen.pipeline.tokens.tokenizers import SPEECH_TOKENIZERS
from tests.devices import device
from tests.tokens import tiny

NAMES = sorted(SPEECH_TOKENIZERS)
DECODING = ["melvq", "mimi"]
SIZES = st.lists(st.integers(0, 23), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SpeechTokenizer]:
    """Every one that there is, tiny; GLM-4-Voice as it streams."""
    glm = str(tiny.write_glm4voice(tmp_path_factory.mktemp("glm-4-voice-tokenizer")))
    mimi = str(tiny.write_mimi(tmp_path_factory.mktemp("mimi")))
    tokens = Tokens(
        glm4voice=GLM4Voice(checkpoint=glm, mode="streaming", device=device()),
        mimi=Mimi(checkpoint=mimi, device=device()),
    )
    made = {name: tokenizer(tokens) for name, tokenizer in SPEECH_TOKENIZERS.items()}
    for tokenizer in made.values():
        tokenizer.load()
    return made


def sounds(tokenizer: SpeechTokenizer, frames: int, channels: int = 2, seed: int = 0) -> NDArray[np.int16]:
    return tiny.sounds(channels, frames, tokenizer.sample_rate, tokenizer.samples_per_frame, seed)


def pieces(samples: NDArray[Any], sizes: list[int], each: int) -> Iterator[NDArray[Any]]:
    """Of so many frames of `each` along the last axis."""
    ends = np.cumsum(sizes) * each
    return (samples[..., end - size * each : end] for end, size in zip(ends, sizes, strict=True))


def heard(stream: EncodingStream, samples: NDArray[np.int16], sizes: list[int], frame: int) -> NDArray[np.int16]:
    return np.concatenate([stream.push(piece) for piece in pieces(samples, sizes, frame)], axis=2)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=15)
@given(sizes=SIZES, seed=st.integers(0, 99))
def test_however_a_signal_is_cut_its_codes_are_those_of_the_whole(
    tokenizers: dict[str, SpeechTokenizer], name: str, sizes: list[int], seed: int
) -> None:
    tokenizer = tokenizers[name]
    samples = sounds(tokenizer, sum(sizes), seed=seed)
    codes = heard(tokenizer.stream(2), samples, sizes, tokenizer.samples_per_frame)
    frames = sum(sizes) // 10 * 10 if name == "glm4voice" else sum(sizes)  # what it has committed
    assert codes.dtype == np.int16 and codes.shape == (2, tokenizer.codebooks, frames)
    assert (codes == tokenizer.encode(samples)[:, :, :frames]).all()


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=10)
@given(turns=st.lists(st.tuples(st.booleans(), st.integers(1, 12)), min_size=2, max_size=8))
def test_streams_do_not_disturb_each_other(
    tokenizers: dict[str, SpeechTokenizer], name: str, turns: list[tuple[bool, int]]
) -> None:
    tokenizer = tokenizers[name]
    streams = {which: tokenizer.stream(1) for which in (False, True)}
    together: dict[bool, list[NDArray[np.int16]]] = {False: [], True: []}
    both = {which: sounds(tokenizer, 100, 1, seed=which) for which in (False, True)}
    at = {False: 0, True: 0}
    for which, frames in turns:
        end = at[which] + frames * tokenizer.samples_per_frame
        together[which].append(streams[which].push(both[which][:, at[which] : end]))
        at[which] = end
    for which in (False, True):
        sizes = [frames for turn, frames in turns if turn == which]
        if sizes:
            alone = heard(tokenizer.stream(1), both[which], sizes, tokenizer.samples_per_frame)
            assert (np.concatenate(together[which], axis=2) == alone).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_channel_does_not_depend_on_those_beside_it(tokenizers: dict[str, SpeechTokenizer], name: str) -> None:
    tokenizer, sizes = tokenizers[name], [10, 20, 10, 30]
    samples = sounds(tokenizer, 70, channels=3)
    samples[1] = 0
    together = heard(tokenizer.stream(3), samples, sizes, tokenizer.samples_per_frame)
    for row, codes in zip(samples, together, strict=True):
        alone = heard(tokenizer.stream(1), row[np.newaxis], sizes, tokenizer.samples_per_frame)
        assert (alone[0] == codes).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_signal_is_refused_and_changes_nothing(tokenizers: dict[str, SpeechTokenizer], name: str) -> None:
    tokenizer = tokenizers[name]
    frame, samples = tokenizer.samples_per_frame, sounds(tokenizer, 20)
    stream = tokenizer.stream(2)
    codes = [stream.push(samples[:, : 10 * frame])]
    for wrong in (samples[:, : frame + 1], samples[:1], samples.astype(np.float32), samples[0]):
        with pytest.raises(ValueError, match=r"expected|whole number"):
            stream.push(wrong)  # type: ignore[arg-type]
    assert stream.push(samples[:, :0]).shape == (2, tokenizer.codebooks, 0)
    codes.append(stream.push(samples[:, 10 * frame :]))
    assert (np.concatenate(codes, axis=2) == tokenizer.encode(samples)).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_does_not_grow(tokenizers: dict[str, SpeechTokenizer], name: str) -> None:
    """At the same place of a segment of GLM-4-Voice's, of which two are a whole number of blocks; else at any place."""
    tokenizer, kept = tokenizers[name], []
    stream, samples = tokenizer.stream(1), sounds(tokenizer, 850, 1)
    for at in range(0, 850, 25):
        stream.push(samples[:, at * tokenizer.samples_per_frame : (at + 25) * tokenizer.samples_per_frame])
        kept.append(held_bytes(stream))
    assert kept[3] == kept[33] and (name == "melvq" or kept[3] > 0)


@pytest.mark.parametrize("together", [1, 30, 10_000])
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=5)
@given(tracks=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 40)), max_size=5), seed=st.integers(0, 99))
def test_a_track_among_others_has_the_codes_it_has_alone(
    tokenizers: dict[str, SpeechTokenizer], name: str, together: int, tracks: list[tuple[int, int]], seed: int
) -> None:
    """together: frames or positions that a model may compute at once."""
    tokenizer = tokenizers[name]
    whole = [sounds(tokenizer, frames, channels, seed + number) for number, (channels, frames) in enumerate(tracks)]
    room = getattr(tokenizer, "_room", None) or getattr(getattr(tokenizer, "_batches", None), "_room", None)
    before = room and room.most
    if room:
        room.most = together
    codes = tokenizer.encode_all(whole)
    if room:
        room.most = before
    assert len(codes) == len(whole)
    for samples, coded in zip(whole, codes, strict=True):
        alone = tokenizer.encode(samples)
        assert coded.dtype == np.int16 and coded.shape == alone.shape and (coded == alone).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_tracks_have_the_same_codes_again(tokenizers: dict[str, SpeechTokenizer], name: str) -> None:
    """On a GPU that is a matter of the kernels, which shapes decide."""
    tokenizer = tokenizers[name]
    tracks = [sounds(tokenizer, frames, seed=frames) for frames in (130, 60, 400)]
    first = tokenizer.encode_all(tracks)
    for _ in range(2):
        for codes, again in zip(first, tokenizer.encode_all(tracks), strict=True):
            assert (codes == again).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_wrong_track_is_refused_with_all(tokenizers: dict[str, SpeechTokenizer], name: str) -> None:
    tokenizer = tokenizers[name]
    right = sounds(tokenizer, 2)
    with pytest.raises(ValueError, match="not a whole number of frames"):
        tokenizer.encode_all([right, right[:, 1:]])


def held_bytes(thing: Any) -> int:
    """Of arrays and tensors that an object holds, whole ones where it holds a view; networks are nobody's own."""
    seen: set[int] = set()
    waiting, total = [thing], 0
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, torch.nn.Module | type) or hasattr(found, "samples_per_frame"):
            continue
        seen.add(id(found))
        if isinstance(found, torch.Tensor):
            total += found.untyped_storage().nbytes()
        elif isinstance(found, np.ndarray):
            total += found.nbytes
        elif isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, list | tuple):
            waiting += found
        elif hasattr(found, "__dict__"):
            waiting += vars(found).values()
    return total


def codes_to_say(channels: int, codebooks: int, frames: int, seed: int = 0) -> NDArray[np.int16]:
    return generator(seed, "codes", "test").integers(0, 2048, (channels, codebooks, frames)).astype(np.int16)


@settings(deadline=None, max_examples=15)
@given(sizes=SIZES, codebooks=st.integers(1, 8), seed=st.integers(0, 99))
def test_however_codes_of_mimi_are_cut_they_sound_as_the_whole(
    tokenizers: dict[str, SpeechTokenizer], sizes: list[int], codebooks: int, seed: int
) -> None:
    codes = codes_to_say(2, codebooks, sum(sizes), seed)
    stream = tokenizers["mimi"].decoding_stream(2)
    said = np.concatenate([stream.push(piece) for piece in pieces(codes, sizes, 1)], axis=1)
    whole = np.stack([tokenizers["mimi"].decode(channel) for channel in codes])
    assert said.dtype == np.float32 and said.shape == whole.shape == (2, sum(sizes) * 1920)
    np.testing.assert_allclose(said, whole, rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=8)
@given(sizes=SIZES, quiet=st.sets(st.integers(0, 5)))
def test_however_codes_of_melvq_are_cut_silence_is_silence(
    tokenizers: dict[str, SpeechTokenizer], sizes: list[int], quiet: set[int]
) -> None:
    """Of its waveform no more is told: phases are estimated, and of all that is decoded at once."""
    codes = codes_to_say(1, 1, sum(sizes))
    for index, piece in enumerate(pieces(codes, sizes, 1)):
        if index in quiet:
            piece[:] = 0
    stream = tokenizers["melvq"].decoding_stream(1)
    said = np.concatenate([stream.push(piece) for piece in pieces(codes, sizes, 1)], axis=1).reshape(-1, 1280)
    silent = ~codes[0, 0].astype(bool)
    inside = silent & np.pad(silent, (1, 0))[:-1] if len(silent) else silent
    assert said.shape == (sum(sizes), 1280) and np.isfinite(said).all()
    assert not said[inside].any() and said[~silent].any(axis=1).all()


@pytest.mark.parametrize("name", DECODING)
def test_a_voice_does_not_depend_on_those_beside_it_nor_grows(
    tokenizers: dict[str, SpeechTokenizer], name: str
) -> None:
    codes, sizes = codes_to_say(3, 1, 60), [10, 20, 10, 20]
    codes[1] = 0
    stream, alone = tokenizers[name].decoding_stream(3), [tokenizers[name].decoding_stream(1) for _ in range(3)]
    kept = []
    for piece in pieces(codes, sizes, 1):
        together = stream.push(piece)
        kept.append(held_bytes(stream))
        for channel, own in enumerate(alone):
            assert (own.push(piece[channel : channel + 1])[0] == together[channel]).all()
    assert kept[1] == kept[3]


@pytest.mark.parametrize("name", DECODING)
def test_what_are_no_codes_is_refused(tokenizers: dict[str, SpeechTokenizer], name: str) -> None:
    stream = tokenizers[name].decoding_stream(2)
    stream.push(codes_to_say(2, 3, 4))
    with pytest.raises(ValueError, match=r"expected codes \[2, 3, frames\], got \[2, 1, 4\]"):
        stream.push(codes_to_say(2, 1, 4))
    with pytest.raises(ValueError, match=r"expected codes \[2, 3, frames\], got \[1, 3, 4\]"):
        stream.push(codes_to_say(1, 3, 4))
    with pytest.raises(ValueError, match="expected codes 0 … 2047, got"):
        stream.push(codes_to_say(2, 3, 4) - np.int16(2048))
    with pytest.raises(ValueError, match=r"expected codes \[1 … 8, frames\]"):
        tokenizers[name].decoding_stream(1).push(codes_to_say(1, 9, 4))
    assert stream.push(codes_to_say(2, 3, 0)).shape == (2, 0)


def test_glm_4_voice_has_no_voice_here(tokenizers: dict[str, SpeechTokenizer]) -> None:
    with pytest.raises(UserError, match="glm-4-voice-decoder"):
        tokenizers["glm4voice"].decoding_stream(1)
