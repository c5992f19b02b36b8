"""Symbols of written English, each with the words for it.

The order of the rules matters: the more specific reading of a symbol comes before the general one.
"""

import re
from collections.abc import Callable

from .numbers import digits
from .steps import LeftOut, Match, Step, applied

SLASH_LEFT_OUT = "slash_left_out"


Say = str | Callable[[Match], str | LeftOut]


def _steps(*rules: tuple[str, Say] | tuple[str, Say, str]) -> tuple[Step, ...]:
    """Steps from rules: a pattern, the words for it, and the characters that are silent."""
    return tuple(Step(re.compile(rule[0]), rule[1], *rule[2:]) for rule in rules)


def _hexadecimal(m: Match) -> str:
    return f"zero {m[1]} {' '.join(digits(one) or one for one in m[2])} "


def _ungrouped(m: Match) -> str:
    return m[0].replace(" ", "")


def _scientific(m: Match) -> str:
    sign = {"-": "minus ", "+": "plus ", "": ""}[m[2] or m[3] or ""]
    return f"{m[1]} times ten to the power of {sign}{m[4]}" + (" " if m.string[m.end() : m.end() + 1].isalpha() else "")


_EXTENSION = "js|py|txt|exe|md|csv|json|html|css|pdf|docx?|ya?ml"
_PERIOD = "month|mo|year|yr|day|hour|hr|week|night|person|min|kg|lb"

_BESIDE_NUMBERS = _steps(
    (r"\b0([xX])([0-9A-Fa-f]{1,16})", _hexadecimal),
    (
        r"(?<![\w.,-])[1-9]\d{0,2}(?: \d{3})* 000(?! ?\d|[-.,]\d)|(?<![\w.,-])[1-9]\d?(?: \d{3}){2,4}(?! ?\d|[-,]\d)",
        _ungrouped,
    ),
    (r"(?<![\w.])(\d{1,15}(?:\.\d{1,15})?)(?:e([-+]?)|E([-+]))(\d{1,4})(?!\d|\.\d)", _scientific, "eE"),
    (r"\\[nrt](?![A-Za-z])", " ", "\\nrt"),  # an escape that was never decoded
    (r"(?<=[a-z])\.(?=[A-Z][a-z\s])", ". "),
    (r"\b[Nn]ode\.js\b", "Node J.S."),
    (rf"\b([A-Za-z]\w{{0,30}})\.({_EXTENSION})\b", r"\1 dot \2"),
    (r"(?<=[a-z]{2})\.(?=[a-z]{2})", " dot "),
    (r"(?<=\d)\.(?=x\b)", " point "),
    (r"(?<=\d)\.(?=[A-Za-z])", ". "),
    (r"\bC\+\+", "C plus plus "),
    (r"\b([CF])#", r"\1 sharp "),
    (r"(?<![\w.])\.NET\b", "dot net"),
    (r"(\w)\((e?s)\)", r"\1\2"),
    (r"(?<=\b[A-Z])-(?=\d)|(?<=[A-Z]{2})-(?=\d)", " ", "-"),  # COVID-19, F-16
    (r"#\s?(?=\d)", " number "),
    (r"(?<=\w)~(?=\d)", " tilde "),
    (r" ?[~≈] ?(?=[\d$£€])", " about "),
    (r"(?<=\d)\s/\s(?=\d)", " divided by "),
    (rf"(?<=\d)\s?/\s?(?=(?:{_PERIOD})\b)", " per "),
    (r"(?<=[A-Za-z]{2})\.(?=\d)", ". "),
    (r"(?<![\d,.])(\d[\d.]{0,20}),(\d{1,2})(?!\d|[.,]\d)", r"\1 comma \2"),
    (r"(?<=\d)~(?=\d)", " to "),
    (r"(?<=\d)_(?=\d)", " underscore "),
    (r"<(?=\s?[$£€]?\d)", " less than "),
    (r"(?<![-=])>(?=\s?[$£€]?\d)", " more than "),
)
_BETWEEN_WORDS = _steps(
    (r" ?& ?", " and "),
    (r"\+", " plus "),
    (r"#(?=[A-Za-z])", " hashtag "),
    (r"\s?@\s?(?=\w)", " at "),
    (r"(?<=[a-z])\s?%(?![\w%])", " percent"),
    (r"<=|≤", " is at most "),
    (r">=|≥", " is at least "),
    (r"≠|!=", " is not equal to "),
    (r"≈", " is about "),
    (r" ?(?:=>|→) ?", " to "),
    (r" ?↔ ?", " and "),
    (r"(?<=[\w)])\s*={1,2}\s*(?=[\w(-])", " equals "),
    (r"(?<=[\w)])\s*<\s*(?=[\w(])", " is less than "),
    (r"(?<=[\w)])\s*>\s*(?=[\w(])", " is greater than "),
    (r"(?<=[\w)])\s*×\s*(?=[\w(])", " times "),
    (r" ?÷ ?", " divided by "),
    (r"√", " the square root of "),
    (r"π", " pi "),
    (r"∞", " infinity "),
    (r"©", " copyright "),
    (r"§", " section "),
    (r"°", " degrees "),
    (r"\b([A-Z])\*(?!\w)", r"\1 star"),
    (r"(?<=[A-Za-z])\^(?=[A-Za-z]\b)", " to the power of "),
    (r"\s\|\s", ", ", "|"),
    (r"\b([A-Za-z])/([A-Za-z])\b", r"\1-\2", "/"),
    (r"(?<=\w)\s?/\s?(?=(?:month|year|day|hour|week|night|person)\b)", " per "),
    (r"(?<=[a-z])\s?/\s?(?=[a-z])", " or "),
    (r"(?<=\w)\s?/\s?(?=\w)", " slash "),
    (r"(?<=[A-Za-z])/(?=[\s.,;:?!]|$)", lambda m: LeftOut("", SLASH_LEFT_OUT)),
    (r"_{2,}(?:\s_{2,})*|(?<!\w)_(?:\s_)*(?!\w)", " blank ", "_"),
    (r"(?<=[A-Za-z])_(?=[A-Za-z])|(?<!\w)_(?=[A-Za-z])|(?<=[A-Za-z])_(?!\w)", " ", "_"),
)

