"""Plain English text as it is said: letters, apostrophes and pauses are all that is left."""

import re

from ..errors import DialogueRejected
from . import abbreviations, quantities, symbols
from .characters import accented_words, without_accents

_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"()\[\]]*[^\s<>\"()\[\].,;:!?']", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.+-])([\w.+-]{1,64})@([\w-]{1,63}(?:\.[\w-]{1,63})+)", re.ASCII)
_DOMAIN = re.compile(
    r"(?<![\w@.])([A-Za-z0-9-]{2,63})\.(com|org|net|edu|gov|io|co\.uk|ai)(?!\w|\.\w)((?:/[\w-]+)?)/?", re.IGNORECASE
)
_LONGEST_PATH = 24


_LONE_I = re.compile(r"(?<![\w.'-])i(?![\w.-])")
_SENTENCE_START = re.compile(r"^[a-z](?!Phone|Pad|Mac|Bay|OS)|(?<=[a-z]{2}[.?!] )[a-z](?!Phone|Pad|Mac|Bay|OS)")
_QUESTION = re.compile(
    r"(?:who|what|when|where|why|how|which|whose|is|are|was|were|do|does|did|can|could|will|would|should|has|have)"
    r"\b(?! to\b)",
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
    text = symbols.between_words(quantities.spoken(symbols.beside_numbers(text)))
    text = abbreviations.acronyms(_LONE_I.sub("I", abbreviations.calmed(text)))
    return _SENTENCE_START.sub(lambda m: m[0].upper(), symbols.paused(text))


def web_addresses(text: str) -> str:
    """Text whose e-mail and web addresses are read out: `ann@example.com` -> ann at example dot com."""
    text = _EMAIL.sub(lambda m: f"{_dotted(m[1])} at {_dotted(m[2])}", _URL.sub(lambda m: _address(m[0]), text))
    return _DOMAIN.sub(lambda m: _address(m[0]), text)


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
