"""Chinese text as phonemes: every reading that there is, every character of a text, and English words within it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypinyin.contrib.tone_convert import to_tone3
from pypinyin.phrases_dict import phrases_dict
from pypinyin.pinyin_dict import pinyin_dict

from duplexgen.pipeline.dialogue import words_of
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.speech.kokoro import vocabulary
from duplexgen.pipeline.speech.mandarin import _syllable, phonemize
from duplexgen.pipeline.speech.phonemes import MAX_PHONEMES, PAUSES

READINGS = {one for listed in pinyin_dict.values() for one in listed.split(",")}
READINGS |= {one for phrase in phrases_dict.values() for listed in phrase for one in listed}
TYPOS = {"wòng"}  # of the dictionary


def spoken(text: str) -> str:
    return " ".join(piece.phonemes for piece in phonemize(text, vocabulary()))


def test_every_reading_of_every_character_has_phonemes_that_the_voice_knows() -> None:
    known = set(vocabulary())
    sounds = {one: _syllable("字", to_tone3(one, neutral_tone_with_five=True)) for one in READINGS - TYPOS}
    assert len(sounds) > 1500
    assert all(sound and set(sound) <= known for sound in sounds.values())
    assert len(set(sounds.values())) >= len(sounds) - 2, "two readings sound alike"


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [  # as misaki 0.9.4 has them; spaces are where pypinyin ends a word
        ("绿色的月亮。", "ly↘ sɤ↘ tɤ ɥe↘ lja↘ŋ."),
        ("雪球", "ɕɥe↓ ʨʰjou↗"),
        ("自己知道", "ʦɨ↘ ʨi↓ ꭧɨ→tau↘"),
        ("翁先生", "wə→ŋ ɕjɛ→n ʂə→ŋ"),
        ("而且", "ɚ↗ʨʰje↓"),
        ("云，水", "y↗n, ʂwei↓"),
    ],
)
def test_syllables(text: str, phonemes: str) -> None:
    assert spoken(text) == phonemes


@pytest.mark.parametrize(
    ("first", "second"),
    [("银行", "行人"), ("长大", "长度"), ("觉得", "睡觉"), ("还有", "还钱")],
)
def test_a_character_is_read_by_its_word(first: str, second: str) -> None:
    (shared,) = set(first) & set(second)
    readings = []
    for text in (first, second):
        (piece,) = phonemize(text, vocabulary())
        place = text.index(shared)
        readings.append("".join(p for p, word in zip(piece.phonemes, piece.words, strict=True) if word == place))
    assert readings[0] != readings[1]


def test_tones_change_beside_each_other_and_not_over_a_pause() -> None:
    assert spoken("你好") == "ni↗xau↓"
    assert spoken("不要") == "pu↗jau↘" and spoken("不好") == "pu↘xau↓"
    assert spoken("你，好") == "ni↓, xau↓"


@pytest.mark.parametrize(
    ("text", "english"), [("打开App吧", "ˈæp"), ("用Python写", "pˈIθˌɑn"), ("五GHz", "ʤˌiˌAʧzˈi"), ("U盘", "jˈu")]
)
def test_an_english_word_is_read_as_english_apart_from_the_characters(text: str, english: str) -> None:
    assert english in spoken(text).split()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("五5个", "'5'"),
        ("图书馆в城里", "'в'"),
        ("百分%之", "'%'"),
        ("好\U0003fffd", "U+3FFFD"),
        ("々", "U+3005"),
        ("日本のお茶", "HIRAGANA"),
        ("", "no word"),
        ("。，“”", "no word"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, named: str) -> None:
    with pytest.raises(DialogueRejected, match="unspeakable") as caught:
        phonemize(text, vocabulary())
    assert named in caught.value.detail


@given(st.text("你好吗我们一不行长了着儿〇,，。！？；：、…—“”《》 App's", min_size=1, max_size=80))
def test_each_phoneme_is_of_its_word_and_each_word_is_spoken(text: str) -> None:
    try:
        pieces = phonemize(text, vocabulary())
    except DialogueRejected as rejected:
        assert not any(map(str.isalpha, text)), rejected.detail
        return
    words = words_of(text, "zh")
    owners = [owner for piece in pieces for owner in piece.words]
    assert owners == sorted(owners)
    assert all(len(piece.words) == len(piece.phonemes) for piece in pieces)
    sounding = {o for piece in pieces for p, o in zip(piece.phonemes, piece.words, strict=True) if p not in PAUSES}
    assert sounding == {number for number, word in enumerate(words) if any(c.isalpha() or c == "〇" for c in word)}


@pytest.mark.parametrize("end", ["。", "，", ""])
def test_a_long_text_is_split_at_its_pauses_else_between_words(end: str) -> None:
    sentence = "我们明天早上一起坐火车去北京看朋友" + end
    pieces = phonemize(sentence * 20, vocabulary())
    assert len(pieces) > 1 and all(len(piece.phonemes) <= MAX_PHONEMES for piece in pieces)
    (twice,) = phonemize(sentence * 2, vocabulary())
    assert "".join(twice.phonemes.split()) in "".join("".join(piece.phonemes.split()) for piece in pieces)
    if end:
        assert all(piece.phonemes[-1] in ".," for piece in pieces)
    assert {word for piece in pieces for word in piece.words} == set(range(len(words_of(sentence * 20, "zh"))))
