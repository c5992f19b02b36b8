import pytest

from duplexgen.pipeline.rewriting.quantities import spoken


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("January 5, 2021", "January fifth, twenty twenty one"),
        ("Jan. 5th, 2005", "January fifth, two thousand five"),
        ("5 January 1905", "January fifth, nineteen oh five"),
        ("2020-12-25", "December twenty fifth, twenty twenty"),
        ("12/25/2020", "December twenty fifth, twenty twenty"),
        ("25/12/1999", "December twenty fifth, nineteen ninety nine"),
        ("May 3-5", "May third to fifth"),
        ("I may 3 times", "I may three times"),
        ("in 1984 and 2010", "in nineteen eighty four and twenty ten"),
        ("3:45 p.m.", "three forty five p.m."),
        ("7 AM, 7am, 7:05am", "seven a.m., seven a.m., seven oh five a.m."),
        ("12:00, 14:30, 15:00", "twelve o'clock, fourteen thirty, fifteen hundred"),
        ("10:00 – 10:50am", "ten to ten fifty a.m."),
        ("9am-5pm", "nine a.m. to five p.m."),
    ],
)
def test_dates_and_times_are_read_out(written, said):
    assert spoken(written, []) == said
