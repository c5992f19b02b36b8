"""Rewriting by a language model behind an endpoint (BayLing-Duplex section 3, FLM-Audio's transcript collection)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...chat.journal import Answer
from ...dialogue import Dialogue, Rejection, Role, Turn
from ...errors import DialogueRejected, UserError, is_of_the_machine
from ...randomness import generator
from ...recipe.file import Problem
from ..rewritten import Rewritten
from ..rules import EXCHANGES_LEFT_OUT, RulesRewriter
from ..section import LanguageModel, Rewriting
from . import answers
from .prompt import Prompt, answer_schema

if TYPE_CHECKING:
    from ...chat.client import Client

VERSION = "3"  # raise it if the same answers give other dialogues, or if the requests change

LONGEST_DIALOGUE = 100_000  # characters that are sent; a longer text is not a dialogue

_SECTION = ("rewriting", "llm")
SECTION = ".".join(_SECTION)


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
        self._prompt: Prompt | None = None
        self._mistake: str | None = None
        self._client: Client
        try:  # here and not in a worker, whose machine may lack the file
            self._prompt = Prompt.read(recipe.llm) if recipe.llm else None
        except UserError as error:
            self._mistake = str(error)

    @property
    def _llm(self) -> LanguageModel:
        if self.recipe.llm is None:
            raise UserError("rewriting.engine is llm: expected a section rewriting.llm with a url and a model")
        return self.recipe.llm

    @property
    def replies_only(self) -> bool:
        return self._llm.rewrites == "replies"

    @property
    def prompt(self) -> Prompt:
        """Raises UserError if the recipe has no usable section."""
        if self._mistake or not self._prompt:
            raise UserError(self._mistake or "rewriting.llm: expected a section with a url and a model")
        return self._prompt

    def check(self) -> list[Problem]:
        if self.recipe.llm is None:
            return [(_SECTION, "expected a section with a url and a model, as rewriting.engine is llm")]
        return [((*_SECTION, "prompt"), self._mistake)] if self._mistake else []

    def probe(self) -> list[Problem]:
        """Why the endpoint does not answer a simple question."""
        from ...chat.client import problem

        if self.check():
            return []
        reason = problem(self._llm, SECTION)
        return [(_SECTION, f"{self._llm.url} gives no answers: {reason}")] if reason else []

    def fingerprint(self) -> Mapping[str, str]:
        """Everything that changes the text. `attempts` does: it decides when a dialogue is given up. The address, the
        number of parallel requests and their time limit do not."""
        llm = self._llm
        return {
            "llm": VERSION,
            "model": llm.model,
            "rewrites": llm.rewrites,
            "prompt": self.prompt.sha256,
            "temperature": repr(llm.temperature),
            "max_tokens": str(llm.max_tokens),
            "attempts": str(llm.attempts),
            **self.rules.fingerprint(),
        }

    def load(self, scratch: Path) -> None:
        """scratch: where answers are kept; the same folder after a restart, shared by all workers."""
        self.rules.load(scratch)
        self._client = self._connect(scratch)

    def _connect(self, scratch: Path) -> "Client":
        from ...chat.client import Client

        return Client(self._llm, SECTION, scratch)

    def rewrite_all(self, dialogues: Sequence[Dialogue]) -> list[Rewritten | Rejection]:
        """See `Rewriter`. Raises UserError if the endpoint answers no request, or refuses every one."""
        return self._client.each([self._task(dialogue) for dialogue in dialogues], self._one)

    def _task(self, dialogue: Dialogue) -> _Task | Rejection:
        try:
            return self._prepare(dialogue)
        except Exception as error:
            return _rejection(dialogue, error)

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
        return _Task(shown, notes, asked, self.prompt.filled(shown, asked, self.recipe))

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
        try:
            return await self._first_usable(task)
        except Exception as error:
            return _rejection(task.dialogue, error)

    async def _first_usable(self, task: _Task) -> Rewritten:
        """The dialogue of the first usable answer. Raises DialogueRejected if there is none."""
        attempts = self._llm.attempts
        for attempt in range(attempts):
            answer = await self._answer(task, attempt)
            try:
                return self._rewritten(task, answer)
            except DialogueRejected as rejected:
                bad = rejected
        raise DialogueRejected(bad.reason, f"answers asked for: {attempts}; {bad.detail}")

    async def _answer(self, task: _Task, attempt: int) -> Answer:
        purpose = f"rewriting/llm/{attempt}"
        seed = int(generator(0, task.dialogue.id, purpose).integers(2**31))
        jitter = generator(0, task.dialogue.id, f"{purpose}/waits")
        return await self._client.ask(self._client.body(task.message, seed), answer_schema(task.asked), jitter)

    def _rewritten(self, task: _Task, answer: Answer) -> Rewritten:
        """The dialogue of an answer. Raises DialogueRejected if the answer is not usable."""
        if answer.finish_reason == "length":
            raise DialogueRejected("answer_cut_off", f"it did not end within max_tokens, {self._llm.max_tokens}")
        texts = answers.texts(answer.content, task.asked)
        shown = [turn.text for turn in task.dialogue.turns if turn.role in task.asked]
        answers.check_rewritten(texts, shown, task.dialogue.language)
        new_turns = tuple(Turn(role, text) for role, text in zip(task.asked, texts, strict=True))
        spoken = answers.spoken(replace(task.dialogue, turns=new_turns), self.rules)
        turns = spoken.dialogue.turns
        if self.replies_only:
            replies = iter(turns)
            turns = tuple(turn if turn.role == "user" else next(replies) for turn in task.dialogue.turns)
        return Rewritten(replace(task.dialogue, turns=turns), (*task.notes, *spoken.notes))


def _rejection(dialogue: Dialogue, error: Exception) -> Rejection:
    """A failure of one dialogue rejects only that dialogue; a failure of the machine is raised."""
    if isinstance(error, DialogueRejected):
        return Rejection(dialogue.id, "script", error.reason, error.detail)
    if is_of_the_machine(error):
        raise error
    return Rejection(dialogue.id, "script", "internal_error", f"{type(error).__name__}: {error}")
