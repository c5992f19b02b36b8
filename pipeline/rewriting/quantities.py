"""Dates, times, money, measures and everything else that is written with digits, as English words.

`spoken` applies the patterns in order: the most specific first, any remaining number last. Every pattern reads only
ASCII digits and leaves none.
"""

import re

from .dates import DATES_AND_TIMES, TO, rule
from .numbers import NUMBER, amount, cardinal, digits, is_one, number, ordinal, plural, year
from .steps import LETTERS, Match, Step, applied
from .units import CURRENCIES, FUSED_ONLY, PARTS, PLURALS, SCALE, SCALES, UNIT_NAMES, UNITS


def counted(value: str, unit: str, single: bool = False) -> str:
    """`5`, `mile per hour` -> five miles per hour; with `single`, as in "a five mile run", five mile."""
    if is_one(value) or single:
        return f"{number(value)} {unit}"
    head, per, tail = unit.partition(" per ")
    first, last = head.rsplit(" ", 1) if " " in head else ("", head)
    many = PLURALS.get(last, last if last.endswith((".", "hertz")) else plural_noun(last))
    return " ".join(part for part in (number(value), first, many) if part) + per + tail


def plural_noun(noun: str) -> str:
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


def _is_attribute(m: Match) -> bool:
    """Whether an amount stands between an article and a noun: a $39 fee."""
    return bool(
        re.search(r"\b[Aa]n?\s$", m.string[max(0, m.start() - 4) : m.start()])
        and re.match(r"[ -][a-z]", m.string[m.end() : m.end() + 2])
    )


def _money(m: Match) -> str:
    return money(m[1], m[2], m[3], m[4] or "", _is_attribute(m))


def money(sign: str, value: str, to: str | None = None, scale: str = "", single: bool = False) -> str:
    """`$`, `12.50` -> twelve dollars and fifty cents; a range up to `to`; `scale` as in `3.5 million`."""
    unit, cent = CURRENCIES[sign]
    scale = SCALES.get(scale.lower(), scale)
    many = unit if single else PLURALS.get(unit, plural_noun(unit))
    if to:
        return " ".join(part for part in (number(value), "to", number(to), scale, many) if part)
    if scale:
        return f"{number(value)} {scale} {many}"
    whole, _, fraction = value.partition(".")
    if not fraction or not cent or len(fraction) > 2:
        return counted(value, unit, single)
    cents = str(int(fraction.ljust(2, "0")))
    if cents == "0":
        return counted(whole or "0", unit, single)
    cents_words = counted(cents, cent)
    return cents_words if not whole.strip("0") else f"{counted(whole, unit)} and {cents_words}"


def _fraction(m: Match) -> str:
    whole, top, bottom, unit = m.groups()
    if unit:
        return (
            f"{_fraction_words(whole, top, bottom)} {counted('2', UNITS[unit], single=not whole).removeprefix('two ')}"
        )
    return _fraction_words(whole, top, bottom)


def _fraction_words(whole: str | None, top: str, bottom: str) -> str:
    if whole or (int(top) < int(bottom) and int(bottom) in PARTS):
        part = PARTS.get(int(bottom)) or ordinal(bottom)
        many = {"half": "halves"}.get(part, part + "s")
        words = f"{cardinal(top)} {part if top == '1' else many}"
        return f"{cardinal(whole)} and {'a half' if words == 'one half' else words}" if whole else words
    if (top, bottom) in (("24", "7"), ("9", "11")) or top == bottom:
        return f"{cardinal(top)} {cardinal(bottom)}"
    return f"{amount(top)} {'out of' if bottom in ('10', '100') else 'over'} {amount(bottom)}"


def _unit(m: Match) -> str:
    value, to, unit, power = m.groups()
    name = UNITS[unit]
    if power:
        name = ("square " if power == "2" else "cubic ") + name
    words = counted(to or value, name, _is_attribute(m))
    return f"{number(value)} to {words}" if to else words


def _scaled_unit(m: Match) -> str:
    return m[0] if m[2] in FUSED_ONLY else f"{m[1]} {counted('2', UNITS[m[2]]).removeprefix('two ')}"


def _loose_unit(m: Match) -> str:
    return m[0] if m[3] in FUSED_ONLY else _unit(m)


def _range(m: Match) -> str:
    low, high = m[1].replace(",", ""), m[2].replace(",", "")
    ascends = float(low) <= float(high)
    return f"{amount(m[1])} {'to' if ascends or len(low) <= 2 else 'dash'} {amount(m[2])}"


def _degrees(m: Match) -> str:
    value, to, scale = m.groups()
    words = (f"{number(value)} to {number(to)}" if to else number(value)) + (
        " degree" if value == "1" and not to else " degrees"
    )
    return words + {"F": " Fahrenheit", "C": " Celsius", "K": " kelvin"}.get(scale or "", "")


def _percent(m: Match) -> str:
    return f"{number(m[1])} to {number(m[2])} percent" if m[2] else f"{number(m[1])} percent"


def _phone(m: Match) -> str:
    words = ", ".join(digits(group) for group in re.findall(r"\d+", m[0]))
    return f"plus {words}" if m[0][0] == "+" else words


_POWERS = {"2": "squared", "3": "cubed"}


def _power(m: Match) -> str:
    base = number(m[1]) if m[1][0].isdigit() else m[1]
    sign = "minus " if m[2][0] in "-−" else ""
    exponent = m[2].lstrip("-−")
    return f"{base} " + _POWERS.get(m[2], f"to the power of {sign}{cardinal(exponent)}")


