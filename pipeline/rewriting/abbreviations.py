"""Abbreviations, titles, Roman numerals and acronyms as they are said."""

import re

from .numbers import ROMAN, cardinal, ordinal, roman
from .steps import LETTERS, Match, Step, applied

_TITLES = {
    "Mr": "Mister",
    "Mrs": "Missus",
    "Ms": "Miz",
    "Dr": "Doctor",
    "Prof": "Professor",
    "Gen": "General",
    "Gov": "Governor",
    "Sen": "Senator",
    "Rep": "Representative",
    "Rev": "Reverend",
    "Capt": "Captain",
    "Lt": "Lieutenant",
    "Col": "Colonel",
    "Sgt": "Sergeant",
    "Mt": "Mount",
    "Ft": "Fort",
    "St": "Saint",
}
_PLAIN = {
    "e.g": "for example",
    "i.e": "that is",
    "etc": "et cetera",
    "vs": "versus",
    "approx": "approximately",
    "dept": "department",
    "est": "established",
    "Inc": "Incorporated",
    "Ltd": "Limited",
    "Corp": "Corporation",
    "Bros": "Brothers",
    "Ave": "Avenue",
    "Blvd": "Boulevard",
    "Rd": "Road",
    "Jr": "Junior",
    "Sr": "Senior",
    "tbsp": "tablespoon",
    "tsp": "teaspoon",
    "oz": "ounces",
    "lbs": "pounds",
    "misc": "miscellaneous",
    "temp": "temperature",
    "Esq": "Esquire",
    "et al": "and others",
    "cf": "compare",
    "viz": "namely",
    "incl": "including",
    "excl": "excluding",
    "hr": "hour",
    "hrs": "hours",
    "mins": "minutes",
    "secs": "seconds",
}
_NEEDS_DOT = frozenset({"est", "temp", "cf", "Rep", "Gen", "Col", "Rev", "misc", "hr", "incl", "excl", "et al", "viz"})
_BEFORE_NUMBER = {
    "No": "number",
    "Nos": "numbers",
    "no": "number",
    "Fig": "figure",
    "fig": "figure",
    "Vol": "volume",
    "vol": "volume",
    "Ch": "chapter",
    "p": "page",
    "pp": "pages",
    "Sec": "section",
    "Art": "article",
}
_SLASHED = {
    "w/o": "without",
    "w/": "with",
    "b/c": "because",
    "n/a": "not applicable",
    "N/A": "not applicable",
    "and/or": "and or",
    "c/o": "care of",
}

_TITLE = re.compile(rf"\b({'|'.join(_TITLES)})\.?(?=\s[A-Z])|\b(Mr|Mrs|Ms|Dr|Prof)\b\.?")
_STREET = re.compile(r"(?<=[A-Za-z])(\s)(St|Dr)\.?(?=[\s,.;!?]|$)(?!\.?\s[A-Z][a-z])")
_ABBREVIATION = re.compile(
    rf"(?<![\w.])({'|'.join(re.escape(a) for a in sorted(_PLAIN, key=len, reverse=True))})"
    r"(\.(?!\w))?(?!\w)(\s+(?=[A-Z])|$)?"
)
_NUMBERED = re.compile(rf"\b({'|'.join(_BEFORE_NUMBER)})\.\s?(?=#?\d)")
_SLASH = re.compile("|".join(rf"(?<!\w){re.escape(short)}(?!\w)" for short in _SLASHED))
_INITIALS = re.compile(
    r"(?:^|(?<=[a-z,;(]\s)|(?<=[.:]\s))(?!U\.S\.|U\.K\.|U\.N\.|D\.C\.|L\.A\.)((?:[A-Z]\.\s?){1,4})(?=[A-Z][a-z])"
    r"(?!(?:However|The|It|This|That|In|But|And|So|You|If|For|We|They|There|He|She|To|As|What|How|Is|Are|Do|Can)\b)"
)

_REGNAL = re.compile(
    "Henry|Louis|Charles|Elizabeth|George|Edward|James|William|Richard|Philip|Pius|Benedict|Napoleon|Wilhelm|Ivan|Peter|"
    "Catherine|Nicholas|Alexander|Frederick|Francis|Ferdinand|Leopold|Ramses|Gregory|Innocent|Clement|Urban|Paul|John"
)
_HEADED = re.compile(
    "(?i:war|chapter|part|section|act|volume|phase|type|article|book|level|class|stage|title|bowl|apollo|rocky|fantasy)"
)
_NUMERAL = re.compile(
    rf"\b([A-Z][a-z]+|[Cc]hapter|[Pp]art|[Tt]ype|[Ss]tage|[Ss]ection)\s(?=[IVX]+\b)({ROMAN})\b(?!\.\w)"
)

