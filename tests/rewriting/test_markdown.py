import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting.markdown import (
    CITATION_LEFT_OUT,
    CODE_LEFT_OUT,
    HTML_LEFT_OUT,
    IMAGE_LEFT_OUT,
    LINK_LEFT_OUT,
    MARK_BEFORE_NUMBER,
    plain,
)


@pytest.mark.parametrize(
    ("written", "paragraphs"),
    [
        ("**Bold**, *it*, `code` and ~~gone~~.", ["Bold, it, code and gone."]),
        ("# Title\nText", ["Title.", "Text."]),
        ("- one\n- two", ["one.", "two."]),
        ("• one\n• two", ["one.", "two."]),
        ("1. one\n2. two", ["First, one.", "Second, two."]),
        ("3. three\n4. four", ["Third, three.", "Fourth, four."]),
        ("1. alone", ["1. alone."]),
        ("[here](http://a.b) and <http://a.b>", ["here and http://a.b."]),
        ("<b>Hi</b> there<br>Dear <your name> &amp; all", ["Hi there.", "Dear your name & all."]),
        ("a <!-- no --> b [1].", ["a b ."]),
        ("Roses are red,\nviolets are\nblue\nSo it is", ["Roses are red, violets are blue.", "So it is."]),
        ("2*3*4 and snake_case_word", ["2 × 3 × 4 and snake_case_word."]),
        ("| Name | Price | Color |\n|-|-|-|\n| Pear | $2 | red |", ["Pear, Price: $2, Color: red."]),
        ("| Name | Price |\n|-|-|\n| Pear | $2 |", ["Pear: $2."]),
        ("```\nJust some words, fenced.\n```", ["Just some words, fenced."]),
        ("> quoted", ["quoted."]),
        ("known[1]A", ["known A."]),
        (">=x\n- >= y", ["≥x.", "≥ y."]),
        ("Sum\n🙂=", ["Sum.", "=."]),
        ("🙂> x", ["> x."]),
        ("[注]（内容）", ["[注](内容)"]),
        ("～～～今天\n好", ["~~~今天.", "好."]),
        ("see http://a.b/c?d[word](http://b.c)", ["see http://a.b/c?d word."]),
        ("看http://a.b/c?d，$3.5", ["看http://a.b/c?d ,$3.5."]),
    ],
)
def test_markup_becomes_sentences(written, paragraphs):
    assert plain(written, "en").paragraphs == paragraphs


@pytest.mark.parametrize(
    ("written", "paragraphs"),
    [
        ("1990. It was.", ["1990. It was."]),
        ("1.\n2. x", ["First,", "Second, x."]),
        ("5. x\n3. y", ["Fifth, x.", "Third, y."]),
        ("1. a\n1. b", ["First, a.", "Second, b."]),
        ("1. - no", ["1. no."]),
        ("a*b*c and 2**3", ["a × b × c and 2^3."]),
        ("a <b and c> d, 10<sup>-3</sup>", ["a <b and c> d, 10^-3."]),
        ("&minus;5 &frac12; &#99 x", ["−5 1/2 &#99 x."]),
    ],
)
def test_markup_hides_nothing(written, paragraphs):
    assert plain(written, "en").paragraphs == paragraphs


@pytest.mark.parametrize(
    "text", ["| a | b |\n|-|-|\n| 1 | 2 | 3 |", "> " * 30 + "deep", "| a |\n|-|\n| 1 | more and more |"]
)
def test_what_the_parser_drops_rejects(text):
    with pytest.raises(DialogueRejected) as rejected:
        plain(text, "en")
    assert rejected.value.reason == "not_heard"


@pytest.mark.parametrize("text", ["- 5 %", "+ 5", "> 5 people", "Well:\n- 5 eggs"])
def test_a_mark_of_layout_that_may_be_a_sign_rejects(text):
    with pytest.raises(DialogueRejected) as rejected:
        plain(text, "en")
    assert rejected.value.reason == "unclear_sign"


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("- 5 eggs\n- 3 pears", [MARK_BEFORE_NUMBER] * 2),
        ('[here](http://a.b/c "title")', [LINK_LEFT_OUT]),
        ("[here][one]\n\n[one]: http://a.b", [LINK_LEFT_OUT] * 2),
        ("Fact[1], so[^2].\n\n[^2]: Indeed", [CITATION_LEFT_OUT] * 3),
        ("a <!-- no --> b <a href='x'>c</a>", [HTML_LEFT_OUT] * 2),
        ("～～～\n好", []),
        ("~~~ word\nHi there.", [CODE_LEFT_OUT]),
        ("是［1］的", [CITATION_LEFT_OUT]),
        ("<b>Hi</b> <http://a.b>", []),
    ],
)
def test_what_markup_leaves_out_is_noted(text, notes):
    assert plain(text, "en").notes == notes


def test_chinese_lists_are_counted_in_chinese():
    assert plain("1. 打开\n2. 关闭", "zh").paragraphs == ["第一，打开。", "第二，关闭。"]


def test_what_is_left_out_is_noted():
    assert plain("![](a.png) Look.", "en").notes == [IMAGE_LEFT_OUT]
    code = plain("Call it like this, and all is well again, I hope:\n```\nf(x);\n```", "en")
    assert (code.notes, len(code.paragraphs)) == ([CODE_LEFT_OUT], 1)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)\n```",
        "import os\nprint(os.getcwd())",
        "int main() {\n  return 0;\n}",
        "x = a.b(1) + a.c(2);\ny = 2;",
    ],
)
def test_code_is_rejected(text):
    with pytest.raises(DialogueRejected) as rejected:
        plain(text, "en")
    assert rejected.value.reason == "code"


@pytest.mark.parametrize("text", ["It is \\frac{1}{2}.", "$E = mc^2$", "$$x$$"])
def test_latex_is_rejected(text):
    with pytest.raises(DialogueRejected) as rejected:
        plain(text, "en")
    assert rejected.value.reason == "math"


def test_prices_are_no_latex():
    assert plain("From $5 to $6.", "en").paragraphs == ["From $5 to $6."]
