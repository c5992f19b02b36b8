"""What is heard of a text until its speaker is cut off: by the times of its words, or estimated from the speech."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import Waveform, Word, words_of
from duplexgen.pipeline.stages.heard import heard_text

RATE = 16000


def tone(seconds: float) -> Waveform:
    waveform: Waveform = (0.3 * np.sin(np.arange(round(seconds * RATE)) * 0.1)).astype(np.float32)
    return waveform


def pause(seconds: float) -> Waveform:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def heard(text: str, waveform: Waveform, stop_s: float, language: str = "en") -> str:
    """What is heard of an utterance that stops after `stop_s` seconds."""
    return heard_text(text, None, waveform, round(stop_s * RATE), RATE, language)


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
    assert heard("图书馆在那里。", tone(3.0), 1.5, "zh") == "图书馆"


TEXTS = st.text("ab,. \n我你。", min_size=1, max_size=40)
LANGUAGES = st.sampled_from(["en", "zh"])
SHARES = st.integers(0, 100)


@settings(deadline=None)
@given(TEXTS, LANGUAGES, SHARES, SHARES)
def test_more_is_heard_later_and_always_a_beginning(text: str, language: str, one: int, other: int) -> None:
    waveform = np.concatenate([tone(0.5), pause(0.2), tone(0.3)])
    earlier, later = (heard(text, waveform, share / 100, language) for share in sorted((one, other)))
    assert text[: len(later)] == later
    assert later[: len(earlier)] == earlier
    assert heard(text, waveform, 1.0, language) == text


@settings(deadline=None)
@given(TEXTS, LANGUAGES, st.data())
def test_with_times_those_words_are_heard_whose_middle_is(text: str, language: str, data: st.DataObject) -> None:
    waveform, written = tone(1.0), words_of(text, language)
    edges = sorted(
        data.draw(st.lists(st.integers(0, RATE), min_size=2 * len(written), max_size=2 * len(written)), label="edges")
    )
    words = [Word(word, *edges[2 * number : 2 * number + 2]) for number, word in enumerate(written)]
    stop = data.draw(st.integers(0, RATE - 1), label="stop")
    found = heard_text(text, words, waveform, stop, RATE, language)
    assert text[: len(found)] == found
    assert words_of(found, language) == [w.text for w in words if (w.start_sample + w.end_sample) / 2 <= stop]
    assert heard_text(text, words, waveform, RATE, RATE, language) == text


def test_with_times_letters_count_for_nothing() -> None:
    words = [Word("a", 0, RATE), Word("considerable", RATE, RATE + 1600), Word("thing", RATE + 1600, 2 * RATE)]
    found = heard_text("a considerable thing", words, tone(2.0), RATE + 1000, RATE, "en")
    assert found == "a considerable"
