"""Plain English text as it is said: letters, apostrophes and pauses are all that is left."""

import re

from pipeline.errors import DialogueRejected
from pipeline.rewriting import abbreviations, quantities
from pipeline.rewriting.characters import accented_words, without_accents

_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"()\[\]]*[^\s<>\"()\[\].,;:!?']", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.+-])([\w.+-]{1,64})@([\w-]{1,63}(?:\.[\w-]{1,63})+)", re.ASCII)
_DOMAIN = re.compile(r"(?<![\w@.])([A-Za-z0-9-]{2,63})\.(com|org|net|edu|gov|io|co\.uk|ai)(?![\w.]\w)((?:/[\w-]+)?)/?")
_LONGEST_PATH = 24


def _compiled(*rules: tuple[str, str]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern), said) for pattern, said in rules]


# Read while the digits beside them are still there.
_BEFORE_NUMBERS = _compiled(
    (r"\\[nrt](?![A-Za-z])", " "), (r"(?<=[a-z])\.(?=[A-Z][a-z\s])", ". "), (r"(?<=[a-z]{2})\.(?=[a-z]{2})", " dot "), (r"(?<=\d)\.(?=[A-Za-z])", " point "),
    (r"\bC\+\+", "C plus plus"), (r"\b([CF])#", r"\1 sharp"), (r"(?<![\w.])\.NET\b", "dot net"), (r"\b([Nn])ode\.js\b", r"\1ode J.S."),
    (r"\b([A-Za-z]\w{0,30})\.(js|py|txt|exe|md|csv|json|html|css|pdf|docx?)\b", r"\1 dot \2"), (r"(\w)\((e?s)\)", r"\1\2"),
    (r"(?<=\b[A-Z])-(?=\d)|(?<=[A-Z]{2})-(?=\d)", " "), (r"(?<=\d)\s/\s(?=\d)", " divided by "),
    (r"#\s?(?=\d)", "number "), (r"~(?=\s?[\d$£€])", "about "), (r"≈\s?(?=[\d$£€])", "about "), (r"(?<=\d)\s-\s(?=[\d.,]{1,20}\s?=)", " minus "),
    (r"(?<=\d)\s?/\s?(?=(?:month|mo|year|yr|day|hour|hr|week|night|person|min|kg|lb)\b)", " per "), (r"(?<=\d)\s[*]\s(?=\d)", " times "),
    (r"<(?=\s?[$£€]?\d)", " less than "), (r">(?=\s?[$£€]?\d)", " more than "),
)  # fmt: skip
_AFTER_NUMBERS = _compiled(
    (r"\s*&\s*", " and "), (r"\+", " plus "), (r"#(?=[A-Za-z])", "hashtag "), (r"@(?=\w)", " at "), (r"\s@\s", " at "),
    (r"(?<=[a-z])\s?%", " percent"), (r"<=|≤", " is at most "), (r">=|≥", " is at least "), (r"≠|!=", " is not equal to "),
    (r"≈", " is about "), (r"\s*(?:-+>|=>|→)\s*", " to "), (r"\s*↔\s*", " and "), (r"(?<=[\w)])\s*={1,2}\s*(?=[\w(-])", " equals "),
    (r"(?<=[\w)])\s*<\s*(?=[\w(])", " is less than "), (r"(?<=[\w)])\s*>\s*(?=[\w(])", " is greater than "),
    (r"(?<=[\w)])\s*×\s*(?=[\w(])", " times "), (r"\s*÷\s*", " divided by "), (r"±", " plus or minus "),
    (r"√", " the square root of "), (r"π", " pi "), (r"∞", " infinity "), (r"©", " copyright "), (r"§", " section "), (r"°", " degrees "),
    (r"\b([A-Za-z])/([A-Za-z])\b", r"\1-\2"), (r"(?<=\w)\s?/\s?(?=(?:month|year|day|hour|week|night|person)\b)", " per "),
    (r"(?<=[a-z])\s?/\s?(?=[a-z])", " or "), (r"(?<=\w)\s?/\s?(?=\w)", " slash "), (r"_{2,}", " blank "), (r"(?<=[A-Za-z])_(?=[A-Za-z])", " "),
)  # fmt: skip

