"""What an answer of a language model must be before a dialogue is made of it."""

import re
from collections.abc import Sequence

from ...chat import answers
from ...dialogue import Dialogue, Role
from ...errors import DialogueRejected
from ..characters import EMOJI_LEFT_OUT, check_speakable, unified, without_accents
from ..rewritten import Rewritten
from ..rules import REPLY_CUT, RulesRewriter
from ..sentences import words

_HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff]")


def texts(content: str, asked: Sequence[Role]) -> list[str]:
    """The text of each turn that was asked for.

    content: the whole answer, see `chat.answers.entries`. Raises DialogueRejected unless each of its turns has the role
    that was asked for, in that order, and a text.
    """
    turns = answers.entries(content, "turns", "role", asked)
    return [answers.text_of(turn, f"entry {number} of {len(turns)}") for number, turn in enumerate(turns, 1)]


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
    """An answered dialogue as `read_out` gives it. Raises DialogueRejected also if it is in another language."""
    result = read_out(answered, rules)
    check_language([turn.text for turn in result.dialogue.turns], answered.language)
    return result


def read_out(answered: Dialogue, rules: RulesRewriter) -> Rewritten:
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
    return result


def check_language(texts: Sequence[str], language: str) -> None:
    """Raise DialogueRejected if an answer is not in Chinese. Chinese may have Latin words, so English would pass."""
    text = "".join(texts)
    han, total = len(_HAN.findall(text)), words(text, language)
    if language == "zh" and 2 * han < total:
        raise DialogueRejected("answer_other_language", f"{han} of {total} words are Chinese")
