"""The rules engine: written dialogues into spoken ones without a model, a network or a random draw."""

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ..dialogue import Dialogue, Rejection, Turn
from ..errors import DialogueRejected
from ..recipe.file import Problem
from . import chinese, english
from .characters import check_speakable, unified
from .markdown import plain
from .rewritten import Rewritten
from .section import Rewriting
from .sentences import cut, ended, split, words

VERSION = "2"  # raise it if the same text gives another result

REPLY_CUT = "reply_cut"
EXCHANGES_LEFT_OUT = "exchanges_left_out"

_WRITTEN_PER_WORD = 40  # characters per allowed word; a longer text is too long in any case


class RulesRewriter:
    """Turns Markdown, numbers, symbols and abbreviations into English and Chinese words; rejects what it cannot read.

    A pure function of the text and the recipe section. The result has only the characters of `check_speakable`.
    """

    name: ClassVar[str] = "rules"
    max_actors: ClassVar[int | None] = None

    def __init__(self, recipe: Rewriting) -> None:
        self.recipe = recipe

    def check(self) -> list[Problem]:
        return []

    def probe(self) -> list[Problem]:
        return []

    def load(self, scratch: Path) -> None:
        pass

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        libraries = {name: importlib.metadata.version(name) for name in ("wetext", "markdown-it-py")}
        return {"rules": VERSION, **libraries}

    def rewrite_all(self, dialogues: Sequence[Dialogue]) -> list[Rewritten | Rejection]:
        results: list[Rewritten | Rejection] = []
        for dialogue in dialogues:
            try:
                results.append(self.rewrite(dialogue))
            except DialogueRejected as rejected:
                results.append(Rejection(dialogue.id, "script", rejected.reason, rejected.detail))
        return results

    def rewrite(self, dialogue: Dialogue) -> Rewritten:
        """One dialogue as it is spoken. Raises DialogueRejected."""
        turns = dialogue.turns[: 2 * self.recipe.max_exchanges]
        notes = [EXCHANGES_LEFT_OUT] if len(turns) < len(dialogue.turns) else []
        spoken = []
        for number, turn in enumerate(turns, 1):
            try:
                spoken.append(Turn(turn.role, self._turn(turn, dialogue.language, notes)))
            except DialogueRejected as rejected:
                raise DialogueRejected(rejected.reason, f"turn {number} ({turn.role}): {rejected.detail}") from None
        return Rewritten(Dialogue(dialogue.id, dialogue.source, dialogue.language, tuple(spoken)), tuple(notes))

    def _turn(self, turn: Turn, language: str, notes: list[str]) -> str:
        limit = self.recipe.max_user_words if turn.role == "user" else self.recipe.max_reply_words
        written = turn.text.strip()
        shortened = len(written) > limit * _WRITTEN_PER_WORD
        if shortened:
            if turn.role == "user":
                raise DialogueRejected("user_turn_too_long", f"{len(written)} characters; {limit} words are allowed")
            written = written[: limit * _WRITTEN_PER_WORD]
        readable = plain(unified(written, wide_marks=True), language)
        notes += readable.notes
        sentences = _sentences(readable.paragraphs, language, limit, notes)
        if turn.role == "user":
            _check_length(sentences, limit, language)
            if language == "en" and sentences and turn.text.rstrip()[-1:].isalnum():
                sentences[-1] = english.with_question_mark(sentences[-1])
        elif words(" ".join(sentences), language) > limit or shortened:
            sentences, was_cut = cut(sentences[:-1] if shortened and len(sentences) > 1 else sentences, limit, language)
            notes += [REPLY_CUT] * (was_cut or shortened)
        text = ended(("" if language == "zh" else " ").join(sentences), language)
        check_speakable(text, language)
        return text


def _sentences(paragraphs: list[str], language: str, limit: int, notes: list[str]) -> list[str]:
    """Spoken sentences, until they exceed the limit."""
    say = chinese.spoken if language == "zh" else english.spoken
    sentences: list[str] = []
    total = 0
    for paragraph in paragraphs:
        parts = split(say(paragraph, notes), language)
        if parts:
            parts[-1] = _paragraph_end(parts[-1], language)
        sentences += parts
        total += sum(words(sentence, language) for sentence in parts)
        if total > 2 * limit:
            break
    return sentences


def _paragraph_end(sentence: str, language: str) -> str:
    """The last sentence of a paragraph, with its full stop. A colon stays: it introduces the next paragraph."""
    return sentence if sentence.endswith((":", "：")) else ended(sentence, language)


def _check_length(sentences: list[str], limit: int, language: str) -> None:
    count = sum(words(sentence, language) for sentence in sentences)
    if count > limit:
        raise DialogueRejected("user_turn_too_long", f"{count} words or more, {limit} are allowed")