_RULES: list[Step] = [
    *DATES_AND_TIMES,
    rule(
        rf"(?<![\w/])(?:(?<!\.)|(?<=\.\.))(?:(\d+)[\s-])?(\d+)/(\d+)(?: ?({UNIT_NAMES})(?![\w/'])|(?![\d/:]|[.,-]\d))",
        _fraction,
        LETTERS + "/-",
    ),
    rule(r"(?<=\d) ?/ ?(?=\d)", lambda m: " slash "),
    rule(rf"(US\$|[$£€¥₹])\s?({NUMBER}){TO}\1({NUMBER}){SCALE}", _money, LETTERS + "$£€¥₹"),  # spoken once for both
    rule(rf"(US\$|[$£€¥₹])\s?({NUMBER})(?:{TO}({NUMBER}))?{SCALE}", _money),
    rule(rf"({NUMBER})\s?(USD|EUR|GBP|CAD|AUD|JPY|CNY|[£€¥₹])(?!\w)", lambda m: money(m[2], m[1])),
    rule(rf"({NUMBER})\s?¢", lambda m: counted(m[1], "cent")),
    rule(r"(?<![\w.-])(?:\+\d{1,3}[\s.-])?(?:\(\d{3}\)[\s-]?|\d{3}[-.\s])\d{3}[-.\s]\d{4}(?!\d)", _phone, "-()"),
    rule(r"(?<![\w.-])\d{3}-\d{4}(?![\d-])|(?<![\w.-])1-8\d\d-\d{3}-\d{4}(?!\d)", _phone, "-()"),
    rule(
        r"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\d)", lambda m: " dot ".join(map(digits, m[0].split(".")))
    ),
    rule(r"\b[vV]\.?(?=\d+(?:\.\d+)*\b)", lambda m: "version "),
    rule(r"(?<![\w.])\d+(?:\.\d+){2,}", lambda m: " point ".join(map(cardinal, m[0].split(".")))),
    rule(r"(?<!\w)'?(\d\d)'?s\b", lambda m: plural(cardinal(m[1]))),
    rule(r"(?<![\w.,])([12]\d\d0)'?s\b", lambda m: plural(year(m[1]))),
    rule(r"(?<![\d.,])(\d{1,3}(?:,\d{3})*|\d+)(?:st|nd|rd|th)\b", lambda m: ordinal(m[1])),
    rule(rf"((?<!\w){NUMBER})(?:{TO}({NUMBER}))?\s?°\s?(?:([FCK])\b)?", _degrees),
    rule(rf"(?<![\w.])({NUMBER})(?:{TO}({NUMBER}))?\s?([FC])\b(?=[\s.,;!?)]|$)", _degrees),
    rule(
        r"(?<![\w.])(\d)[\s-]?(?:ft\.?|feet|foot)\s(\d{1,2})\s?(?:in\b\.?(?!\s[a-z])|inches)",
        lambda m: f"{cardinal(m[1])} foot {cardinal(m[2])}",
        LETTERS + "-",
    ),
    rule(r"(?<![\w.])(\d)'\s?(\d{1,2})(?:\"|''| inche?s?)", lambda m: f"{cardinal(m[1])} foot {cardinal(m[2])}"),
    rule(rf"(?<![\w.])({NUMBER})(?:{TO}({NUMBER}))?-?({UNIT_NAMES})(?:\^?([23]))?(?![\w/])", _unit, LETTERS + "-"),
    rule(
        rf"(?<![\w.])({NUMBER})(?:{TO}({NUMBER}))?\s({UNIT_NAMES})(?:\^?([23]))?(?![\w/'])", _loose_unit, LETTERS + "-"
    ),
    rule(rf"(?<=\d\s)(thousand|million|billion|trillion)\s({UNIT_NAMES})(?![\w/'])", _scaled_unit, LETTERS + "-"),
    rule(rf"({NUMBER})\s?%{TO}({NUMBER})\s?%", _percent, "%"),
    rule(rf"({NUMBER})(?:{TO}({NUMBER}))?\s?%", _percent),
    rule(rf"({NUMBER}|\b[A-Za-z])\^([-−]?\d+)", _power),
    rule(rf"(?<![\d,.-])({NUMBER}){TO}({NUMBER})(?![\d-])", _range),
    rule(rf"({NUMBER})\s?(?:×|[xX](?=\s?{NUMBER}\s?=))\s?(?={NUMBER})", lambda m: f"{number(m[1])} times "),
    rule(rf"({NUMBER})\s?[xX]\s?(?={NUMBER})", lambda m: f"{number(m[1])} by "),
    rule(rf"({NUMBER})[xX×](?!\w)", lambda m: f"{number(m[1])} times"),
    rule(r"(?<![\w.,])(\d{1,3}(?:,\d{3})+|\d{2,}|\d*\.\d+)[kK](?!\w)", lambda m: f"{number(m[1])} thousand"),
    rule(rf"(?<![\w.])({NUMBER})(M|bn)(?!\w)", lambda m: f"{number(m[1])} {SCALES[m[2].lower()]}"),
    rule(r"(?<![\d:])(\d+):(\d+):(\d+)(?![\d:])", lambda m: " ".join(cardinal(group) for group in m.groups())),
    rule(r"(?<![\d:])(\d+):(\d+)(?![\d:])", lambda m: f"{cardinal(m[1])} to {cardinal(m[2])}"),
    rule(NUMBER, lambda m: amount(m[0])),
]
_DIGIT = re.compile(r"\d", re.ASCII)


def spoken(text: str, notes: list[str]) -> str:
    """English text without digits; other symbols stay as they are."""
    return applied(text, _RULES, notes) if _DIGIT.search(text) else text
