"""What the words of a text are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import words_of


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("Hello — there, it's  me.", "en", ["Hello", "—", "there,", "it's", "me."]),
        ("Où est-il\u00a0?", "fr", ["Où", "est-il", "?"]),
        ("我用Python写代码。", "zh", ["我", "用", "Python", "写", "代", "码。"]),
        ("他说：“你好！”", "zh", ["他", "说：“", "你", "好！”"]),
        ("“好 的” —— it's 5G", "zh", ["“好", "的”", "——", "it's", "5G"]),
        ("二〇〇四", "zh", ["二", "〇", "〇", "四"]),
        ("", "zh", []),
    ],
)
def test_words_are_parted_by_spaces_and_in_chinese_by_characters(text: str, language: str, words: list[str]) -> None:
    assert words_of(text, language) == words


@given(
    st.text("ab 'é，。“”—我你們𠀀〇１ \n_-\u0301", max_size=30) | st.text(max_size=30), st.sampled_from(["en", "zh"])
)
def test_words_add_up_to_the_text_and_hold_no_space(text: str, language: str) -> None:
    words = words_of(text, language)
    assert "".join(words) == "".join(text.split())
    assert all(word and not any(character.isspace() for character in word) for word in words)
    if language == "en":
        assert words == text.split()


@given(st.text("我你們 a，。", max_size=30))
def test_a_chinese_word_has_one_character(text: str) -> None:
    characters = [word for word in words_of(text, "zh") if sum(character in "我你們" for character in word)]
    assert len(characters) == sum(character in "我你們" for character in text)
