"""Talking to a model: what it hears and says block by block, recordings, and what is written."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks import replay
from duplexgen.pipeline.audio.resampling import DELAY_S
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.tokens.protocols import SpeechTokenizer
from duplexgen.pipeline.tokens.section import GLM4Voice, Mimi, Pretrained, Tokens
from duplexgen.pipeline.tokens.speech.glm4voice import GLM4VoiceTokenizer
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.speech.mimi import MimiTokenizer
from duplexgen.pipeline.tokens.track import tokenize_all
from duplexgen.training.live.live import AssistantDecoder, UserEncoder, converse
from duplexgen.training.live.modes import can_talk
from duplexgen.training.live.stream import USUAL
from duplexgen.training.live.talk import read_recording, replies, talk, transcript, with_silence, write
from duplexgen.training.models.model import DuplexModel
from tests.command import duplexgen
from tests.tokens import tiny

RATE = 16000
BLOCK = 12800


@pytest.fixture(scope="module")
def question() -> NDArray[np.int16]:
    """Two and a half seconds of a sentence of Kokoro's, int16 [samples]."""
    waveform, rate = soundfile.read(replay.RECORDING, dtype="int16")
    resampled: NDArray[np.int16] = soxr.resample(waveform, rate, RATE)
    return resampled[: round(2.5 * RATE)]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SpeechTokenizer]:
    """One depends on single frames, two look back, and `glm4voice offline` would look ahead."""
    glm = str(tiny.write_glm4voice(tmp_path_factory.mktemp("glm-4-voice-tokenizer")))
    mimi = str(tiny.write_mimi(tmp_path_factory.mktemp("mimi")))
    by_name: dict[str, SpeechTokenizer] = {
        "melvq": MelVQ(),
        "glm4voice": GLM4VoiceTokenizer(Tokens(glm4voice=GLM4Voice(checkpoint=glm, mode="streaming", device="cpu"))),
        "glm4voice offline": GLM4VoiceTokenizer(Tokens(glm4voice=GLM4Voice(checkpoint=glm, device="cpu"))),
        "mimi": MimiTokenizer(Tokens(mimi=Mimi(checkpoint=mimi, device="cpu"))),
    }
    for tokenizer in by_name.values():
        tokenizer.load()
    return by_name


@pytest.mark.parametrize("name", ["melvq", "glm4voice", "glm4voice offline", "mimi"])
def test_the_model_hears_nothing_of_what_follows(
    model: DuplexModel, tokenizers: dict[str, SpeechTokenizer], name: str
) -> None:
    codes, sounds = {}, tiny.sounds(1, 30, RATE, 1280)[0]
    for ending, future in (("speech", sounds[2 * BLOCK :]), ("silence", np.zeros(BLOCK, np.int16))):
        encoder = UserEncoder(tokenizers[name], model.format, 1)
        blocks = [sounds[:BLOCK], sounds[BLOCK : 2 * BLOCK], future]
        codes[ending] = [encoder.push(block[np.newaxis]) for block in blocks]
    assert all((ending == other).all() for ending, other in zip(codes["speech"][:2], codes["silence"][:2], strict=True))
    assert (codes["speech"][2] != codes["silence"][2]).any()


@pytest.mark.parametrize("name", ["melvq", "glm4voice", "mimi"])
def test_a_model_can_talk_if_its_tokenizer_decodes(
    model: DuplexModel, tokenizers: dict[str, SpeechTokenizer], name: str
) -> None:
    """A finished training run says so without loading the tokenizer."""
    speech_tokenizer = model.format.described.speech_tokenizer.model_copy(update={"name": name})
    described = model.format.described.model_copy(update={"speech_tokenizer": speech_tokenizer})
    if can_talk(replace(model.format, described=described)):
        decoder = AssistantDecoder(tokenizers[name], model.format, 1, 1)
        assert decoder.push(np.zeros((1, 1, 10), np.int16)).shape == (1, BLOCK)
    else:
        with pytest.raises(UserError, match="whose folder is not named"):
            AssistantDecoder(tokenizers[name], model.format, 1, 1)


