"""Sentences: where they end, how long they are, where a reply may be cut."""

import re

from ..errors import DialogueRejected

_EN_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]*[A-Z0-9])")
_ZH_END = re.compile(r"(?<=[。！？；!?])")
_ZH_WORD = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff]|[A-Za-z']+")
_INITIALS = re.compile(r"(?:^|\s)(?:[A-Za-z]\.)+$")


def split(text: str, language: str) -> list[str]:
    """A paragraph as sentences. `the U.S. Navy` and `J. Smith` are not split at their dots."""
    if language == "zh":
        return [part.strip() for part in _ZH_END.split(text) if part.strip()]
    parts: list[list[str]] = []
    for part in map(str.strip, _EN_END.split(text)):
        if parts and _INITIALS.search(parts[-1][-1]):
            parts[-1].append(part)
        elif part:
            parts.append([part])
    return [" ".join(part) for part in parts]


def words(text: str, language: str) -> int:
    """Words of spoken English; characters of Chinese (a Latin word within counts as one)."""
    return len(_ZH_WORD.findall(text)) if language == "zh" else len(text.split())


def ended(sentence: str, language: str) -> str:
    """The sentence with a full stop, if it ends with no mark, or with a comma or another mark inside sentences."""
    if language == "zh":
        sentence = sentence.strip().rstrip("，、；：,;:")
        return sentence if not sentence or sentence[-1] in "。！？.!?" else sentence + "。"
    sentence = sentence.strip().rstrip(",;:- ")
    return sentence if not sentence or sentence[-1] in ".!?" else sentence + "."


def cut(sentences: list[str], limit: int, language: str) -> tuple[list[str], bool]:
    """As many sentences from the start as fit `limit` words, and whether any was left out.

    A first sentence that is too long by itself is cut at its last clause that fits, if that keeps a third of the
    limit. Raises DialogueRejected if it has no such clause.
    """
    kept: list[str] = []
    total = 0
    for sentence in sentences:
        total += words(sentence, language)
        if total > limit:
            return kept or [_first_clauses(sentence, limit, language)], True
        kept.append(sentence)
    return kept, False


def _first_clauses(sentence: str, limit: int, language: str) -> str:
    pause = r"(?<=[，；：、,;:])" if language == "zh" else r"(?<=[,;:])\s"
    clauses = re.split(pause, sentence)
    gap = "" if language == "zh" else " "
    for count in range(len(clauses) - 1, 0, -1):
        start = gap.join(clauses[:count])
        if limit / 3 <= words(start, language) <= limit:
            return ended(start, language)
    raise DialogueRejected(
        "reply_cannot_be_cut", f"its first sentence has {words(sentence, language)} words, {limit} are allowed"
    )
