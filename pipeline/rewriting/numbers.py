"""Written numbers as English words. Whole numbers, ordinals and years are read by wetext's grammars."""

import functools
import re
from typing import Any

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LONGEST_WHOLE = 15  # digits that wetext's grammar can count; a longer number is read digit by digit

NUMBER = r"(?<!\d)(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d{1,2}(?:,\d\d)+,\d{3}(?!\d)|\d+(?:\.\d+)?|(?<![\w.)])\.\d+)"
"""A written number: 5, 1,234.5, 12,34,567, .5. It starts at its first digit, or each would be tried."""


@functools.cache
def _normalizer() -> Any:
    import wetext  # its grammars take a while to load

    return wetext.Normalizer(lang="en", operator="tn")


@functools.lru_cache(maxsize=65536)
def _read(text: str) -> str:
    return str(_normalizer().normalize(text))


def digits(text: str) -> str:
    """`007` -> zero zero seven. Characters that are not ASCII digits are skipped."""
    return " ".join(DIGIT_WORDS[ord(character) - 48] for character in text if "0" <= character <= "9")


def cardinal(text: str) -> str:
    """`1,234` -> one thousand two hundred and thirty four. Leading zeros, and too many digits, are read one by one."""
    plain = text.replace(",", "")
    if len(plain) > LONGEST_WHOLE or (len(plain) > 1 and plain[0] == "0"):
        return digits(plain)
    # With its commas wetext reads it as an amount, not as a year; it leaves out the one of "one thousand".
    words = _read(f"{int(plain):,}")
    return f"one {words}" if words.startswith("thousand") else words


def ordinal(text: str) -> str:
    """`21` -> twenty first."""
    plain = text.replace(",", "").lstrip("0")
    if not 0 < len(plain) <= LONGEST_WHOLE:
        return digits(text)
    teens = plain[-2:-1] == "1"
    return _read(plain + ("th" if teens else {"1": "st", "2": "nd", "3": "rd"}.get(plain[-1], "th")))


def year(text: str) -> str:
    """`1905` -> nineteen oh five, `2005` -> two thousand five; four digits."""
    if text[1:] == "000" or not "1100" <= text <= "2099":
        return cardinal(text)
    return _read(text).replace(" zero ", " oh ")


def number(text: str) -> str:
    """Any NUMBER: `12.50` -> twelve point five zero."""
    whole, point, fraction = text.partition(".")
    if not point:
        return cardinal(whole)
    return " ".join(part for part in (cardinal(whole) if whole else "zero", "point", digits(fraction)) if part)


def amount(text: str) -> str:
    """A number in running text, where four digits from 1500 to 2099 are read as a year is."""
    return year(text) if re.fullmatch(r"1[5-9]\d\d|20\d\d", text) else number(text)


def is_one(text: str) -> bool:
    return text == "1"


def plural(words: str) -> str:
    """`nineteen ninety` -> nineteen nineties."""
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")


_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
ROMAN = r"(?:X{0,3}(?:IX|IV|V?I{0,3}))"  # 1 to 39; may be empty: look ahead for a letter first


def roman(text: str) -> int:
    """`XIV` -> 14."""
    values = [_ROMAN[letter] for letter in text]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))
