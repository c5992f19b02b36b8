"""Symbols of written English, each with the words it is read as.

The order of the rules matters: the more particular reading of a symbol stands before the general one.
"""

import re


def _compiled(*rules: tuple[str, str]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), said) for pattern, said in rules)


def _replaced(text: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, said in rules:
        text = pattern.sub(said, text)
    return text


_EXTENSION = "js|py|txt|exe|md|csv|json|html|css|pdf|docx?|ya?ml"
_PERIOD = "month|mo|year|yr|day|hour|hr|week|night|person|min|kg|lb"

_BESIDE_NUMBERS = _compiled(
    (r"\\[nrt](?![A-Za-z])", " "),  # an escape that was never decoded
    (r"(?<=[a-z])\.(?=[A-Z][a-z\s])", ". "),
    (r"\b[Nn]ode\.js\b", "Node J.S."),
    (rf"\b([A-Za-z]\w{{0,30}})\.({_EXTENSION})\b", r"\1 dot \2"),
    (r"(?<=[a-z]{2})\.(?=[a-z]{2})", " dot "),
    (r"(?<=\d)\.(?=x\b)", " point "),
    (r"(?<=\d)\.(?=[A-Za-z])", ". "),
    (r"\bC\+\+", "C plus plus"),
    (r"\b([CF])#", r"\1 sharp"),
    (r"(?<![\w.])\.NET\b", "dot net"),
    (r"(\w)\((e?s)\)", r"\1\2"),
    (r"(?<=\b[A-Z])-(?=\d)|(?<=[A-Z]{2})-(?=\d)", " "),  # COVID-19, F-16
    (r"#\s?(?=\d)", "number "),
    (r"(?<=\w)~(?=\d)", " tilde "),
    (r"[~≈]\s?(?=[\d$£€])", "about "),
    (r"(?<=\d)\s/\s(?=\d)", " divided by "),
    (rf"(?<=\d)\s?/\s?(?=(?:{_PERIOD})\b)", " per "),
    (r"(?<=\d)\s-\s(?=[\d.,]{1,20}\s?=)", " minus "),
    (r"<(?=\s?[$£€]?\d)", " less than "),
    (r">(?=\s?[$£€]?\d)", " more than "),
)
_BETWEEN_WORDS = _compiled(
    (r"\s*&\s*", " and "),
    (r"\+", " plus "),
    (r"#(?=[A-Za-z])", "hashtag "),
    (r"\s?@\s?(?=\w)", " at "),
    (r"(?<=[a-z])\s?%", " percent"),
    (r"<=|≤", " is at most "),
    (r">=|≥", " is at least "),
    (r"≠|!=", " is not equal to "),
    (r"≈", " is about "),
    (r"\s*(?:-+>|=>|→)\s*", " to "),
    (r"\s*↔\s*", " and "),
    (r"(?<=[\w)])\s*={1,2}\s*(?=[\w(-])", " equals "),
    (r"(?<=[\w)])\s*<\s*(?=[\w(])", " is less than "),
    (r"(?<=[\w)])\s*>\s*(?=[\w(])", " is greater than "),
    (r"(?<=[\w)])\s*×\s*(?=[\w(])", " times "),
    (r"\s*÷\s*", " divided by "),
    (r"±", " plus or minus "),
    (r"√", " the square root of "),
    (r"π", " pi "),
    (r"∞", " infinity "),
    (r"©", " copyright "),
    (r"§", " section "),
    (r"°", " degrees "),
    (r"\b([A-Z])\*(?!\w)", r"\1 star"),
    (r"(?<=[A-Za-z])\^(?=[A-Za-z]\b)", " to the power of "),
    (r"\s\|\s", ", "),
    (r"\b([A-Za-z])/([A-Za-z])\b", r"\1-\2"),
    (r"(?<=\w)\s?/\s?(?=(?:month|year|day|hour|week|night|person)\b)", " per "),
    (r"(?<=[a-z])\s?/\s?(?=[a-z])", " or "),
    (r"(?<=\w)\s?/\s?(?=\w)", " slash "),
    (r"(?<=[A-Za-z])/(?=[\s.,;:?!]|$)", " "),
    (r"_{2,}(?:\s_{2,})*|(?<!\w)_(?:\s_)*(?!\w)", " blank "),
    (r"(?<=[A-Za-z])_(?=[A-Za-z])|(?<!\w)_(?=[A-Za-z])|(?<=[A-Za-z])_(?!\w)", " "),
)

_ELIDED = "em|cause|til|tis|twas|round|bout|n"
_PAUSES = _compiled(
    (r"\.{2,}(?=\s*$|\s+[\"'(]?[A-Z])", "."),
    (r"\s*\.{2,}", ", "),
    (r"`", "'"),
    (rf"(?<!\w)'(?!(?:{_ELIDED})\b)", " "),
    (r"(?<=[A-Za-rt-z])(?<!\bn)'(?!\w)", " "),  # a quote ends; after an s it may be the boys'
    (r"'(?='|$)|(?<!\w)'(?!\w)", " "),
    (r"\"", " "),
    (r"\s*[()\[\]]\s*", ", "),
    (r"\s*[—–•·]\s*", ", "),
    (r"\s+-+\s*|\s*-{2,}\s*|-(?!\w)|(?<!\w)-", ", "),
)
_MARKS = re.compile(r"\s*[.,;:?!](?:\s*[.,;:?!])*")
_IN_INITIALS = re.compile(r"(?:^|[\s,;:?!.-])(?:[A-Za-z]{1,2}\.)*[A-Za-z]{1,2}$")


def beside_numbers(text: str) -> str:
    """Symbols that are read by the digits beside them; before the digits become words."""
    return _replaced(text, _BESIDE_NUMBERS)


def between_words(text: str) -> str:
    """All other symbols that have a reading; those that have none are left."""
    return _replaced(text, _BETWEEN_WORDS)


def paused(text: str) -> str:
    """Text whose quotes, brackets and dashes became pauses, with one mark at most after a word."""
    text = _MARKS.sub(_one_mark, _replaced(text, _PAUSES))
    return " ".join(text.split())


def _one_mark(m: re.Match[str]) -> str:
    marks = "".join(m[0].split())
    if m.start() == 0:
        return " "
    after = m.string[m.end() : m.end() + 1]
    if marks == "." and not m[0][0].isspace() and after.isalpha():
        return "."  # inside initials; anything else with a letter after it was read before
    before = m.string[max(0, m.start() - 16) : m.start()]
    strongest = next((mark for mark in "?!.;:" if mark in marks), ",")
    if marks[0] == "." and len(marks) > 1 and "." in before and _IN_INITIALS.search(before):
        rest = marks[1:].strip(".")
        return "." + (next((mark for mark in "?!;:," if mark in rest), "") if rest else "") + " "
    if set(marks) <= {".", ","} and "," in marks and marks[0] == "." and not after.isspace():
        strongest = ","
    return strongest + " "
