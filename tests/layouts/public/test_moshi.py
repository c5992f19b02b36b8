"""Rows of Moshi against the programs of its family, which make theirs from our audio, our words and our codes."""

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from duplexgen.pipeline.dialogue import CHANNELS, Role
from duplexgen.pipeline.randomness import generator
from tests.layouts.public import by_hand, ours, random_tracks
from tests.layouts.public import examples as ex
from tests.layouts.public.programs import differences, numbers, run


def undelayed(row: np.ndarray) -> np.ndarray:
    """[17, T - 1]: all codebooks of a frame below each other; of the last frames without the delayed ones."""
    columns = row.shape[1] - 1
    codes = np.full((len(row), columns), -1)
    for stream, ids in enumerate(row):
        delay = 0 if stream in {0, 1, 1 + ex.CODEBOOKS} else by_hand.DELAY
        codes[stream, : columns - delay] = ids[1 + delay :]
    return codes


# -- moshi-finetune ---------------------------------------------------------------------------------------------------


def audio(example: ex.MoshiExample, frames: int) -> np.ndarray:
    """[frames · SPF, 2]: 16 bit samples, the assistant left. The first samples of a frame are its codes."""
    sides = (example.track.assistant_codes, example.track.user_codes)
    samples = np.zeros((frames, ex.SPF, 2), np.int16)
    for channel, codes in enumerate(sides):
        samples[:, : ex.CODEBOOKS, channel] = codes[:, :frames].T
    return samples.reshape(-1, 2)


def alignments(example: ex.MoshiExample, shift_samples: float) -> list[Any]:
    """Words of both channels with their seconds, in order of start."""
    words = [(word, channel) for channel in CHANNELS for word in by_hand.spoken(example.track, channel)]
    return [
        [
            word.text,
            [(word.start_sample + shift_samples) / ex.RATE, (word.end_sample + shift_samples) / ex.RATE],
            "SPEAKER_MAIN" if channel == "assistant" else "SPEAKER_OTHER",
        ]
        for word, channel in sorted(words, key=lambda each: each[0].start_sample)
    ]


def folder(name: str, out: Path, shift_samples: float) -> dict[str, Any]:
    """Write what moshi-finetune reads of an example: its track and the first frame of the margin."""
    example = ex.MOSHI[name]
    frames = example.track.frames + by_hand.DELAY
    out.mkdir()
    with wave.open(str(out / "one.wav"), "wb") as file:
        file.setparams((2, 2, ex.RATE, 0, "NONE", ""))
        file.writeframes(audio(example, frames).tobytes())
    (out / "one.json").write_text(json.dumps({"alignments": alignments(example, shift_samples)}))
    (out / "all.jsonl").write_text(json.dumps({"path": "one.wav", "duration": frames * ex.SPF / ex.RATE}) + "\n")
    known = {"tokens": example.tokens, "pad": ex.PAD, "epad": ex.EPAD}
    return {"jsonl": str(out / "all.jsonl"), "duration_s": CHUNK * ex.SPF / ex.RATE, **known}


CHUNK = 100
"""Frames that moshi-finetune reads at once: more than an example has."""
HALF = 0.5
"""Half a sample: seconds of a border between frames are below it for some, once they are multiplied by 12.5."""


def asked_of_finetune(out: Path) -> dict[str, Any]:
    asked = {name: folder(name, out / name, HALF) for name in ex.MOSHI}
    return asked | {"at the sample": folder("words", out / "at the sample", 0)}


@pytest.fixture(scope="module")
def finetune_now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The chunks [17, frames] that moshi-finetune reads, by example."""
    out = tmp_path_factory.mktemp("finetune")
    return run("moshi_finetune", out, asked_of_finetune(out), "moshi", "moshi-finetune")


@pytest.fixture(scope="module", params=["recorded", "now"])
def finetune(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = (
        request.getfixturevalue("finetune_now") if request.param == "now" else numbers("moshi_finetune")
    )
    return found


def test_moshi_finetune_reads_our_row_from_our_audio_and_words(finetune: dict[str, Any]) -> None:
    for name in ex.MOSHI:
        (chunk,) = np.array(finetune[name])
        wanted = undelayed(ours.moshi(ex.MOSHI[name]))
        frames = wanted.shape[1]
        got = np.where(wanted == -1, -1, chunk[:, :frames])  # of the margin, the row has codebook 0 alone
        assert differences(got, wanted) == [], name
        assert set(chunk[0, frames:].tolist()) == {ex.PAD}, "it fills up the text with PAD, the codes with -1"
        assert set(chunk[1:, frames:].ravel().tolist()) == {-1}


def test_a_word_at_a_border_of_frames_needs_half_a_sample(finetune: dict[str, Any]) -> None:
    """2.32 s is frame 29, but 2.32 · 12.5 is less than 29 in floating point: the word would go to frame 28."""
    (chunk,) = np.array(finetune["at the sample"])
    wanted = undelayed(ours.moshi(ex.MOSHI["words"]))[0]
    text = chunk[0, : len(wanted)]
    moved = np.flatnonzero(text != wanted).tolist()
    assert moved == [27, 28, 29, 55, 56, 57, 58], "the words in frames 29 and 57, and what stands around them"
    assert text[[28, 56, 57]].tolist() == wanted[[29, 57, 58]].tolist()


def text_alone(example: ex.MoshiExample) -> dict[str, Any]:
    seconds = (example.track.frames + by_hand.DELAY) * ex.SPF / ex.RATE
    known = {"tokens": example.tokens, "pad": ex.PAD, "epad": ex.EPAD}
    return {"alignments": alignments(example, HALF), "seconds": seconds, **known}


def test_moshi_finetune_places_any_words_as_we_do(tmp_path: Path) -> None:
    examples = [random_tracks.moshi(generator(0, str(number), "words")) for number in range(300)]
    asked = {str(number): text_alone(example) for number, example in enumerate(examples)}
    placed = run("moshi_finetune", tmp_path, asked, "moshi", "moshi-finetune")
    for number, example in enumerate(examples):
        text = ours.moshi(example)[0, 1:]
        assert differences(placed[str(number)][: len(text)], text) == [], number


def test_the_recorded_rows_of_moshi_finetune_are_what_it_reads_now(finetune_now: dict[str, Any]) -> None:
    assert finetune_now == numbers("moshi_finetune")


# -- moshi ------------------------------------------------------------------------------------------------------------


def whole(name: str, channel: Role = "assistant") -> np.ndarray:
    """[17, frames + DELAY]: the row without its delays, and all codes of the frame in the margin."""
    row = ours.moshi(ex.MOSHI[name], channel)
    example = ex.MOSHI[name]
    codes = {"assistant": example.track.assistant_codes, "user": example.track.user_codes}
    other: Role = "user" if channel == "assistant" else "assistant"
    frames = example.track.frames + by_hand.DELAY
    return np.concatenate([row[:1, 1:], codes[channel][:, :frames], codes[other][:, :frames]])


def heard(name: str) -> np.ndarray:
    """[8, T]: the codes that each step of the loop is fed; those of the first are in no row."""
    frames = ex.MOSHI[name].track.frames + by_hand.DELAY
    return np.concatenate([ex.codes(0, 100)[:, 99:], ex.MOSHI[name].track.user_codes[:, :frames]], axis=1)


def asked_of_moshi() -> dict[str, Any]:
    examples = {
        name: {"codes": whole(name), "row": ours.moshi(ex.MOSHI[name]), "listen": heard(name)} for name in ex.MOSHI
    }
    return {"text_card": ex.MOSHI_TEXT, "card": ex.CODES, "examples": examples}


@pytest.fixture(scope="module")
def moshi_now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Moshi's model reads and is to say in training and live, by example."""
    return run("moshi", tmp_path_factory.mktemp("moshi"), asked_of_moshi(), "moshi")


