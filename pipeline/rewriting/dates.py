"""Dates and times of day as English words, in American order: January fifth, twenty twenty one."""

import functools
import re
from collections.abc import Callable

from .numbers import cardinal, ordinal, year
from .steps import LETTERS, Match, Step

TO = r"\s?[-–—]\s?"
NOT_IN = r"(?<![\w.,/:$£€-])"
END = r"(?![\w/:]|[.,-]\d)"

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_MONTH = (
    r"(Jan(?:uary|\.)?|Feb(?:ruary|\.)?|Mar(?:ch|\.)?|Apr(?:il|\.)?|May|June?\.?|July?\.?|Aug(?:ust|\.)?|"
    r"Sept?(?:ember|\.)?|Oct(?:ober|\.)?|Nov(?:ember|\.)?|Dec(?:ember|\.)?)"
)
_DAY = r"(0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(1\d{3}|20\d\d)"


def rule(pattern: str, say: Callable[[Match], str], silent: str = LETTERS) -> Step:
    """A rule for quantities. Letters are silent in it: those of units, months and scales are looked up."""
    return Step(re.compile(pattern, re.ASCII), functools.partial(_apart, say), silent)


def _apart(say: Callable[[Match], str], m: Match) -> str:
    """Words for a match, apart from the letters it touches: `MP3` -> MP three, `3D` -> three D."""
    words = say(m)
    before, after = m.string[max(0, m.start() - 1) : m.start()], m.string[m.end() : m.end() + 1]
    left = " " if (before.isalnum() or before in (")", "'")) and before and words[:1].isalnum() else ""
    return left + words + (" " if after.isalnum() and words[-1:].isalnum() else "")


def _month(name: str) -> str:
    return next(month for month in _MONTHS if month.startswith(name[:3]))


def _month_day_year(m: Match) -> str:
    month, day, to, year_ = m.groups()
    until = f" to {ordinal(to)}" if to else ""
    return f"{_month(month)} {ordinal(day)}{until}" + (f", {year(year_)}" if year_ else "")


def _day_month_year(m: Match) -> str:
    day, month, year_ = m.groups()
    return f"{_month(month)} {ordinal(day)}" + (f", {year(year_)}" if year_ else "")


def _iso_date(m: Match) -> str:
    return f"{_MONTHS[int(m[2]) - 1]} {ordinal(m[3])}, {year(m[1])}"


def _slash_date(m: Match) -> str:
    month, day = (m[1], m[2]) if int(m[1]) <= 12 else (m[2], m[1])
    if int(month) > 12 or not int(month) or not int(day):
        return f"{cardinal(m[1])} {cardinal(m[2])} {cardinal(m[3])}"
    year_ = m[3] if len(m[3]) == 4 else ("19" if m[3] > "50" else "20") + m[3]
    return f"{_MONTHS[int(month) - 1]} {ordinal(day)}, {year(year_)}"


def _clock(hour: str, minute: str, meridiem: str | None) -> str:
    hour_words = cardinal(str(int(hour)))
    if minute == "00":
        words = hour_words if meridiem else f"{hour_words} o'clock" if 0 < int(hour) <= 12 else f"{hour_words} hundred"
    else:
        words = f"{hour_words} {'oh ' if minute[0] == '0' else ''}{cardinal(str(int(minute)))}"
    return words + (f" {_meridiem(meridiem)}" if meridiem else "")


def _meridiem(text: str) -> str:
    return "a.m." if text[0] in "aA" else "p.m."


def _time_range(m: Match) -> str:
    one = _clock(m[1], m[2] or "00", m[3]) if m[3] or (m[2] or "00") != "00" else cardinal(m[1])
    return f"{one} to {_clock(m[4], m[5] or '00', m[6])}"


_AMPM = r"([ap]\.m\.|[ap]m\b|[AP]\.M\.|[AP]M\b)"
DATES_AND_TIMES: list[Step] = [
    rule(rf"{NOT_IN}{_YEAR}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\d)", _iso_date, LETTERS + "-"),
    rule(rf"{NOT_IN}(\d{{1,2}})[/.](\d{{1,2}})[/.](\d{{4}}|\d\d){END}", _slash_date, LETTERS + "/"),
    rule(rf"\b{_MONTH}\s{_DAY}(?:{TO}{_DAY})?(?:,?\s{_YEAR})?{END}", _month_day_year),
    rule(rf"{NOT_IN}{_DAY}\s(?:of\s)?{_MONTH}(?:,?\s{_YEAR})?{END}", _day_month_year),
    rule(rf"{NOT_IN}(\d{{1,2}})(?::([0-5]\d))?\s?{_AMPM}?{TO}(\d{{1,2}})(?::([0-5]\d))?\s?{_AMPM}", _time_range),
    rule(rf"{NOT_IN}(\d{{1,2}}):([0-5]\d)()\s?[-–—]\s?(\d{{1,2}}):([0-5]\d)(){END}", _time_range),
    rule(rf"{NOT_IN}([01]?\d|2[0-3]):([0-5]\d)(?:\s?{_AMPM})?(?![:\d])", lambda m: _clock(m[1], m[2], m[3])),
    rule(rf"{NOT_IN}(\d{{1,2}})\s?{_AMPM}", lambda m: f"{cardinal(m[1])} {_meridiem(m[2])}"),
]
