"""Quotation marks after a number: feet and inches, or the end of what is quoted."""

import re

_MARKS = re.compile(r"(?<!\w)'(?=\w)|(?<=\d)'(?!\w)|\"")


def measured(text: str) -> str:
    """`5"` -> 5 inches and `5'` -> 5 feet, unless the mark closes a quotation, as in `"take 5"`."""
    if "'" not in text and '"' not in text:
        return text
    is_open = {"'": False, '"': False}

    def meant(m: re.Match[str]) -> str:
        mark = m[0]
        after_number = m.string[max(0, m.start() - 1) : m.start()].isdigit()
        if after_number and not is_open[mark]:
            one = m.string[max(0, m.start() - 2) : m.start()].strip(" (") == "1"
            word = ("inch" if one else "inches") if mark == '"' else ("foot" if one else "feet")
            return f" {word} " if m.string[m.end() : m.end() + 1].isalnum() else f" {word}"
        is_open[mark] = not is_open[mark]
        return mark

    return _MARKS.sub(meant, text)
