import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.speech.cosyvoice.segments import kept_tokens, split


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


@pytest.mark.parametrize(("text", "language"), [("?!", "en"), (" … ", "en"), ("。！", "zh"), ("Go <|en|> on.", "en")])
def test_what_nobody_can_say_is_rejected(code, text, language):
    with pytest.raises(DialogueRejected, match="unspeakable"):
        split(text, language, letters)


def test_short_texts_stay_whole(code):
    assert split("Good morning. How are you?", "en", letters) == ["Good morning. How are you?"]
    assert split("你好。今天怎么样？", "zh", letters) == ["你好。今天怎么样？"]


def test_long_texts_are_cut_at_sentences_and_nothing_is_lost(code):
    text = "The first sentence of some length is this one here. " * 6
    parts = split(text, "en", letters)
    assert len(parts) > 2
    assert "".join(parts).split() == text.split()
    assert all(part.rstrip().endswith(".") for part in parts)


def test_v3_hears_no_long_silence():
    silence = [1, 2, 28, 29, 55, 248, 494]
    assert kept_tokens([100, *silence, 200, *silence], 3) == [100, *silence[:5], 200, *silence[:5]]
    assert kept_tokens([100, *silence, 200], 2) == [100, *silence, 200]
