"""What a dash beside a number is: a minus, a range, a pause or part of a word.

This is decided while the number is still in digits, because a dash beside a word is a pause. A dash stays before a
number only inside a word or between two numbers.
"""

import re
from typing import NoReturn

from ..errors import DialogueRejected
from .steps import LeftOut, Match, Step, applied
from .units import UNIT_NAMES

DASH_LEFT_OUT = "dash_at_number_left_out"

_LOOK = 24  # characters on either side that decide
_CURRENCY = r"(?:US\$|[$£€¥₹])"
_DASHES = re.compile(r" ?[-–—−]+ ?")
_NUMBER = re.compile(rf"{_CURRENCY}? ?\.?\d")
_AFTER_CURRENCY = Step(re.compile(rf"({_CURRENCY}) ?[-−](?=\.?\d)"), r"−\1")
_PLUS_OR_MINUS = Step(re.compile(r"\+ ?/ ?[-−]|(?<!\+)\+[-−](?=\.?\d)|±"), " plus or minus ")
_ARROW = Step(re.compile(r" ?(?<![<-])-{1,9}> ?"), " to ", "-")
_FORMULA_AFTER = re.compile(r"[\d.,xyz]{1,20}(?: ?[-+×*/−] ?[\d.,xyz]{1,20}){0,4} ?=")
_FORMULA_BEFORE = re.compile(r"[=+×÷*−] ?[\d.,]{1,20}$|(?<!\d)[<>≤≥] ?[\d.,]{1,20}$")
_OPERATOR = re.compile(r"[=<>≤≥≈~±+×÷*/]$")
_VARIABLE = re.compile(r"(?<!\w)[xyz]$")
_NEGATIVE = re.compile(r"(?:^|[^\w)])[-−] ?[\d.,]{1,20}$")
_MEASURED = re.compile(rf"\d ?(?:{UNIT_NAMES}|[%°KMxX]|°[CF]|st|nd|rd|th|s|am|pm|AM|PM|[ap]\.m\.)$")
AMBIGUOUS_ARROW = re.compile(rf"=> ?(?=[-−]?{_CURRENCY}? ?\.?\d)")  # an arrow, or `at least`
_FRACTION = re.compile(r"(?<![\d/])\d{1,3}/\d{1,3}$")
_TIME_ZONE = re.compile(r"\b(?:UTC|GMT)$")
_LETTER = re.compile(r"[A-Za-z]\b")


def settled(text: str, notes: list[str]) -> str:
    """English text with `minus` for each dash that means minus. Raises DialogueRejected where that is unclear."""
    return applied(text, (_DOUBLE_ARROW, _ARROW, _PLUS_OR_MINUS, _AFTER_CURRENCY, Step(_DASHES, _meant)), notes)


def _refuse(m: Match) -> NoReturn:
    raise _unclear(m)


_DOUBLE_ARROW = Step(AMBIGUOUS_ARROW, _refuse)


def _meant(m: Match) -> str | LeftOut:
    dash = m[0].strip()
    before, after = m.string[max(0, m.start() - _LOOK) : m.start()], m.string[m.end() : m.end() + _LOOK]
    if before.endswith("^"):
        return dash  # of an exponent
    if set(dash) == {"−"}:
        return " minus " * len(dash)
    if not _NUMBER.match(after):
        return _before_no_number(m, before, after)
    if len(dash) > 1 or dash == "—":
        return _long(m, before)
    return _single(m, before, after)


def _single(m: Match, before: str, after: str) -> str | LeftOut:
    """One hyphen or en dash before a number."""
    if _OPERATOR.search(before):
        return " minus "
    if before[-1:].isdigit():
        return _between_numbers(m, before, after)
    if not m[0].endswith(" "):
        return _after_space(before) if m[0].startswith(" ") else _attached(m, before)
    if not before.strip() or before[-1] in "([":
        raise _unclear(m)
    return LeftOut(", ", DASH_LEFT_OUT)


def _after_space(before: str) -> str:
    return " dash " if _MEASURED.search(before) else " minus "


def _before_no_number(m: Match, before: str, after: str) -> str | LeftOut:
    if _LETTER.match(after) and (_OPERATOR.search(before) or (before[-1:].isdigit() and after[0] in "xyzn")):
        return " minus "
    if before[-1:].isdigit() and (m[0][-1] == " " or not after[:1].isalnum()):
        return LeftOut(", ", DASH_LEFT_OUT)
    if "−" in m[0]:
        raise _unclear(m)
    return m[0]


def _long(m: Match, before: str) -> str | LeftOut:
    """Two hyphens or more, or an em dash, before a number."""
    if m[0] in ("--", "-−", "–−", "–-") and _NEGATIVE.search(before):
        return " to minus "
    if m[0].strip() == "—" and before[-1:].isdigit():
        return m[0]
    if "−" in m[0] or len(set(m[0].strip())) > 1 or (before[-1:].isdigit() and " " not in m[0]):
        raise _unclear(m)
    return LeftOut(", ", DASH_LEFT_OUT)


def _between_numbers(m: Match, before: str, after: str) -> str:
    if _FORMULA_AFTER.match(after) or _FORMULA_BEFORE.search(before):
        return " minus "
    if _FRACTION.search(before):
        return " to "
    if m[0][0] == " " and m[0][-1] != " ":
        return " dash "
    if (currency := re.match(_CURRENCY, after)) and not re.search(
        rf"{re.escape(currency[0])} ?[\d.,]{{1,20}}$", before
    ):
        return " to "
    return m[0]


def _attached(m: Match, before: str) -> str:
    """A hyphen with no space on either side, after a character that is not a digit."""
    if _VARIABLE.search(before) or _TIME_ZONE.search(before):
        return " minus "
    if _MEASURED.search(before):
        return " to "
    if before[-1:].isalpha() or re.search(r"\(\d{3}\)$", before):
        return m[0]
    return " dash " if before[-1:] in (")", "]", "%", "°") else " minus "


def _unclear(m: Match) -> DialogueRejected:
    around = m.string[max(0, m.start() - _LOOK) : m.end() + _LOOK]
    return DialogueRejected("unclear_sign", f"a minus, a dash or another sign: {around!r}")
