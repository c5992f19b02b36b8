"""Dates, times, money, measures and the other things one writes with digits, as English words.

`spoken` applies the patterns in order: the most particular first, any number that is left last. Every pattern reads
ASCII digits only and leaves none behind.
"""

import re
from collections.abc import Callable

from pipeline.rewriting.numbers import NUMBER, amount, cardinal, digits, is_one, number, ordinal, plural, year

Match = re.Match[str]

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_MONTH = (
    r"(Jan(?:uary|\.)?|Feb(?:ruary|\.)?|Mar(?:ch|\.)?|Apr(?:il|\.)?|May|June?\.?|July?\.?|Aug(?:ust|\.)?|"
    r"Sept?(?:ember|\.)?|Oct(?:ober|\.)?|Nov(?:ember|\.)?|Dec(?:ember|\.)?)"
)
_DAY = r"(0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(1\d{3}|20\d\d)"
_TO = r"\s?[-–—]\s?"
_NOT_IN = r"(?<![\w.,/:$£€-])"
_END = r"(?![\w/:]|[.,-]\d)"

_CURRENCIES = {
    "$": ("dollar", "cent"), "£": ("pound", "penny"), "€": ("euro", "cent"), "¥": ("yen", ""), "₹": ("rupee", "paisa"),
    "US$": ("U.S. dollar", "cent"), "USD": ("U.S. dollar", "cent"), "EUR": ("euro", "cent"), "GBP": ("pound", "penny"),
    "CAD": ("Canadian dollar", "cent"), "AUD": ("Australian dollar", "cent"), "JPY": ("yen", ""), "CNY": ("yuan", ""),
}  # fmt: skip
_PLURALS = {"penny": "pence", "yen": "yen", "yuan": "yuan", "paisa": "paise", "foot": "feet", "inch": "inches", "hertz": "hertz",
            "Celsius": "Celsius", "gauss": "gauss"}  # fmt: skip
_SCALES = {
    "k": "thousand",
    "m": "million",
    "mm": "million",
    "mn": "million",
    "b": "billion",
    "bn": "billion",
    "t": "trillion",
}
_SCALE = r"(?:\s?(thousand|million|billion|trillion|[kKMBT]|[mb]n|mm)\b)?"

_UNITS = {
    "km/h": "kilometer per hour", "kph": "kilometer per hour", "mph": "mile per hour", "m/s": "meter per second",
    "mpg": "mile per gallon", "mi": "mile", "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer", "m": "meter",
    "ft": "foot", "yd": "yard", "yds": "yard", "kg": "kilogram", "kgs": "kilogram", "mg": "milligram", "mcg": "microgram",
    "μg": "microgram", "g": "gram", "lb": "pound", "lbs": "pound", "oz": "ounce", "ml": "milliliter", "mL": "milliliter",
    "cl": "centiliter", "dl": "deciliter", "l": "liter", "L": "liter", "gal": "gallon", "tbsp": "tablespoon", "Tbsp": "tablespoon",
    "tsp": "teaspoon", "pt": "pint", "qt": "quart", "kcal": "kilocalorie", "cal": "calorie", "kJ": "kilojoule", "J": "joule",
    "W": "watt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt", "kWh": "kilowatt hour", "V": "volt", "A": "amp", "mAh": "milliamp hour",
    "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz", "GHz": "gigahertz", "dB": "decibel", "KB": "kilobyte",
    "kB": "kilobyte", "MB": "megabyte", "GB": "gigabyte", "TB": "terabyte", "Mbps": "megabit per second", "Gbps": "gigabit per second",
    "px": "pixel", "hr": "hour", "hrs": "hour", "h": "hour", "min": "minute", "mins": "minute", "sec": "second", "secs": "second",
    "s": "second", "ms": "millisecond", "ns": "nanosecond", "yr": "year", "yrs": "year", "wk": "week", "wks": "week",
    "psi": "P.S.I.", "sq ft": "square foot", "sqft": "square foot", "in": "inch",
}  # fmt: skip
_FUSED_ONLY = frozenset({"in", "A", "s", "J", "V", "W"})  # after a space they are words or names
_UNIT_NAMES = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_HALVES = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 8: "eighth", 16: "sixteenth"}


