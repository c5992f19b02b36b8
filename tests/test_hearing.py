"""How edges of turns and words are taken from what was heard, without the models that hear."""

import numpy as np
import pytest

from benchmarks.floor import encode, measure_floor, mix
from benchmarks.hearing import HEARING_HZ, by_turn, chunks, words
from benchmarks.listening import best_cut, compared, read_out

SECOND = HEARING_HZ


def test_pauses_inside_a_turn_do_not_end_it() -> None:
    turns = [(0, 4 * SECOND), (6 * SECOND, 8 * SECOND)]
    first, second = [(100, SECOND), (2 * SECOND, 4 * SECOND + 300)], [(6 * SECOND - 200, 8 * SECOND)]
    assert by_turn(turns, first + second) == ([first, second], [])


def test_speech_where_no_turn_is_counts_as_stray_and_a_silent_turn_as_not_heard() -> None:
    segments = [(0, SECOND), (2 * SECOND, 3 * SECOND)]
    assert by_turn([(0, SECOND), (5 * SECOND, 6 * SECOND)], segments) == ([segments[:1], []], segments[1:])
    assert by_turn([], [(0, 10)]) == ([], [(0, 10)])


def test_speech_over_two_turns_goes_to_the_one_it_overlaps_most() -> None:
    assert by_turn([(0, 100), (150, 500)], [(50, 400)]) == ([[], [(50, 400)]], [])


def test_an_interrupted_reply_is_compared_with_as_much_text_as_was_heard() -> None:
    pytest.importorskip("rapidfuzz", reason="comes with the extra `listen`")
    text = "the last one leaves at eleven forty five"
    assert best_cut(text, "the last one leads at") == "the last one leaves at"
    assert best_cut(text, text) == text
    assert best_cut(text, "") == "the"


def test_chunks_join_short_pauses_and_fit_the_recogniser() -> None:
    joined = chunks([(SECOND, 2 * SECOND), (2 * SECOND + 100, 3 * SECOND), (9 * SECOND, 10 * SECOND)], 10 * SECOND)
    margin = SECOND // 5
    assert joined == [(SECOND - margin, 3 * SECOND + margin), (9 * SECOND - margin, 10 * SECOND)]
    long = chunks([(second * SECOND, second * SECOND + SECOND // 2) for second in range(60)], 60 * SECOND)
    assert len(long) > 1
    assert all(end - start < 30 * SECOND for start, end in long)


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words("It's TWENTY-six, isn't it?") == "its twenty six isnt it"
    assert words("at nine p.m. there") == words("At nine PM there!")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It's 11.45pm", "its eleven forty five pm"),
        ("It cost $8 in 1817.", "it cost eight dollars in eighteen seventeen"),
        ("About 30% of 20°C", "about thirty percent of twenty degrees celsius"),
    ],
)
def test_what_the_recogniser_writes_in_digits_is_read_out(written: str, said: str) -> None:
    assert words(read_out(written)) == said


def test_chinese_is_compared_by_its_characters_in_one_script_with_numbers_read_out() -> None:
    assert compared("今天App卖20%。", "zh") == "今 天 app 卖 百 分 之 二 十"
    assert compared("門票是8元", "zh") == compared("门票是八元。", "zh")
    assert compared("It's 20% off.", "en") == words(read_out("It's 20% off."))


def test_floor_mixes_on_two_channels_and_counts_all_audio() -> None:
    rng = np.random.default_rng(0)
    utterances = [rng.normal(0, 0.1, 16000).astype(np.float32) for _ in range(4)]
    track = mix(utterances, 16000)
    assert track.shape == (4 * 16000 + 2 * 12800 + 2 * 28000, 2)
    assert track[:16000, 0].any() and not track[:16000, 1].any()
    assert track[28800:44800, 1].any() and not track[28800:44800, 0].any()
    assert encode(track, 16000).startswith(b"fLaC")
    assert measure_floor(utterances, 16000, min_cpu_s=0.05) > 0
    with pytest.raises(ValueError):
        measure_floor([], 16000)
