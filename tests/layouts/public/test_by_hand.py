"""Our layouts against rows that were built by hand, in every cell, and one row of each in full."""

from typing import get_args

import pytest

from duplexgen.pipeline.dialogue import CHANNELS, Role
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.layouts.flm import Format
from duplexgen.pipeline.randomness import generator
from tests.layouts.public import by_hand, ours, random_tracks
from tests.layouts.public import examples as ex
from tests.layouts.public.programs import differences


@pytest.mark.parametrize("name", ex.FLM)
def test_our_row_of_flm_is_the_one_by_hand(name: str) -> None:
    assert differences(ours.flm(ex.FLM[name]), by_hand.flm(ex.FLM[name])) == []


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("name", ex.MOSHI)
def test_our_row_of_moshi_is_the_one_by_hand(name: str, channel: Role) -> None:
    assert differences(ours.moshi(ex.MOSHI[name], channel), by_hand.moshi(ex.MOSHI[name], channel)) == []


@pytest.mark.parametrize("format_", get_args(Format))
def test_any_row_of_flm_is_the_one_by_hand(format_: Format) -> None:
    compared = 0
    for number in range(400):
        example = random_tracks.flm(generator(0, str(number), format_), format_)
        try:
            row = ours.flm(example)
        except DialogueRejected:
            continue
        assert differences(row, by_hand.flm(example)) == [], number
        compared += 1
    assert compared >= 100, "most have no room for their texts"


@pytest.mark.parametrize("channel", CHANNELS)
def test_any_row_of_moshi_is_the_one_by_hand(channel: Role) -> None:
    for number in range(400):
        example = random_tracks.moshi(generator(0, str(number), "words"))
        assert differences(ours.moshi(example, channel), by_hand.moshi(example, channel)) == [], number


def test_asr_response_tts_in_full() -> None:
    """The user is heard in frames 2 … 8, which are columns 3 … 9; the reply in frames 17 … 27, columns 18 … 28."""
    text, speak, listen = (by_hand.flm(ex.FLM["asr_response_tts"])[stream, :30] for stream in (0, 1, 9))
    wait = ex.WAIT
    assert text.tolist() == [
        *[wait] * 10,
        *[ex.ASR, 100, 101, 102, 103, ex.ANSWER],
        *[200, 201, 202, 203, 204, 205],
        *[wait] * 8,
    ]
    assert speak.tolist() == [ex.AUDIO_PAD, *range(1000, 1029)]
    assert listen.tolist() == [ex.AUDIO_PAD, *range(29)]
    acoustic = by_hand.flm(ex.FLM["asr_response_tts"])[8]
    assert acoustic.tolist() == [ex.AUDIO_PAD, ex.AUDIO_PAD, *range(1700, 1790)]


def test_words_in_full() -> None:
    p, e = ex.PAD, ex.EPAD
    assert by_hand.moshi(ex.MOSHI["words"])[0, :32].tolist() == [
        *[ex.INITIAL, 10, p, p, p, e],
        *[11, 15, 16, p, p, e],  # of three words that start in frame 6, the last
        *[20, 21, 31, 32],  # two of five ids: the next word starts two frames later
        *[p] * 13,
        *[e, 33, p],
    ]
