"""Rewriting by a language model behind an endpoint (BayLing-Duplex section 3, FLM-Audio's transcript collection)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ...chat.asker import Asker, Question, rejection
from ...dialogue import Dialogue, Rejection, Role, Turn
from ...errors import DialogueRejected
from ...recipe.file import Problem
from ..rewritten import Rewritten
from ..rules import EXCHANGES_LEFT_OUT, RulesRewriter
from ..section import LanguageModel, Rewriting
from . import answers
from .prompt import Prompt, answer_schema

VERSION = "3"  # raise it if the same answers give other dialogues, or if the requests change

LONGEST_DIALOGUE = 100_000  # characters that are sent; a longer text is not a dialogue


@dataclass(frozen=True, slots=True)
class _Task:
    """A dialogue as the model gets it, with the roles of the turns that it should answer."""

    dialogue: Dialogue
    notes: tuple[str, ...]
    asked: tuple[Role, ...]
    message: str


class LLMRewriter:
    """Rewrites whole dialogues, one request each. An answer that does not pass the rules engine is asked for again.

    It rewrites both roles (`rewrites: dialogue`), or only the replies (`rewrites: replies`) and normalises the user's
    turns by the rules. The result depends only on the dialogue, the recipe and the model's answers. Answers are stored
    in a journal, so a restart asks no question twice.
    """

    name: ClassVar[str] = "llm"
    max_actors: ClassVar[int | None] = 1  # `at_once` bounds what the endpoint is asked by all of them

    def __init__(self, recipe: Rewriting) -> None:
        self.recipe = recipe
        self.rules = RulesRewriter(recipe)
        self.asker: Asker[LanguageModel, Prompt] = Asker(
            ("rewriting", "llm"), recipe.llm, "rewriting.engine is llm", Prompt.read
        )

    @property
    def replies_only(self) -> bool:
        return self.asker.model.rewrites == "replies"

    def check(self) -> list[Problem]:
        return self.asker.check()

    def probe(self) -> list[Problem]:
        """Why the endpoint does not answer a simple question."""
        return self.asker.probe()

    def fingerprint(self) -> Mapping[str, str]:
        """Everything that changes the text."""
        rewrites = self.asker.model.rewrites
        return {"llm": VERSION, "rewrites": rewrites, **self.asker.fingerprint(), **self.rules.fingerprint()}

    def load(self, scratch: Path) -> None:
        """scratch: where answers are kept; the same folder after a restart, shared by all workers."""
        self.rules.load(scratch)
        self.asker.load(scratch)

    def rewrite_all(self, dialogues: Sequence[Dialogue]) -> list[Rewritten | Rejection]:
        """See `Rewriter`. Raises UserError if the endpoint answers no request, or refuses every one."""
        return self.asker.each([self._task(dialogue) for dialogue in dialogues], self._one)

    def _task(self, dialogue: Dialogue) -> _Task | Rejection:
        try:
            return self._prepare(dialogue)
        except Exception as error:
            return rejection(dialogue.id, error)

    def _prepare(self, dialogue: Dialogue) -> _Task:
        turns = dialogue.turns[: 2 * self.recipe.max_exchanges]
        notes = (EXCHANGES_LEFT_OUT,) * (len(turns) < len(dialogue.turns))
        if self.replies_only:
            shown_turns = [self._shown(dialogue, number, turn) for number, turn in enumerate(turns, 1)]
            turns = tuple(turn for turn, _ in shown_turns)
            notes += tuple(note for _, of_turn in shown_turns for note in of_turn)
        if (length := sum(len(turn.text) for turn in turns)) > LONGEST_DIALOGUE:
            raise DialogueRejected("dialogue_too_long", f"{length} characters, {LONGEST_DIALOGUE} are allowed")
        shown = replace(dialogue, turns=turns)
        asked = tuple(turn.role for turn in turns if turn.role == "assistant" or not self.replies_only)
        return _Task(shown, notes, asked, self.asker.prompt.filled(shown, asked, self.recipe))

    def _shown(self, dialogue: Dialogue, number: int, turn: Turn) -> tuple[Turn, tuple[str, ...]]:
        """A turn as the model gets it, and the rules' notes: the user's after the rules, the assistant's as written."""
        if turn.role == "assistant":
            return turn, ()
        alone = replace(dialogue, turns=(turn,))
        try:
            rewritten = self.rules.rewrite(alone)
            return rewritten.dialogue.turns[0], tuple(rewritten.notes)
        except DialogueRejected as rejected:
            detail = rejected.detail.removeprefix("turn 1 (user): ")
            raise DialogueRejected(rejected.reason, f"turn {number} (user): {detail}") from None

    async def _one(self, task: _Task | Rejection) -> Rewritten | Rejection:
        if isinstance(task, Rejection):
            return task
        question = Question(task.dialogue.id, task.message, answer_schema(task.asked))
        try:
            return await self.asker.answered(question, lambda content: self._rewritten(task, content))
        except Exception as error:
            return rejection(task.dialogue.id, error)

    def _rewritten(self, task: _Task, content: str) -> Rewritten:
        """The dialogue of an answer. Raises DialogueRejected if the answer is not usable."""
        texts = answers.texts(content, task.asked)
        shown = [turn.text for turn in task.dialogue.turns if turn.role in task.asked]
        answers.check_rewritten(texts, shown, task.dialogue.language)
        new_turns = tuple(Turn(role, text) for role, text in zip(task.asked, texts, strict=True))
        spoken = answers.spoken(replace(task.dialogue, turns=new_turns), self.rules)
        turns = spoken.dialogue.turns
        if self.replies_only:
            replies = iter(turns)
            turns = tuple(turn if turn.role == "user" else next(replies) for turn in task.dialogue.turns)
        return Rewritten(replace(task.dialogue, turns=turns), (*task.notes, *spoken.notes))