_ELIDED = "em|cause|til|tis|twas|round|bout|n"
_PAUSES = _steps(
    (r"(?<!\.)\.{2,}+(?= ?$| [\"'(]?[A-Z])", "."),
    (r" ?\.{2,}", ", "),
    (r"`", "'", "`"),
    (rf"(?<!\w)'(?!(?:{_ELIDED})\b)", " "),
    (r"(?<=[A-Za-rt-z])(?<!\bn)'(?!\w)", " "),  # a quote ends; after an s it may be the boys'
    (r"'(?='|$)|(?<!\w)'(?!\w)", " "),
    (r"\"", " "),
    (r" ?[()\[\]] ?", ", "),
    (r" ?[—–•·] ?", ", ", "—–"),
    (r" -+ ?| ?-{2,} ?|-(?!\w)|(?<!\w)-", ", ", "-"),
)
_MARKS = re.compile(r" ?[.,;:?!](?: ?[.,;:?!])*")
_IN_INITIALS = re.compile(r"(?:^|[\s,;:?!.-])(?:[A-Za-z]{1,2}\.)*[A-Za-z]{1,2}$")


def beside_numbers(text: str, notes: list[str]) -> str:
    """Symbols that are read by the digits beside them; before the digits become words."""
    return applied(text, _BESIDE_NUMBERS, notes)


def between_words(text: str, notes: list[str]) -> str:
    """All other symbols that have a reading; those without one stay."""
    return applied(" ".join(text.split()), _BETWEEN_WORDS, notes)


def paused(text: str, notes: list[str]) -> str:
    """Text with pauses for its quotes, brackets and dashes, and at most one mark after a word."""
    for step in _PAUSES:
        text = " ".join(applied(text, [step], notes).split())
    return " ".join(_MARKS.sub(_one_mark, text).split())


def _one_mark(m: Match) -> str:
    marks = "".join(m[0].split())
    if m.start() == 0:
        return " "
    after = m.string[m.end() : m.end() + 1]
    if marks == "." and not m[0][0].isspace() and after.isalpha():
        return "."  # inside initials; other dots before a letter were read before
    before = m.string[max(0, m.start() - 16) : m.start()]
    strongest = next((mark for mark in "?!.;:" if mark in marks), ",")
    if marks[0] == "." and len(marks) > 1 and "." in before and _IN_INITIALS.search(before):
        rest = marks[1:].strip(".")
        return "." + (next((mark for mark in "?!;:," if mark in rest), "") if rest else "") + " "
    if set(marks) <= {".", ","} and "," in marks and marks[0] == "." and not after.isspace():
        strongest = ","
    return strongest + " "