def counted(value: str, unit: str, single: bool = False) -> str:
    """`5`, `mile per hour` -> five miles per hour; with `single`, as in "a five mile run", five mile."""
    if is_one(value) or single:
        return f"{number(value)} {unit}"
    head, per, tail = unit.partition(" per ")
    first, last = head.rsplit(" ", 1) if " " in head else ("", head)
    many = _PLURALS.get(last, last if last.endswith((".", "hertz")) else plural_noun(last))
    return " ".join(part for part in (number(value), first, many) if part) + per + tail


def plural_noun(noun: str) -> str:
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


def _is_attribute(m: Match) -> bool:
    """Whether an amount stands between an article and a noun: a $39 fee."""
    return bool(
        re.search(r"\b[Aa]n?\s$", m.string[: m.start()][-4:]) and re.match(r"[ -][a-z]", m.string[m.end() :][:2])
    )


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


def _money(m: Match) -> str:
    symbol, value, to, scale = m.groups()
    unit, cent = _CURRENCIES[symbol]
    scale = _SCALES.get((scale or "").lower(), scale or "")
    many = _PLURALS.get(unit, plural_noun(unit))
    if to:
        return " ".join(part for part in (number(value), "to", number(to), scale, many) if part)
    if scale:
        return f"{number(value)} {scale} {unit if _is_attribute(m) else many}"
    whole, _, fraction = value.partition(".")
    if not fraction or not cent or len(fraction) > 2:
        return counted(value, unit, _is_attribute(m))
    cents = str(int(fraction.ljust(2, "0")))
    if cents == "0":
        return counted(whole or "0", unit)
    said_cents = counted(cents, cent)
    return said_cents if not whole.strip("0") else f"{counted(whole, unit)} and {said_cents}"


def _fraction(m: Match) -> str:
    whole, top, bottom = m.groups()
    if whole or (int(top) < int(bottom) and int(bottom) in _HALVES):
        part = _HALVES.get(int(bottom)) or ordinal(bottom)
        many = {"half": "halves"}.get(part, part + "s")
        said = f"{cardinal(top)} {part if top == '1' else many}"
        return f"{cardinal(whole)} and {'a half' if said == 'one half' else said}" if whole else said
    if (top, bottom) in (("24", "7"), ("9", "11")) or top == bottom:
        return f"{cardinal(top)} {cardinal(bottom)}"
    return f"{amount(top)} {'out of' if bottom in ('10', '100') else 'over'} {amount(bottom)}"


def _unit(m: Match) -> str:
    value, to, unit, power = m.groups()
    name = _UNITS[unit]
    if power:
        name = ("square " if power == "2" else "cubic ") + name
    said = counted(to or value, name, _is_attribute(m))
    return f"{number(value)} to {said}" if to else said


def _loose_unit(m: Match) -> str:
    return m[0] if m[3] in _FUSED_ONLY else _unit(m)


def _range(m: Match) -> str:
    low, high = m[1].replace(",", ""), m[2].replace(",", "")
    ascends = float(low) <= float(high)
    return f"{amount(m[1])} {'to' if ascends or len(low) <= 2 else 'dash'} {amount(m[2])}"


def _degrees(m: Match) -> str:
    value, to, scale = m.groups()
    sign, value = ("minus ", value[1:]) if value[0] == "-" else ("", value)
    said = (f"{number(value)} to {number(to)}" if to else number(value)) + (
        " degree" if value == "1" and not to else " degrees"
    )
    return sign + said + {"F": " Fahrenheit", "C": " Celsius", "K": " kelvin"}.get(scale or "", "")


def _phone(m: Match) -> str:
    return ", ".join(digits(group) for group in re.findall(r"\d+", m[0]))


