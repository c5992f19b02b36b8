import pytest

from duplexgen.pipeline.rewriting import numbers


def test_cardinals_have_their_one_and_all_their_digits():
    assert numbers.cardinal("1,005") == "one thousand and five"
    assert numbers.cardinal("1234567") == "one million two hundred thirty four thousand five hundred and sixty seven"
    assert numbers.cardinal("0") == "zero"


@pytest.mark.parametrize(
    ("text", "said"), [("1066", "one thousand and sixty six"), ("1905", "nineteen oh five"), ("2000", "two thousand")]
)
def test_years(text, said):
    assert numbers.year(text) == said


@pytest.mark.parametrize(("text", "value"), [("IV", 4), ("XIV", 14), ("XXXIX", 39)])
def test_roman(text, value):
    assert numbers.roman(text) == value