_ELISIONS = re.compile(r"(?<!\w)'(em|cause|til|tis|twas|round|bout|n)\b", re.IGNORECASE)
_TIDY = _compiled(
    (r"\.{2,}(?=\s*$|\s+[\"'(]?[A-Z])", "."), (r"\s*\.{2,}", ", "),
    (r"(?<!\w)'(?!(?:em|cause|til|tis|twas|round|bout|n)\b)", " "), (r"(?<=[A-Za-z])'(?!\w)(?<![sn]')", " "), (r"(?<!\w)'(?!\w)", " "),
    (r"\"", " "), (r"\s*[()\[\]]\s*", ", "), (r"\s*[—–•·]\s*", ", "), (r"\s+-+\s*|\s*-{2,}\s*|-(?!\w)|(?<!\w)-", ", "),
    (r"\s+([,.;:?!])", r"\1"), (r"([?!])[?!.,;:]+", r"\1"), (r"[,;:]+([.?!])", r"\1"), (r"([,;:])[,;:\s]*[,;:]", r"\1"),
    (r"(?<=[A-Za-z]{2})\.[,;:]+", ","), (r"(?<![\w.])[,.;:?!]+", " "), (r"([,;:?!])(?=[A-Za-z])", r"\1 "), (r"\s+", " "),
)  # fmt: skip


_LONE_I = re.compile(r"(?<![\w.'-])i(?![\w.-])")
_SENTENCE_START = re.compile(r"^[a-z](?!Phone|Pad|Mac|Bay|OS)|(?<=[a-z]{2}[.?!] )[a-z](?!Phone|Pad|Mac|Bay|OS)")
_QUESTION = re.compile(
    r"(?:who|what|when|where|why|how|which|whose|is|are|was|were|do|does|did|can|could|will|would|should|has|have)\b(?! to\b)",
    re.IGNORECASE,
)


def asked(sentence: str) -> str:
    """The last sentence of a user's turn, with a question mark where it is a question without one."""
    return f"{sentence[:-1]}?" if sentence.endswith(".") and _QUESTION.match(sentence) else sentence


def spoken(text: str) -> str:
    """One paragraph as it is said; a symbol that has no reading is left in, for `check_speakable` to name.

    Raises DialogueRejected if it is written in another language's letters.
    """
    _check_foreign(text)
    text = abbreviations.expanded(web_addresses(without_accents(text)))
    for pattern, said in _BEFORE_NUMBERS:
        text = pattern.sub(said, text)
    text = quantities.spoken(text)
    for pattern, said in _AFTER_NUMBERS:
        text = pattern.sub(said, text)
    return tidied(abbreviations.acronyms(_LONE_I.sub("I", abbreviations.calmed(text))))


def web_addresses(text: str) -> str:
    """Text whose e-mail and web addresses are read out: `ann@example.com` -> ann at example dot com."""
    text = _EMAIL.sub(lambda m: f"{_dotted(m[1])} at {_dotted(m[2])}", _URL.sub(lambda m: _address(m[0]), text))
    return _DOMAIN.sub(lambda m: _address(m[0]), text)


def tidied(text: str) -> str:
    """Text whose quotes, brackets and dashes became pauses, with one mark at most after a word."""
    for pattern, said in _TIDY:
        text = pattern.sub(said, text)
    text = text.strip().lstrip(",.;:?! ")
    return _SENTENCE_START.sub(lambda m: m[0].upper(), text)


def _check_foreign(text: str) -> None:
    words = len(text.split())
    accented = accented_words(text)
    if len(accented) > max(3, words // 10):
        raise DialogueRejected(
            "foreign_words", f"{len(accented)} of {words} words have accents: {' '.join(accented[:5])}"
        )


def _address(url: str) -> str:
    """`https://www.example.com/help` -> example dot com slash help; a longer path is left out."""
    url = re.sub(r"^(?:https?://)?(?:www\.)?", "", url, flags=re.IGNORECASE)
    host, _, path = url.partition("/")
    path = path.rstrip("/")
    if path and (len(path) > _LONGEST_PATH or not re.fullmatch(r"[A-Za-z-]+(?:/[A-Za-z-]+)?", path)):
        path = ""
    return _dotted(host) + "".join(f" slash {part.replace('-', ' ')}" for part in path.split("/") if part)


def _dotted(text: str) -> str:
    said = text.replace(".", " dot ").replace("_", " underscore ").replace("-", " dash ").replace("+", " plus ")
    return re.sub(r"\s+", " ", said).strip()