# Words that the lexicons of voices pronounce differently from people, such as capitals that they read as a word.
_SPELLINGS = {
    "US": "U.S.",
    "IT": "I.T.",
    "WHO": "W.H.O.",
    "AM": "a.m.",
    "PM": "p.m.",
    "PhD": "Ph.D.",
    "PhDs": "Ph.D. graduates",
    "WiFi": "Wi-Fi",
    "Wifi": "Wi-Fi",
    "wifi": "Wi-Fi",
    "wi-fi": "Wi-Fi",
    "iOS": "I.O.S.",
    "IDE": "I.D.E.",
    "HR": "H.R.",
    "VR": "V.R.",
    "LaTeX": "lay tech",
    "MySQL": "My SQL",
    "PostgreSQL": "Postgres SQL",
    "NoSQL": "No SQL",
    "kHz": "kilohertz",
    "CO": "C.O.",
    "Ctrl": "Control",
    "ctrl": "control",
}
_RESPELLED = re.compile(rf"(?<![\w.'-])({'|'.join(_SPELLINGS)})(?![\w'-])")
_WORD = re.compile(r"[A-Za-z']+")
_COMMON = re.compile(r"\b(?:THE|A|AN|IS|ARE|YOU|YOUR|MY|TO|OF|AND|IN|ON|FOR|NOT|DO|THIS|THAT|WHAT|HOW|WE|ME|BE)\b")
_SHOUTED_SHARE = 0.6


def expanded(text: str, notes: list[str]) -> str:
    """English text with its abbreviations written out. Numbers must still be digits (`No. 5`)."""
    return applied(text, _EXPANDED, notes)


def _plain(m: Match) -> str:
    short, dot, ends = m.groups()
    if short in _NEEDS_DOT and not dot:
        return m[0]
    stops = (
        dot and ends is not None and short in ("etc", "Inc", "Ltd", "Corp", "Jr", "Sr", "Ave", "Rd", "Blvd", "et al")
    )
    return _PLAIN[short] + ("." if stops else "") + (ends or "")


def _title(m: Match) -> str:
    return _TITLES[m[1] or m[2]] + (" " if m.string[m.end() : m.end() + 1].isalnum() else "")


def _numeral(m: Match) -> str:
    name, letters = m[1], m[2]
    if not letters or (len(letters) == 1 and not (_REGNAL.fullmatch(name) or _HEADED.fullmatch(name))):
        return m[0]
    value = str(roman(letters))
    return f"{name} the {ordinal(value)}" if _REGNAL.fullmatch(name) else f"{name} {cardinal(value)}"


def calmed(sentence: str) -> str:
    """A sentence in lower case, if most of it is in capitals: otherwise its words would be read as acronyms."""
    words = [word for word in _WORD.findall(sentence) if len(word) > 1]
    shouted = [word for word in words if word.isupper()]
    if len(words) < 3 or len(shouted) < _SHOUTED_SHARE * len(words) or not _COMMON.search(sentence):
        return sentence
    # A word without a vowel stays as it is: HTML is spelled, html is a guess.
    return _WORD.sub(lambda m: m[0].lower() if re.search("[AEIOUY]", m[0]) else m[0], sentence)


def acronyms(text: str, notes: list[str]) -> str:
    """Text with dots in the acronyms that a lexicon would read as words: `US` -> U.S."""
    return applied(text, _ACRONYMS, notes)


_EXPANDED = (
    Step(_SLASH, lambda m: _SLASHED[m[0]], LETTERS + "/"),
    Step(_NUMBERED, lambda m: f"{_BEFORE_NUMBER[m[1]]} ", LETTERS),
    Step(_STREET, lambda m: m[1] + {"St": "Street", "Dr": "Drive"}[m[2]], LETTERS),
    Step(_TITLE, _title, LETTERS),
    Step(_ABBREVIATION, _plain, LETTERS),
    Step(_NUMERAL, _numeral, "IVX"),
    Step(_INITIALS, lambda m: " ".join(m[1].replace(".", " ").split()) + " "),
)
_ACRONYMS = (Step(_RESPELLED, lambda m: _SPELLINGS[m[1]], LETTERS + "-"),)
