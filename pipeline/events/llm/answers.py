"""What an answer of a language model must be before its events are written into a dialogue."""

from collections.abc import Iterator, Sequence

from ...chat.answers import entries, text_of
from ...dialogue import REPETITION, STOPPING, Dialogue, Role, Turn, words_of
from ...errors import DialogueRejected
from ...rewriting.llm.answers import check_language, read_out
from ...rewriting.rewritten import Rewritten
from ...rewriting.rules import RulesRewriter
from ...rewriting.section import Rewriting
from ..drawing import Drawn
from ..phrases import ASSISTANT_BACKCHANNEL
from ..writing import Said
from .prompt import most_words

MARK_NOT_FOUND = "event_mark_not_found"
"""Note: the model said nothing that tells where an interruption comes, so the scenario decides."""
REPEATED_VERBATIM = "event_reply_repeated_verbatim"


def said(
    content: str, dialogue: Dialogue, asked: Sequence[Drawn], limits: Rewriting
) -> tuple[list[Said], tuple[str, ...]]:
    """What is said of each event that was asked for, and the notes.

    content: the whole answer, see `chat.answers.entries`. Raises DialogueRejected unless each of its events has the
    kind that was asked for, in that order, and texts that can be spoken, are short enough, and are in the dialogue's
    language.
    """
    found = entries(content, "events", "kind", [event.kind for event in asked])
    notes: list[str] = []
    events = []
    for number, (event, entry) in enumerate(zip(asked, found, strict=True), 1):
        where = f"entry {number} of {len(found)} ({event.kind})"
        during = dialogue.turns[event.during].text
        speaker: Role = "assistant" if event.kind == ASSISTANT_BACKCHANNEL else "user"
        most = most_words(event.kind, limits)
        text = _spoken(speaker, text_of(entry, where), dialogue.language, most, where, notes)
        reply, at_word = "", None
        if event.kind == REPETITION:
            written = text_of(entry, where, "reply")
            reply = _spoken("assistant", written, dialogue.language, limits.max_reply_words, f"{where}: reply", notes)
            notes += [REPEATED_VERBATIM] * (_plain(reply, dialogue.language) == _plain(during, dialogue.language))
        if event.kind in STOPPING:
            at_word = place(entry.get("after"), during, dialogue.language)
            notes += [MARK_NOT_FOUND] * (at_word is None)
        events.append(Said(text, at_word, reply))
    check_language([text for one in events for text in (one.text, one.reply)], dialogue.language)
    return events, tuple(notes)


def place(quote: object, text: str, language: str) -> int | None:
    """The index of the word of a text with which the quoted words end; their case and marks do not count.

    None if they are not in the text, or more than once, or nothing of the text is left after them.
    """
    if not isinstance(quote, str):
        return None
    quoted = [core for _, core in _cores(quote, language)]
    cores = list(_cores(text, language))
    ends = [
        start + len(quoted) - 1
        for start in range(len(cores) - len(quoted) + 1)
        if [core for _, core in cores[start : start + len(quoted)]] == quoted
    ]
    if not quoted or len(ends) != 1 or ends[0] + 1 == len(cores):
        return None
    return cores[ends[0]][0]


def _cores(text: str, language: str) -> Iterator[tuple[int, str]]:
    """The letters and digits of each word that has any, with the word's index."""
    for index, word in enumerate(words_of(text, language)):
        if core := "".join(character for character in word.casefold() if character.isalnum()):
            yield index, core


def _plain(text: str, language: str) -> list[str]:
    return [core for _, core in _cores(text, language)]


def _spoken(role: Role, text: str, language: str, most: int, where: str, notes: list[str]) -> str:
    """A text after the rules engine, as the rewriter's answers. most: words that it may have; characters in Chinese."""
    rules = RulesRewriter(Rewriting(max_user_words=most, max_reply_words=most))
    try:
        result: Rewritten = read_out(Dialogue("", "", language, (Turn(role, text),)), rules)
    except DialogueRejected as rejected:
        detail = rejected.detail.removeprefix(f"turn 1 ({role}): ")
        raise DialogueRejected(rejected.reason, f"{where}: {detail}") from None
    notes += result.notes
    return result.dialogue.turns[0].text