def _power(m: Match) -> str:
    base = number(m[1]) if m[1][0].isdigit() else m[1]
    sign = "minus " if m[2].startswith("-") else ""
    exponent = m[2].lstrip("-")
    return f"{base} {'squared' if m[2] == '2' else 'cubed' if m[2] == '3' else f'to the power of {sign}{cardinal(exponent)}'}"


_AMPM = r"([ap]\.m\.|[ap]m\b|[AP]\.M\.|[AP]M\b)"
_RULES: list[tuple[str, Callable[[Match], str]]] = [
    (rf"{_NOT_IN}{_YEAR}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\d)", _iso_date),
    (rf"{_NOT_IN}(\d{{1,2}})[/.](\d{{1,2}})[/.](\d{{4}}|\d\d){_END}", _slash_date),
    (rf"\b{_MONTH}\s{_DAY}(?:{_TO}{_DAY})?(?:,?\s{_YEAR})?{_END}", _month_day_year),
    (rf"{_NOT_IN}{_DAY}\s(?:of\s)?{_MONTH}(?:,?\s{_YEAR})?{_END}", _day_month_year),
    (rf"{_NOT_IN}(\d{{1,2}})(?::([0-5]\d))?\s?{_AMPM}?{_TO}(\d{{1,2}})(?::([0-5]\d))?\s?{_AMPM}", _time_range),
    (rf"{_NOT_IN}(\d{{1,2}}):([0-5]\d)()\s?[-–—]\s?(\d{{1,2}}):([0-5]\d)(){_END}", _time_range),
    (rf"{_NOT_IN}([01]?\d|2[0-3]):([0-5]\d)(?:\s?{_AMPM})?(?![:\d])", lambda m: _clock(m[1], m[2], m[3])),
    (rf"{_NOT_IN}(\d{{1,2}})\s?{_AMPM}", lambda m: f"{cardinal(m[1])} {_meridiem(m[2])}"),
    (rf"(US\$|[$£€¥₹])\s?({NUMBER})(?:{_TO}\1?({NUMBER}))?{_SCALE}", _money),
    (rf"({NUMBER})()\s?(USD|EUR|GBP|CAD|AUD|JPY|CNY|[£€¥₹])(?!\w)()", lambda m: _money_after(m)),
    (rf"({NUMBER})\s?¢", lambda m: counted(m[1], "cent")),
    (r"(?<![\w.-])(?:\+\d{1,3}[\s.-])?(?:\(\d{3}\)\s?|\d{3}[-.\s])\d{3}[-.\s]\d{4}(?!\d)", _phone),
    (r"(?<![\w.-])\d{3}-\d{4}(?![\d-])|(?<![\w.-])1-8\d\d-\d{3}-\d{4}(?!\d)", _phone),
    (r"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?!\w|\.\d)", lambda m: " dot ".join(map(digits, m[0].split(".")))),
    (r"\b[vV]\.?(?=\d+(?:\.\d+)*\b)", lambda m: "version "),
    (r"(?<![\w.])\d+(?:\.\d+){2,}", lambda m: " point ".join(map(cardinal, m[0].split(".")))),
    (r"(?<!\w)'?(\d\d)'?s\b", lambda m: plural(cardinal(m[1]))),
    (r"(?<![\w.,])([12]\d\d0)'?s\b", lambda m: plural(year(m[1]))),
    (rf"(?<![\d.,])(\d{{1,3}}(?:,\d{{3}})*|\d+)(?:st|nd|rd|th)\b{_END}", lambda m: ordinal(m[1])),
    (rf"((?<!\w)-?{NUMBER})(?:{_TO}({NUMBER}))?\s?°\s?(?:([FCK])\b)?", _degrees),
    (rf"(?<![\w.])({NUMBER})(?:{_TO}({NUMBER}))?\s?([FC])\b(?=[\s.,;!?)]|$)", _degrees),
    (
        r"(?<![\w.])(\d)[\s-]?(?:ft\.?|feet|foot)\s(\d{1,2})\s?(?:in\b\.?(?!\s[a-z])|inches)",
        lambda m: f"{cardinal(m[1])} foot {cardinal(m[2])}",
    ),
    (r"(?<![\w.])(\d)'\s?(\d{1,2})(?:\"|'')", lambda m: f"{cardinal(m[1])} foot {cardinal(m[2])}"),
    (r"(?<![\w.])(\d+)\"(?=\s|$)", lambda m: counted(m[1], "inch")),
    (rf"(?<![\w.])({NUMBER})(?:{_TO}({NUMBER}))?-?({_UNIT_NAMES})(?:\^?([23]))?(?![\w/])", _unit),
    (rf"(?<![\w.])({NUMBER})(?:{_TO}({NUMBER}))?\s({_UNIT_NAMES})(?:\^?([23]))?(?![\w/'])", _loose_unit),
    (rf"({NUMBER})\s?%{_TO}({NUMBER})\s?%", lambda m: f"{number(m[1])} to {number(m[2])} percent"),
    (rf"(?<![\w.])(?:(\d+)[\s-])?(\d+)/(\d+){_END}", _fraction),
    (rf"({NUMBER}|\b[A-Za-z])\^(-?\d+)", _power),
    (rf"(?<![\d,.-])({NUMBER}){_TO}({NUMBER})(?![\d-])", _range),
    (rf"({NUMBER})\s?(?:×|[xX](?=\s?{NUMBER}\s?=))\s?(?={NUMBER})", lambda m: f"{number(m[1])} times "),
    (rf"({NUMBER})\s?[xX]\s?(?={NUMBER})", lambda m: f"{number(m[1])} by "),
    (rf"({NUMBER})[xX×](?!\w)", lambda m: f"{number(m[1])} times"),
    (rf"(?<![\w.])(\d{{2,}}|\d*\.\d+)[kK](?!\w)", lambda m: f"{number(m[1])} thousand"),
    (rf"(?<![\w.])({NUMBER})(M|bn)(?!\w)", lambda m: f"{number(m[1])} {_SCALES[m[2].lower()]}"),
    (r"(?<![\d:])(\d+):(\d+):(\d+)(?![\d:])", lambda m: " ".join(cardinal(group) for group in m.groups())),
    (r"(?<![\d:])(\d+):(\d+)(?![\d:])", lambda m: f"{cardinal(m[1])} to {cardinal(m[2])}"),
    (rf"(?:(?<=^)|(?<=[\s(=<>+×÷/]))-(?={NUMBER})", lambda m: "minus "),
]  # fmt: skip
_COMPILED = [(re.compile(pattern, re.ASCII), say) for pattern, say in _RULES]
_REST = re.compile(NUMBER, re.ASCII)
_DIGIT = re.compile(r"\d", re.ASCII)


def _money_after(m: Match) -> str:
    return _money_match(m[3], m[1])


def _money_match(symbol: str, value: str) -> str:
    written = _MONEY_BEFORE.fullmatch(f"{symbol} {value}")
    return _money(written) if written else f"{number(value)} {symbol}"


_MONEY_BEFORE = re.compile(rf"(US\$|USD|EUR|GBP|CAD|AUD|JPY|CNY|[$£€¥₹])\s?({NUMBER})()()")


def spoken(text: str) -> str:
    """English text in which nothing is written with digits any more; other symbols are left as they are."""
    if not _DIGIT.search(text):
        return text
    for pattern, say in _COMPILED:
        text = pattern.sub(say, text)
    return _REST.sub(lambda m: _apart(m, amount(m[0])), text)


def _apart(m: Match, words: str) -> str:
    """`MP3` -> MP three, `3D` -> three D, `COVID-19` -> COVID nineteen, `10-year` -> ten-year."""
    before, after = m.string[: m.start()][-2:], m.string[m.end() : m.end() + 1]
    left = " " if before[-1:].isalnum() or before[-1:] in ")'" else ""
    return left + words + (" " if after.isalnum() else "")
