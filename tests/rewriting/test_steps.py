import re

import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting.steps import LETTERS, LeftOut, Step, applied, unheard


def step(pattern, say, silent=""):
    return Step(re.compile(pattern), say, silent)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (step(r"-\$(\d)", r"\1 dollars"), "It is -$5"),
        (step(r"\d+%?", "five"), "5%"),
        (step(r"\[\d\]", ""), "see [1]"),
        (step(r"(\d)-(\d)", r"\1 \2"), "3-5"),
        (step(r"-(\d)--(\d)", r"minus \1 to \2"), "-3--5"),
        (step(r"/\w+", ""), "example/help"),
        (step(r"(\d+) kg", r"\1"), "5 kg"),
        (step(r"\d+ to \d+-\d+", "three to five six"), "3 to 5-6"),
        (step(r"[-−]", "，"), "是−5"),
        (step(r"1,5", "one"), "1,5"),
    ],
)
def test_a_rule_that_drops_something_is_found_out(bad, text):
    with pytest.raises(DialogueRejected, match="would not be heard") as rejected:
        applied(text, [bad], [])
    assert rejected.value.reason == "not_heard"


def test_what_is_left_out_is_noted_each_time():
    notes = []
    citation = step(r"\[\d\]", lambda m: LeftOut("", "citation_left_out"))
    assert applied("a [1] b [2].", [citation], notes) == "a  b ."
    assert notes == ["citation_left_out"] * 2


def test_what_is_read_or_carries_nothing_is_heard():
    assert unheard("-$5.50", "minus five dollars and fifty cents") == []
    assert unheard("-5%", "百分之负五") == []
    assert unheard('"so", (he) said…', "so he said") == []
    assert unheard("5 km", "five kilometers", LETTERS) == []
    assert unheard("5:00", "five o'clock") == []
    assert unheard("5 km", "five") == ["km"]
