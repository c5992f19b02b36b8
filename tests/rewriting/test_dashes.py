import pytest

from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.rewriting import chinese, english
from duplexgen.pipeline.rewriting.dashes import DASH_LEFT_OUT


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("-$5, -£1,200, $-5", "Minus five dollars, minus one thousand two hundred pounds, minus five dollars"),
        ("-5kg, -86 m, (-5), x=-5", "Minus five kilograms, minus eighty six meters, minus five, x equals minus five"),
        ("−5 and –5 and -.5", "Minus five and minus five and minus zero point five"),
        ("3-5, 1990–2000, -3--5", "Three to five, nineteen ninety to two thousand, minus three to minus five"),
        ("2nd-3rd, 9am-5pm, 5kg-10kg", "Second to third, nine a.m. to five p.m., five kilograms to ten kilograms"),
        ("5-3=2, x-5, y = -x", "Five minus three equals two, x minus five, y equals minus x"),
        ("1e-5 and 10^−3", "One times ten to the power of minus five and ten to the power of minus three"),
        ("+/-5, ±5, 5 -3", "Plus or minus five, plus or minus five, five dash three"),
        ("3->5, from 3 -> 5, A-->B", "Three to five, from three to five, A to B"),
        ("1/2-3/4 cup, 1/2–1 cup", "One half to three quarters cup, one half to one cup"),
        ("UTC-5, GMT-08:00", "UTC minus five, GMT minus eight o'clock"),
        ("COVID-19, a 10-year-old, 555-1234", "COVID nineteen, a ten-year-old, five five five, one two three four"),
    ],
)
def test_a_dash_is_read_as_what_it_is(written, said):
    notes = []
    assert english.spoken(written, notes) == said
    assert notes == []


@pytest.mark.parametrize("written", ["Clock - 4 modes", "navy—98 ships", "so -- 5 of them", "from 5- on"])
def test_a_dash_that_is_a_pause_at_a_number_is_noted(written):
    notes = []
    assert "minus" not in english.spoken(written, notes)
    assert notes == [DASH_LEFT_OUT]


@pytest.mark.parametrize("written", ["- 5 %", "5--6", "(- 5)", "x => 5", "x=>-$5", "so —-$5"])
def test_what_may_be_a_minus_or_a_dash_rejects(written):
    for spoken in (english.spoken, chinese.spoken):
        with pytest.raises(DialogueRejected) as rejected:
            spoken(written, [])
        assert rejected.value.reason == "unclear_sign"
