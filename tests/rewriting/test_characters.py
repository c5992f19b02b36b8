import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting.characters import check_speakable, unified, without_accents, without_emoji


@pytest.mark.parametrize(
    ("written", "one_form"),
    [
        ("“it’s”", '"it\'s"'),
        ("ｆｕｌｌ　１２", "full 12"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("a\x00b\tc\r\nd\u2028e", "a b c\nd\ne"),
        ("x² and 10⁻", "x^2 and 10-"),
        ("2½ cups", "2 1/2 cups"),
        ("wait…", "wait..."),
        ("cafe\u0301", "café"),
        ("20℃", "20°C"),
        ("Brand™", "Brand"),
    ],
)
def test_one_form_for_what_is_written_in_many(written, one_form):
    assert unified(written) == one_form


def test_emoji_and_accents():
    assert without_emoji("a 👍🏽 b ❤") == ("a    b  ", True)
    assert without_emoji("plain") == ("plain", False)
    assert without_accents("Beyoncé, naïve, Dvořák") == "Beyonce, naive, Dvorak"


@pytest.mark.parametrize("text", ["Hi.", "It's a well-known fact, isn't it?", "The U.S., at p.m.: 'em; dogs'."])
def test_what_can_be_said(text):
    check_speakable(text, "en")


@pytest.mark.parametrize(
    "text", ["5", "a b5", "a - b", "a  b", "--", "x%", "naïve", "'", "what?!", "好", "a" * 31, ".", "a .", "U.S.A"]
)
def test_what_cannot_be_said(text):
    with pytest.raises(DialogueRejected):
        check_speakable(text, "en")


def test_chinese_takes_both_scripts_but_no_digit():
    check_speakable("我用Python，你呢？", "zh")
    for text in ("我有5个", "。", "да"):
        with pytest.raises(DialogueRejected):
            check_speakable(text, "zh")
