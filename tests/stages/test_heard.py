"""What is heard of a text until its speaker is cut off, estimated from the speech."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import Placement, Waveform
from duplexgen.pipeline.stages.heard import heard_text

RATE = 16000


def tone(seconds: float) -> Waveform:
    waveform: Waveform = (0.3 * np.sin(np.arange(round(seconds * RATE)) * 0.1)).astype(np.float32)
    return waveform


def pause(seconds: float) -> Waveform:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def heard(text: str, waveform: Waveform, stop_s: float) -> str:
    """What is heard of an utterance that starts one second into a track and stops after `stop_s` seconds."""
    stop, end = RATE + round(stop_s * RATE), RATE + len(waveform)
    placement = Placement("assistant", RATE, stop, end, None if stop == end else 12800)
    return heard_text(text, waveform, placement, RATE)


@pytest.mark.parametrize(
    ("stop_s", "expected"),
    [(4.0, "aaaa bbbb cccc dddd"), (3.9, "aaaa bbbb cccc dddd"), (3.4, "aaaa bbbb cccc"), (1.0, "aaaa"), (0.4, "")],
)
def test_words_are_heard_if_the_most_of_them_is(stop_s: float, expected: str) -> None:
    assert heard("aaaa bbbb cccc dddd", tone(4.0), stop_s) == expected


def test_pauses_hold_no_words() -> None:
    waveform = np.concatenate([tone(1.0), pause(3.0), tone(1.0)])
    assert heard("aaaa bbbb", waveform, 1.1) == heard("aaaa bbbb", waveform, 3.9) == "aaaa"
    assert heard("aaaa bbbb", waveform, 4.8) == "aaaa bbbb"


def test_long_words_last_longer() -> None:
    assert heard("a considerable thing", tone(2.0), 0.7) == "a"
    assert heard("a considerable thing", tone(2.0), 1.2) == "a considerable"


def test_text_without_spaces_is_cut_between_characters() -> None:
    assert heard("图书馆在那里", tone(3.0), 1.5) == "图书馆"


@given(st.text("ab,. ", min_size=1, max_size=40), st.integers(1, 99), st.integers(1, 99))
def test_more_is_heard_later_and_always_a_beginning(text: str, one: int, other: int) -> None:
    waveform = np.concatenate([tone(0.5), pause(0.2), tone(0.3)])
    earlier, later = (heard(text, waveform, share / 100) for share in sorted((one, other)))
    assert text.startswith(later)
    assert later.startswith(earlier)