@pytest.fixture(scope="module", params=["recorded", "now"])
def moshi(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.getfixturevalue("moshi_now") if request.param == "now" else numbers("moshi")
    return found


def test_the_delays_of_moshi_give_our_row(moshi: dict[str, Any]) -> None:
    for name in ex.MOSHI:
        assert differences(moshi[name]["delayed"], ours.moshi(ex.MOSHI[name])) == [], name


def test_the_loop_of_moshi_feeds_its_model_our_row(moshi: dict[str, Any]) -> None:
    """It writes initial ids over what is not there yet, so that the sound of the first step is not heard."""
    for name in ex.MOSHI:
        assert differences(moshi[name]["fed"], ours.moshi(ex.MOSHI[name])) == [], name


def test_each_step_of_moshi_emits_the_text_of_its_column_and_the_frame_before(moshi: dict[str, Any]) -> None:
    for name in ex.MOSHI:
        assert moshi[name]["steps before it emits"] == 1
        frames = ex.MOSHI[name].track.frames
        said = np.array(moshi[name]["emitted"])[:, :frames]
        assert differences(said, whole(name)[: 1 + ex.CODEBOOKS, :frames]) == [], name


def test_the_recorded_rows_of_moshi_are_what_it_reads_now(moshi_now: dict[str, Any]) -> None:
    assert moshi_now == numbers("moshi")


# -- nu-dialogue ------------------------------------------------------------------------------------------------------


SPEAKERS: dict[str, Role] = {"A": "assistant", "B": "user"}


def side(name: str, channel: Role) -> np.ndarray:
    """[9, frames]: text and codes of one speaker, of the track alone."""
    return whole(name, channel)[: 1 + ex.CODEBOOKS, : ex.MOSHI[name].track.frames]


def asked_of_nu_dialogue() -> dict[str, Any]:
    examples = {name: {speaker: side(name, channel) for speaker, channel in SPEAKERS.items()} for name in ex.MOSHI}
    return {"initial": ex.INITIAL, "audio_pad": ex.AUDIO_PAD, "pad": ex.PAD, "examples": examples}


@pytest.fixture(scope="module")
def nu_dialogue_now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Streams [17, T] and the cells without a label, by example and by who speaks."""
    return run("nu_dialogue", tmp_path_factory.mktemp("nu"), asked_of_nu_dialogue(), "nu-dialogue")


@pytest.fixture(scope="module", params=["recorded", "now"])
def nu_dialogue(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = (
        request.getfixturevalue("nu_dialogue_now") if request.param == "now" else numbers("nu_dialogue")
    )
    return found


def test_nu_dialogue_reads_both_sides_as_our_rows(nu_dialogue: dict[str, Any]) -> None:
    """In its last column, codebook 0 is empty and the text PAD: it knows no margin. The rest is equal."""
    for name in ex.MOSHI:
        for speaker, channel in SPEAKERS.items():
            row = ours.moshi(ex.MOSHI[name], channel).copy()
            row[[1, 1 + ex.CODEBOOKS], -1] = ex.AUDIO_PAD
            row[0, -1] = ex.PAD
            made = nu_dialogue[name][speaker]
            assert differences(made["streams"], row) == [], (name, speaker)
            empty = row == np.array([[ex.INITIAL], *[[ex.AUDIO_PAD]] * 16])
            assert made["without a label"] == [indices.tolist() for indices in empty.nonzero()], (
                "the user's streams have labels, too"
            )


def test_the_recorded_rows_of_nu_dialogue_are_what_it_makes_now(nu_dialogue_now: dict[str, Any]) -> None:
    assert nu_dialogue_now == numbers("nu_dialogue")
