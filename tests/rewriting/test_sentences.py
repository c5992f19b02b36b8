import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting.sentences import cut, ended, split, words


def test_sentences_end_where_they_end():
    text = "He left. Did he? At nine p.m. he came to the U.S. Navy! So."
    assert split(text, "en") == ["He left.", "Did he?", "At nine p.m. he came to the U.S. Navy!", "So."]
    assert split("你好。你好吗？好！", "zh") == ["你好。", "你好吗？", "好！"]


def test_words_are_counted_as_each_language_does():
    assert words("I don't know, A-B.", "en") == 4
    assert words("我用Python三天。", "zh") == 5


@pytest.mark.parametrize(
    ("sentence", "language", "said"),
    [("As follows:", "en", "As follows."), ("So?", "en", "So?"), ("word", "en", "word."), ("如下：", "zh", "如下。")],
)
def test_an_end_is_an_end(sentence, language, said):
    assert ended(sentence, language) == said


def test_a_cut_keeps_whole_sentences():
    assert cut(["a b.", "c d.", "e f."], 4, "en") == (["a b.", "c d."], True)
    assert cut(["a b.", "c d."], 4, "en") == (["a b.", "c d."], False)


def test_a_first_sentence_too_long_is_cut_at_a_clause():
    assert cut(["a b c, d e f, g h i."], 7, "en") == (["a b c, d e f."], True)
    assert cut(["一二三，四五六，七八九。"], 7, "zh") == (["一二三，四五六。"], True)
    with pytest.raises(DialogueRejected, match="reply_cannot_be_cut"):
        cut(["a, b c d e f g h i."], 7, "en")
