"""Texts and transcripts as words that can be compared, and their differences.

Whisper writes `3:45` for the spoken "three forty five", and a spelling of its choice. So both sides go through the
rules of rewriting, and English then through Whisper's own normaliser (arXiv 2212.04356, appendix C).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..errors import DialogueRejected
from ..rewriting import chinese, english
from .judge import needed

LONGEST_PHRASE = 8  # words, or characters in Chinese: loops of recognisers and engines are shorter

_CLOCK = re.compile(r"\b(\d{1,2})\.(\d\d)(?=\s?[ap]\.?m\b)", re.IGNORECASE)  # Whisper's 3.45pm
_SPELLINGS = [  # that the normaliser leaves apart, though they are spoken alike
    (re.compile(pattern), spelling)
    for pattern, spelling in (
        (r"\bok\b", "okay"),
        (r"\ball right\b", "alright"),
        (r"\be mail", "email"),
        (r"(?<=\b[a-z]) (?=[a-z]\b)", ""),  # A.I. as AI
    )
]
_CHINESE_UNIT = re.compile(r"[\u3400-\u9fff]|[a-z0-9']+")


def words(text: str, language: str) -> list[str]:
    """Words in the form in which they are compared; Chinese characters one by one, Latin words in between whole."""
    if language == "zh":
        return _CHINESE_UNIT.findall(_simplified().normalize(_read_out(text, chinese.spoken)).lower())
    read_out = _read_out(_CLOCK.sub(r"\1:\2", text), english.spoken)
    plain = str(_english()(read_out))
    for pattern, spelling in _SPELLINGS:
        plain = pattern.sub(spelling, plain)
    return plain.split()


def read_out(text: str, language: str) -> list[str]:
    """Words as they are said, in letters alone: numbers read out, spellings as they are; of Chinese, as in `words`."""
    if language == "zh":
        return words(text, language)
    spoken_words = _read_out(_CLOCK.sub(r"\1:\2", text), english.spoken).lower().split()
    return [letters for word in spoken_words if (letters := "".join(filter(str.isalnum, word)))]


def _read_out(text: str, spoken: Callable[[str, list[str]], str]) -> str:
    try:
        return spoken(text, [])
    except DialogueRejected:  # the recogniser wrote text that cannot be spoken: it counts as wrong words
        return text


@dataclass(frozen=True, slots=True)
class Misheard:
    """The differences between a text and its transcript: words that are wrong, missing or added."""

    words: int
    letters: int  # without spaces: a name that is heard as two words has few wrong letters
    of_words: int  # of the text
    of_letters: int

    @property
    def rate(self) -> float:
        """Word error rate; for an empty text, 1 if anything is heard."""
        return self.words / self.of_words if self.of_words else float(bool(self.words))


def misheard(spoken: Sequence[str], heard: Sequence[str]) -> Misheard:
    """The fewest edits from the words of a text to those of its transcript; Chinese counts characters."""
    distance = needed("rapidfuzz.distance").Levenshtein.distance
    text, transcript = "".join(spoken), "".join(heard)
    return Misheard(int(distance(spoken, heard)), int(distance(text, transcript)), len(spoken), len(text))


def error_rate(spoken: Sequence[str], heard: Sequence[str]) -> float:
    """Words wrong, missing or added per spoken word; for an empty text, 1 if anything is heard."""
    return misheard(spoken, heard).rate


def repeats(spoken: Sequence[str], heard: Sequence[str]) -> int:
    """How often a phrase follows itself in the transcript, beyond the text; of all phrases, the largest number."""
    text_runs, heard_runs = _runs(spoken), _runs(heard)
    return max((0, *(run - text_runs.get(phrase, 1) for phrase, run in heard_runs.items())))


def _runs(units: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Phrases that follow themselves, with the longest row of each, in repetitions."""
    longest: dict[tuple[str, ...], int] = {}
    for length in range(1, LONGEST_PHRASE + 1):
        equal = 0
        for position in range(length, len(units)):
            equal = equal + 1 if units[position] == units[position - length] else 0
            if equal >= length:
                phrase = tuple(units[position - length + 1 : position + 1])
                longest[phrase] = max(longest.get(phrase, 1), 1 + equal // length)
    return longest


@cache
def _english() -> Any:
    return needed("whisper_normalizer.english").EnglishTextNormalizer()


@cache
def _simplified() -> Any:
    import wetext  # its grammars take a while to load

    return wetext.Normalizer(lang="zh", operator="tn", traditional_to_simple=True)
