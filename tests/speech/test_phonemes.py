import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.speech.kokoro import vocabulary
from duplexgen.pipeline.speech.phonemes import MAX_PHONEMES, phonemize, plain


def spoken(text: str) -> list[str]:
    return [piece.phonemes for piece in phonemize(text, vocabulary())]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("It starts at 3:45 sharp.", "'3:45'"),
        ("Ham & eggs.", "AMPERSAND"),
        ("a/b testing", "'a/b'"),
        ("Say 日本 now.", "'日本'"),
        ("A big straße here.", "LATIN SMALL LETTER SHARP S"),
        ("It is 20° today.", "'20°'"),
        ("zero\u200bwidth", "ZERO WIDTH SPACE"),
        ("bell \x07 rings", "U+0007"),
    ],
)
def test_what_would_be_dropped_or_misread_is_named(text: str, named: str) -> None:
    with pytest.raises(DialogueRejected, match="unspeakable") as caught:
        phonemize(text, vocabulary())
    assert named in caught.value.detail


@pytest.mark.parametrize("text", ["", "   ", "...", "— “ ” —"])
def test_a_text_without_words_is_unspeakable(text: str) -> None:
    with pytest.raises(DialogueRejected, match="no word"):
        phonemize(text, vocabulary())


def test_typography_and_accents_are_made_plain() -> None:
    assert plain("“Zoë’s café” – co\u2011op\u00a0now") == '"Zoe\'s cafe" — co-op now'


WORDS = "hello quixotic zxcvbn NASA U.S.A. don't rock 'n' roll well-known Mr. Smith's hmm I a"


@pytest.mark.parametrize("word", WORDS.split())
def test_every_word_gives_phonemes(word: str) -> None:
    assert any(phoneme in "aæɐɑəɛɜiɪɔuʌʊAIOWYTm" for phoneme in "".join(spoken(word)))


def test_a_long_text_is_split_at_sentences_and_loses_nothing() -> None:
    sentence = "The quick brown fox jumps over the lazy dog near the river bank"
    text = ". ".join([sentence] * 20) + "."
    pieces = spoken(text)
    assert len(pieces) > 1
    assert all(len(piece) <= MAX_PHONEMES and piece.endswith(".") for piece in pieces)
    (once,) = spoken(sentence + ".")
    assert " ".join(pieces).split() == once.split() * 20


def test_a_text_without_punctuation_is_split_between_words() -> None:
    pieces = spoken("banana " * 200)
    (once,) = spoken("banana")
    assert all(len(piece) <= MAX_PHONEMES for piece in pieces)
    assert " ".join(pieces).split() == [once] * 200
