import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting.characters import (
    EMOJI_LEFT_OUT,
    TRADE_MARK_LEFT_OUT,
    check_speakable,
    unified,
    without_accents,
    without_marks,
)


@pytest.mark.parametrize(
    ("written", "one_form"),
    [
        ("“it’s”", '"it\'s"'),
        ("ｆｕｌｌ　１２", "full 12"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("a\x00b\tc\r\nd\u2028e", "a b c\nd\ne"),
        ("x², 10⁻³, 10⁻ and −5", "x^2, 10^-3, 10− and −5"),
        ("2½ cups, -½", "2 1/2 cups, -1/2"),
        ("½5, ½.5, 3½007, .½", "1/2 5, 1/2 .5, 3 1/2 007, . 1/2"),
        ("3/½, ½/2, ½-¾", "3 / 1/2, 1/2 / 2, 1/2-3/4"),
        ("wait…", "wait..."),
        ("cafe\u0301", "café"),
        ("20℃, 20ºC, 1º", "20°C, 20°C, 1º"),
        ("Brand™ №5, 5️⃣", "Brand®  No.5, 5"),
    ],
)
def test_one_form_for_what_is_written_in_many(written, one_form):
    assert unified(written) == one_form


def test_wide_marks_stay_until_the_markup_is_read():
    assert unified("（５％） ～～～，", wide_marks=True) == "（5%） ～～～，"
    assert unified("（５％） ～～～，") == "(5%) ~~~,"


def test_emoji_and_accents():
    notes = []
    assert without_marks("a 👍🏽 b ❤ :-)", notes) == "a    b    "
    assert without_marks("Brand®, plain (8) :3", notes) == "Brand , plain (8) :3"
    assert notes == [EMOJI_LEFT_OUT, TRADE_MARK_LEFT_OUT]
    assert without_accents("Beyoncé, naïve, Dvořák, a ≠ b, 5\u0336") == "Beyonce, naive, Dvorak, a ≠ b, 5\u0336"


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
