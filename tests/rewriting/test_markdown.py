import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting.markdown import CODE_LEFT_OUT, IMAGE_LEFT_OUT, plain


@pytest.mark.parametrize(
    ("written", "paragraphs"),
    [
        ("**Bold**, *it*, `code` and ~~gone~~.", ["Bold, it, code and gone."]),
        ("# Title\nText", ["Title.", "Text."]),
        ("- one\n- two", ["one.", "two."]),
        ("• one\n• two", ["one.", "two."]),
        ("1. one\n2. two", ["First, one.", "Second, two."]),
        ("3. three\n4. four", ["Third, three.", "Fourth, four."]),
        ("1. alone", ["alone."]),
        ("[here](http://a.b) and <http://a.b>", ["here and http://a.b."]),
        ("<b>Hi</b> there<br>Dear <your name> &amp; all", ["Hi there.", "Dear your name & all."]),
        ("a <!-- no --> b [1].", ["a b ."]),
        ("Roses are red,\nviolets are\nblue\nSo it is", ["Roses are red, violets are blue.", "So it is."]),
        ("2*3*4 and snake_case_word", ["2 × 3 × 4 and snake_case_word."]),
        ("| Name | Price | Color |\n|-|-|-|\n| Pear | $2 | red |", ["Pear, Price: $2, Color: red."]),
        ("| Name | Price |\n|-|-|\n| Pear | $2 |", ["Pear: $2."]),
        ("```\nJust some words, fenced.\n```", ["Just some words, fenced."]),
        ("> quoted", ["quoted."]),
    ],
)
def test_markup_becomes_sentences(written, paragraphs):
    assert plain(written, "en").paragraphs == paragraphs


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
