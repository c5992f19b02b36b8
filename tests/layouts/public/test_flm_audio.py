"""Rows through FLM-Audio's own streaming loop: its model is fed the row, and what it says comes out in its frames."""

from typing import Any

import numpy as np
import pytest

from tests.layouts.public import by_hand, ours
from tests.layouts.public import examples as ex
from tests.layouts.public.programs import differences, numbers, run

IDS = {
    "vocab_size": ex.FLM_SIZE,
    "aud_vocab_size": ex.CODES + 2,
    "text_wait_token_id": ex.WAIT,
    "aud_pad_token_id": ex.AUDIO_PAD,
    "aud_emp_token_id": ex.AUDIO_START,
}
EMPTY = np.full((ex.CODEBOOKS, 1), ex.AUDIO_PAD)


def heard(name: str, first: np.ndarray = EMPTY) -> np.ndarray:
    """[8, T]: the codes that each step of the loop is fed, a frame per step. first: those of the first step."""
    example = ex.FLM[name]
    frames = example.track.user_codes[:, : example.track.frames + by_hand.DELAY]
    return np.concatenate([first, np.full_like(frames, ex.AUDIO_PAD) if name == "tts" else frames], axis=1)


def given(row: np.ndarray, listen: np.ndarray) -> dict[str, Any]:
    return {"text": row[0], "speak": row[1:9], "listen": listen}


def asked() -> dict[str, Any]:
    """Every example; one of them once more after a reset, and with a frame of sound in the first step."""
    examples = {name: given(row, heard(name)) for name, row in rows().items()}
    examples["response_tts"]["again"] = True
    at_once = heard("response_tts", ex.codes(0, 100)[:, 99:])
    examples["at once"] = given(ours.flm(ex.FLM["response_tts"]), at_once)
    return {"ids": IDS, "examples": examples}


def rows() -> dict[str, np.ndarray]:
    return {name: ours.flm(example) for name, example in ex.FLM.items()}


@pytest.fixture(scope="module")
def now(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the loop is fed and emits, by example."""
    return run("flm_audio", tmp_path_factory.mktemp("flm"), asked(), "flm-audio")


@pytest.fixture(scope="module", params=["recorded", "now"])
def seen(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.getfixturevalue("now") if request.param == "now" else numbers("flm_audio")
    return found


def test_the_model_is_fed_the_row_in_every_cell(seen: dict[str, Any]) -> None:
    for name, row in rows().items():
        assert differences(seen[name]["fed"], row) == [], name


def test_each_step_emits_the_text_of_its_column_and_the_frame_before(seen: dict[str, Any]) -> None:
    """Step t emits text[t], and all codebooks of frame t - 1: the frame whose codebook 0 stands in column t."""
    for name, row in rows().items():
        frames = ex.FLM[name].track.frames
        assert seen[name]["steps before it emits"] == 1
        said = np.array(seen[name]["emitted"])[:, :frames]
        assert differences(said[0], row[0, 1 : 1 + frames]) == [], name
        codes = ex.FLM[name].track.assistant_codes[:, :frames]
        assert differences(said[1:], np.full_like(codes, ex.AUDIO_PAD) if name == "asr" else codes) == [], name


def test_after_a_reset_the_first_column_is_lost(seen: dict[str, Any]) -> None:
    """The public loop zeroes what it had and does not write the initial column again: a model sees that live."""
    row = ours.flm(ex.FLM["response_tts"])
    again = np.array(seen["response_tts again"]["fed"])
    assert differences(again[:, 1:], row[:, 1:]) == []
    # codebook 0 of the user is written over by the first step, which is fed an empty frame here
    assert again[:, 0].tolist() == [0] * 9 + [ex.AUDIO_PAD] + [0] * 7


def test_a_frame_of_the_first_step_stands_where_our_rows_are_empty(seen: dict[str, Any]) -> None:
    """A microphone has sound in the first step: eight cells, in which a row has none."""
    row = ours.flm(ex.FLM["response_tts"]).copy()
    early = ex.codes(0, 100)[:, 99]
    row[9, 0] = early[0]
    row[10:, 1] = early[1:]
    assert differences(seen["at once"]["fed"], row) == []


def test_the_recorded_numbers_are_what_the_program_does_now(now: dict[str, Any]) -> None:
    assert now == numbers("flm_audio")
