"""Answers of a language model: extra words around the JSON are allowed, mistakes inside it are not."""

import json
import re
from collections.abc import Sequence

from ...dialogue import Dialogue, Role, Turn
from ...errors import DialogueRejected
from ..characters import EMOJI_LEFT_OUT, check_speakable, unified, without_accents
from ..rewritten import Rewritten
from ..rules import REPLY_CUT, RulesRewriter
from ..sentences import words

_START = re.compile(r'\{\s*"turns"\s*:')
_MORE = re.compile(r"[{\[]")
THOUGHT_BEGINS, THOUGHT_ENDS = "<think>", "</think>"  # of reasoning models, where the server does not remove them
_HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff]")
_LENIENT = json.JSONDecoder(strict=False)  # models leave line breaks in strings as they are


def texts(content: str, asked: Sequence[Role]) -> list[str]:
    """The text of each turn that was asked for.

    content: the whole answer. Thoughts of the model, code fences and words around the JSON are skipped. Only the last
    object that begins with `turns` counts: an earlier one may be a draft, or a copy of the prompt.
    Raises DialogueRejected unless that object is whole, no similar object follows, and each of its turns has the role
    that was asked for, in that order, and a text.
    """
    turns = _turns(content)
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise DialogueRejected("answer_not_turns", f"expected a list of turns, got {_excerpt(str(turns))}")
    roles = [turn.get("role") for turn in turns]
    if roles != list(asked):
        names = ", ".join(str(role)[:20] for role in roles[:20])
        raise DialogueRejected(
            "answer_other_turns", f"expected {len(asked)}: {', '.join(asked)}; got {names or 'none'}"
        )
    entries = [turn.get("text") for turn in turns]
    for number, text in enumerate(entries, 1):
        if not isinstance(text, str) or not text.strip():
            raise DialogueRejected("answer_without_text", f"entry {number} of {len(entries)} has no text")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise DialogueRejected("answer_without_text", f"entry {number} of {len(entries)} holds half a character")
    return [str(text) for text in entries]


def check_rewritten(texts: Sequence[str], shown: Sequence[str], language: str) -> None:
    """Raise DialogueRejected if an answer repeats the turns it was shown, unless they can be spoken as they are."""
    if any(one.split() != other.split() for one, other in zip(texts, shown, strict=True)):
        return
    for text in texts:
        try:
            check_speakable(" ".join(without_accents(unified(text)).split()), language)
        except DialogueRejected as rejected:
            raise DialogueRejected("answer_not_rewritten", f"it repeats what it was shown; {rejected.detail}") from None


def spoken(answered: Dialogue, rules: RulesRewriter) -> Rewritten:
    """An answered dialogue after the rules engine, which turns the remaining symbols into words.

    Raises DialogueRejected if a turn cannot be spoken, is too long, or would lose more than an emoji.
    """
    try:
        result = rules.rewrite(answered)
    except DialogueRejected as rejected:
        raise DialogueRejected(f"answer_{rejected.reason}", rejected.detail) from None
    if REPLY_CUT in result.notes:
        longest = max(words(turn.text, answered.language) for turn in answered.turns if turn.role == "assistant")
        allowed = rules.recipe.max_reply_words
        raise DialogueRejected("answer_reply_too_long", f"a reply of {longest} words, {allowed} are allowed")
    if omissions := sorted(set(result.notes) - {EMOJI_LEFT_OUT}):
        raise DialogueRejected("answer_not_spoken", f"it has parts that cannot be spoken: {', '.join(omissions)}")
    if answered.language == "zh":
        _check_chinese(result.dialogue.turns)
    return result


def _turns(content: str) -> object:
    before, _, answer = content.rpartition(THOUGHT_ENDS)
    starts = [match.start() for match in _START.finditer(answer)]
    if not starts or THOUGHT_BEGINS in answer[: starts[-1]]:
        raise DialogueRejected("answer_not_json", f"expected JSON with turns, got {_excerpt(answer or before)}")
    try:
        value, end = _LENIENT.raw_decode(answer, starts[-1])
    except (ValueError, RecursionError):
        raise DialogueRejected("answer_not_json", f"JSON that is broken: {_excerpt(answer[starts[-1] :])}") from None
    if more := _MORE.search(answer, end):
        raise DialogueRejected("answer_not_json", f"something follows the JSON: {_excerpt(answer[more.start() :])}")
    return value["turns"]


def _check_chinese(turns: Sequence[Turn]) -> None:
    """Raise DialogueRejected if an answer is not in Chinese. Chinese may have Latin words, so English would pass."""
    text = "".join(turn.text for turn in turns)
    han, total = len(_HAN.findall(text)), words(text, "zh")
    if 2 * han < total:
        raise DialogueRejected("answer_other_language", f"{han} of {total} words are Chinese")


def _excerpt(text: str) -> str:
    return ascii(text[:120]) if text.strip() else "nothing"