@pytest.mark.parametrize("rate", [16000, 22050, 24000])
@pytest.mark.parametrize("name", ["melvq", "glm4voice", "mimi"])
def test_codes_as_they_come_are_those_of_the_track(
    model: DuplexModel, tokenizers: dict[str, SpeechTokenizer], name: str, rate: int
) -> None:
    """Whatever the rate of the track: 38 blocks, which is more than a segment of GLM-4-Voice's."""
    described = model.format.described.model_copy(update={"sample_rate": rate, "samples_per_frame": rate * 8 // 100})
    sequence_format, tokenizer = replace(model.format, described=described), tokenizers[name]
    size = sequence_format.block_samples
    track = tiny.sounds(2, 380, rate, size // 10)
    track[:, size : 3 * size] = 0
    encoder = UserEncoder(tokenizer, sequence_format, 2)
    codes = np.concatenate([encoder.push(track[:, at : at + size]) for at in range(0, track.shape[1], size)], axis=2)
    (whole,) = tokenize_all([track], rate, tokenizer)
    assert codes.shape == (2, tokenizer.codebooks, 380) and (codes == whole).all()
    assert len(np.unique(codes)) > 30


def test_a_block_that_the_tokenizer_would_not_commit_is_refused(
    model: DuplexModel, tokenizers: dict[str, SpeechTokenizer]
) -> None:
    encoder = UserEncoder(tokenizers["glm4voice"], model.format, 1)
    with pytest.raises(UserError, match="it waits for later sound"):
        encoder.push(np.zeros((1, BLOCK // 2), np.int16))


def test_codes_as_they_come_are_those_of_the_data_set(data_sets: Callable[..., Dataset], model: DuplexModel) -> None:
    row = next(data_sets("turn_taking").rows())
    user, _ = read_recording(_flac(row), RATE, 0)
    user = np.pad(user, (0, -len(user) % BLOCK))  # the silence that the margin of the codes is
    encoder = UserEncoder(MelVQ(), model.format, 1)
    codes = [encoder.push(user[np.newaxis, at : at + BLOCK])[0, 0] for at in range(0, len(user), BLOCK)]
    live = np.concatenate(codes).tolist()
    assert live == row["user_codes"][0][: len(live)]
    assert 0 <= len(row["user_codes"][0]) - 40 - row["events"][-1]["end_sample"] / 1280 < len(live)


def test_blocks_sound_as_the_whole_does(data_sets: Callable[..., Dataset], model: DuplexModel) -> None:
    row = next(data_sets("turn_taking").rows())
    codes = np.array(row["assistant_codes"][:1], np.int16)
    tokenizer = MelVQ()
    decoder = AssistantDecoder(tokenizer, model.format, dialogues=1, codebooks=1)
    blocks = [decoder.push(codes[np.newaxis, :, at : at + 10])[0] for at in range(0, codes.shape[1], 10)]
    live, whole = np.concatenate(blocks).reshape(-1, 1280), tokenizer.decode(codes).reshape(-1, 1280)
    assert (live.any(axis=1) == whole.any(axis=1)).mean() > 0.97
    speech = whole.std(axis=1) > 0.01
    level_db = 20 * np.log10(live[speech].std(axis=1) / whole[speech].std(axis=1))
    assert np.abs(np.median(level_db)) < 0.5 and np.percentile(np.abs(level_db), 90) < 3


def test_a_block_of_melvq_is_decoded_with_the_four_frames_before_it(model: DuplexModel) -> None:
    codes = generator(0, "codes", "test").integers(0, 2048, (2, 30)).astype(np.int16)
    decoder = AssistantDecoder(MelVQ(), model.format, dialogues=2, codebooks=1)
    padded = np.pad(codes, ((0, 0), (4, 0)))
    for at in range(0, 30, 10):
        expected = [MelVQ().decode(row[np.newaxis, at : at + 14])[-BLOCK:] for row in padded]
        assert (decoder.push(codes[:, np.newaxis, at : at + 10]) == np.stack(expected)).all()


@pytest.mark.parametrize("rate", [16000, 24000])
def test_mimi_says_block_by_block_what_it_says_at_once(
    model: DuplexModel, tokenizers: dict[str, SpeechTokenizer], rate: int
) -> None:
    described = model.format.described.model_copy(update={"sample_rate": rate, "samples_per_frame": rate * 8 // 100})
    codes = generator(0, "codes", "test").integers(0, 2048, (2, 60)).astype(np.int16)
    decoder = AssistantDecoder(tokenizers["mimi"], replace(model.format, described=described), dialogues=2, codebooks=1)
    live = np.concatenate([decoder.push(codes[:, np.newaxis, at : at + 10]) for at in range(0, 60, 10)], axis=1)
    whole = np.stack([tokenizers["mimi"].decode(row[np.newaxis]) for row in codes])
    assert whole.std() > 1e-3
    if rate != 24000:
        late = round(DELAY_S * rate)
        after_silence = soxr.resample(np.pad(whole, ((0, 0), (1920, 0))).T, 24000, rate).T
        whole = after_silence[:, 1280 - late : -late]
    np.testing.assert_allclose(live, whole, rtol=0, atol=1e-4 * whole.std())


def test_what_is_said_does_not_depend_on_what_follows(model: DuplexModel, question: NDArray[np.int16]) -> None:
    longer = np.pad(question, (0, 4 * BLOCK - len(question)))
    shorter = longer[: 2 * BLOCK]
    blocks = [list(converse(model, ["a"], user[np.newaxis])) for user in (shorter, longer)]
    for one, other in zip(blocks[0], blocks[1][:2], strict=True):
        assert (one.text_ids == other.text_ids).all() and (one.waveforms == other.waveforms).all()


def test_talk_writes_both_channels_and_what_was_said(
    model: DuplexModel, question: NDArray[np.int16], tmp_path: Path
) -> None:
    steps: list[int] = []
    conversation = talk(model, with_silence(question, 1.6, model.format), USUAL, steps.append)
    assert steps == [1, 2, 3, 4, 5, 6]
    write(conversation, model, {"seed": 0}, tmp_path)
    both, rate = soundfile.read(tmp_path / "both.wav", dtype="int16")
    assert rate == RATE and both.shape == (7 * BLOCK, 2)
    assert (both[: len(question), 0] == question).all() and not both[len(question) :, 0].any()
    assert not both[:BLOCK, 1].any() and both[BLOCK:, 1].any()
    alone, _ = soundfile.read(tmp_path / "assistant.wav", dtype="int16")
    assert (alone == both[:, 1]).all()
    record = json.loads((tmp_path / "transcript.json").read_text())
    assert len(record["text_ids"]) == 30 and record["block_s"] == 0.8 and record["seed"] == 0
    assert len((tmp_path / "transcript.txt").read_text().splitlines()) == max(1, len(record["replies"]))
    assert (tmp_path / "channels.png").read_bytes().startswith(b"\x89PNG")
    assert conversation.real_time_factor(0.8) > 0


def test_a_missing_tokenizer_is_told_before_a_word_is_said(model: DuplexModel, tmp_path: Path) -> None:
    tokenizer = model.format.described.text_tokenizer.model_copy(update={"name": "pretrained"})
    tokens = Tokens(pretrained=Pretrained(folder=str(tmp_path / "gone")))
    moved = replace(
        model.format, described=model.format.described.model_copy(update={"text_tokenizer": tokenizer}), tokens=tokens
    )
    steps: list[int] = []
    with pytest.raises(UserError, match="gone has no tokenizer"):
        talk(replace(model, format=moved), np.zeros(BLOCK, np.int16), USUAL, steps.append)
    assert steps == []


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_recordings_of_any_kind_of_sample_are_heard_alike(
    question: NDArray[np.int16], tmp_path: Path, subtype: str
) -> None:
    soundfile.write(tmp_path / "user.wav", question / 32768, RATE, subtype=subtype)
    samples, _ = read_recording(tmp_path / "user.wav", RATE, None)
    assert (samples == question).all()


def test_a_transcript_has_the_replies_of_a_data_set(data_sets: Callable[..., Dataset], model: DuplexModel) -> None:
    for row in data_sets("turn_taking").rows():
        blocks = np.array(row["input_ids"]).reshape(-1, 25)
        texts = replies(blocks[:, 10:15].reshape(-1), model.format)
        turns = [turn for turn in row["events"] if turn["channel"] == "assistant"]
        assert [reply.text for reply in texts] == [turn["text"] for turn in turns]
        assert [reply.start_s for reply in texts] == pytest.approx([t["start_sample"] / RATE for t in turns], abs=0.161)
        assert [reply.end_s for reply in texts] == pytest.approx([t["end_sample"] / RATE for t in turns], abs=0.241)


def test_a_transcript_of_what_a_model_may_never_say(model: DuplexModel) -> None:
    state = model.format.vocabulary
    assert isinstance(state, SharedVocabulary)
    word = 300
    ids = np.array([word, state.pad, state.assistant, state.assistant, word, state.silence, state.epad, word], np.int32)
    texts = replies(ids, model.format)
    assert [(reply.start_s, reply.end_s) for reply in texts] == [(0.8, 1.12), (1.28, 1.28), (1.44, 1.6), (1.92, 2.08)]
    assert replies(np.full(5, state.silence, np.int32), model.format) == []
    assert transcript([]) == ["nothing was said"]


def test_recordings(tmp_path: Path, question: NDArray[np.int16]) -> None:
    path = tmp_path / "user.wav"
    soundfile.write(path, question, RATE)
    samples, rate = read_recording(path, RATE, None)
    assert rate == RATE and (samples == question).all()
    soundfile.write(path, soxr.resample(question, RATE, 44100), 44100)
    samples, rate = read_recording(path, RATE, None)
    assert rate == 44100 and samples.dtype == np.int16 and abs(len(samples) - len(question)) <= 1
    soundfile.write(path, np.stack([question, question // 2], axis=1), RATE)
    assert (read_recording(path, RATE, 1)[0] == question // 2).all()
    with pytest.raises(UserError, match=r"2 channels\. Say which one is the user's"):
        read_recording(path, RATE, None)
    with pytest.raises(UserError, match="no channel 2, expected 0 … 1"):
        read_recording(path, RATE, 2)


def test_recordings_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "user.wav"
    with pytest.raises(UserError, match="cannot be read"):
        read_recording(path, RATE, None)
    path.write_bytes(b"RIFF")
    with pytest.raises(UserError, match="cannot be read"):
        read_recording(path, RATE, None)
    soundfile.write(path, np.zeros(0, np.int16), RATE)
    with pytest.raises(UserError, match="is empty"):
        read_recording(path, RATE, None)


def test_a_recording_longer_than_the_model_is_refused(model: DuplexModel) -> None:
    with pytest.raises(UserError, match=r"enough for 48\.0 s"):
        talk(model, np.zeros(61 * BLOCK, np.int16), USUAL, print)


def _flac(row: dict[str, Any]) -> Any:
    return io.BytesIO(row["audio"]["bytes"])


def test_the_command(model_folder: Path, question: NDArray[np.int16], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "user.wav", np.stack([question, question], axis=1), 44100)
    refused = duplexgen("talk", model_folder, "--user", "user.wav", cwd=tmp_path)
    assert refused.status == 2 and "--channel 0" in refused.said and not (tmp_path / "out").exists()
    ended = duplexgen("talk", model_folder, "--user", "user.wav", "--channel", "1", "--silence", "0.5", cwd=tmp_path)
    assert ended.status == 0
    assert "resampled from 44100 to 16000 Hz" in ended.said and "real-time factor" in ended.said
    assert sorted(path.name for path in (tmp_path / "out/talk" / model_folder.name / "user").iterdir()) == [
        *("assistant.wav", "both.wav", "channels.png", "transcript.json", "transcript.txt")
    ]
    again = duplexgen("talk", model_folder, "--user", "user.wav", "--channel", "1", cwd=tmp_path)
    assert again.status == 2 and "is there already" in again.said
