"""Plain English text as it is spoken: only letters, apostrophes and pauses are left."""

import re

from ..errors import DialogueRejected
from . import abbreviations, dashes, quantities, quotes, symbols
from .characters import accented_words, without_accents
from .steps import LeftOut, Match, Step, applied, unheard

ADDRESS_SHORTENED = "web_address_shortened"

_URL = re.compile(
    r"\b(?:https?://|www\.)(?:(?!\.{3})[^\s<>\"()\[\]–—…\u2e80-\uffff])*[^\s<>\"()\[\]–—…\u2e80-\uffff.,;:!?']",
    re.IGNORECASE | re.ASCII,  # so that one may follow Han characters
)
_EMAIL = re.compile(r"(?<![\w.+-])([\w.+-]{1,64})@([\w-]{1,63}(?:\.[\w-]{1,63})+)", re.ASCII)
_DOMAIN = re.compile(
    r"(?<![\w@.])([A-Za-z0-9-]{2,63})\.(com|org|net|edu|gov|io|co\.uk|ai)(?!\w|\.\w)((?:/[\w-]+)?)/?",
    re.IGNORECASE | re.ASCII,
)
_LONGEST_PATH = 24


_LONE_I = re.compile(r"(?<![\w.'-])i(?![\w.-])")
_SENTENCE_START = re.compile(r"^[a-z](?!Phone|Pad|Mac|Bay|OS)|(?<=[a-z]{2}[.?!] )[a-z](?!Phone|Pad|Mac|Bay|OS)")
_QUESTION = re.compile(
    r"(?:who|what|when|where|why|how|which|whose|is|are|was|were|do|does|did|can|could|will|would|should|has|have)"
    r"\b(?! to\b)",
    re.IGNORECASE,
)


def with_question_mark(sentence: str) -> str:
    """The last sentence of a user's turn; a question without a question mark gets one."""
    return f"{sentence[:-1]}?" if sentence.endswith(".") and _QUESTION.match(sentence) else sentence


def spoken(text: str, notes: list[str]) -> str:
    """One paragraph as it is spoken. A symbol without a reading stays, and `check_speakable` names it.

    notes: gets one note for each omission. Raises DialogueRejected if the text has many words with accents, or if
    something would be neither heard nor noted.
    """
    _check_foreign(text)
    text = web_addresses(without_accents(applied(text, (_ANGSTROMS,), notes)), notes)
    text = abbreviations.expanded(dashes.settled(text, notes), notes)
    text = symbols.beside_numbers(quotes.measured(text), notes)
    text = symbols.between_words(quantities.spoken(text, notes), notes)
    text = abbreviations.acronyms(_LONE_I.sub("I", abbreviations.calmed(text)), notes)
    return _SENTENCE_START.sub(lambda m: m[0].upper(), symbols.paused(text, notes))


def web_addresses(text: str, notes: list[str]) -> str:
    """Text whose e-mail and web addresses are read out: `ann@example.com` -> ann at example dot com."""
    return applied(text, _ADDRESSES, notes)


def _check_foreign(text: str) -> None:
    words = len(text.split())
    accented = accented_words(text)
    if len(accented) > max(3, words // 10):
        raise DialogueRejected(
            "foreign_words", f"{len(accented)} of {words} words have accents: {' '.join(accented[:5])}"
        )


def _email(m: Match) -> str:
    return f"{_dotted(m[1])} at {_dotted(m[2])}"


def _address(m: Match) -> str | LeftOut:
    """`https://www.example.com/help` -> example dot com slash help; omitted parts are noted."""
    url = re.sub(r"^(?:https?://)?(?:www\.)?", "", m[0], flags=re.IGNORECASE)
    host, _, path = url.partition("/")
    path = path.rstrip("/")
    reading = _dotted(host)
    if path and len(path) <= _LONGEST_PATH and re.fullmatch(r"[A-Za-z-]+(?:/[A-Za-z-]+)?", path):
        reading += "".join(f" slash {part.replace('-', ' dash ')}" for part in path.split("/") if part)
    return LeftOut(reading, ADDRESS_SHORTENED) if unheard(m[0], reading) else reading


def _dotted(text: str) -> str:
    reading = text.replace(".", " dot ").replace("_", " underscore ").replace("-", " dash ").replace("+", " plus ")
    return re.sub(r"\s+", " ", reading).strip()


_ADDRESSES = (Step(_URL, _address), Step(_EMAIL, _email), Step(_DOMAIN, _address))
_ANGSTROMS = Step(re.compile("(?<=\\d) ?Å"), " angstroms", "Å")
