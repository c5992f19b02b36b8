"""Rewriting by a language model behind an endpoint (BayLing-Duplex section 3, FLM-Audio's transcript collection)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from ...dialogue import Dialogue, Rejection, Role, Turn
from ...errors import DialogueRejected, UserError, is_of_the_machine
from ...randomness import generator
from ...recipe.file import Problem
from ..rewritten import Rewritten
from ..rules import EXCHANGES_LEFT_OUT, RulesRewriter
from ..section import LanguageModel, Rewriting
from . import answers
from .journal import Answer, Journal, request_key
from .prompt import Prompt, answer_schema

if TYPE_CHECKING:
    from .endpoint import Endpoint

VERSION = "2"  # raise it if the same answers give other dialogues, or if the requests change

WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # before each further try, while the endpoint is busy or away
PROBE_S = 20.0  # for an answer to an easy question, before a build
LONGEST_DIALOGUE = 100_000  # characters that are sent; no model follows a longer text

_SECTION = ("rewriting", "llm")


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
    waits_s: ClassVar[Sequence[float]] = WAITS_S

    def __init__(self, recipe: Rewriting) -> None:
        self.recipe = recipe
        self.rules = RulesRewriter(recipe)
        self._prompt: Prompt | None = None
        self._mistake: str | None = None
        self._endpoint: Endpoint
        self._journal: Journal
        try:  # here and not in the worker, whose machine may lack the file
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
        found: list[Problem] = []
        if problem := _wrong_with(self.recipe.llm.url):
            found.append(((*_SECTION, "url"), problem))
        if self._mistake:
            found.append(((*_SECTION, "prompt"), self._mistake))
        return found

    def probe(self) -> list[Problem]:
        """What is wrong with the endpoint, after asking it an easy question."""
        from .endpoint import Endpoint

        if self.check():
            return []
        soon = self._llm.model_copy(update={"timeout_s": min(self._llm.timeout_s, PROBE_S)})
        try:
            problem = asyncio.run(_problem(Endpoint(soon, ())))
        except UserError as error:
            problem = str(error)
        return [(_SECTION, f"{self._llm.url} gives no answers: {problem}")] if problem else []

    def fingerprint(self) -> Mapping[str, str]:
        """Everything that changes the text. `attempts` does: it decides which dialogues are given up. The address, the
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
        from .endpoint import Endpoint

        self.rules.load(scratch)
        self._journal = Journal(scratch)
        self._endpoint = Endpoint(self._llm, self.waits_s)

    def rewrite_all(self, dialogues: Sequence[Dialogue]) -> list[Rewritten | Rejection]:
        """Raises UserError if the endpoint answers no request, or refuses every one."""
        self._journal.read()  # another build over the same dialogues may have got answers meanwhile
        return asyncio.run(self._all([self._task(dialogue) for dialogue in dialogues]))

    async def _all(self, tasks: Sequence[_Task | Rejection]) -> list[Rewritten | Rejection]:
        try:
            async with self._endpoint.connected(), asyncio.TaskGroup() as group:
                running = [group.create_task(self._one(task)) for task in tasks]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [done.result() for done in running]

    def _task(self, dialogue: Dialogue) -> _Task | Rejection:
        try:
            return self._prepared(dialogue)
        except Exception as error:
            return _rejection(dialogue, error)

    def _prepared(self, dialogue: Dialogue) -> _Task:
        turns = dialogue.turns[: 2 * self.recipe.max_exchanges]
        notes = (EXCHANGES_LEFT_OUT,) * (len(turns) < len(dialogue.turns))
        if self.replies_only:
            turns = tuple(self._kept(dialogue, number, turn) for number, turn in enumerate(turns, 1))
        if (length := sum(len(turn.text) for turn in turns)) > LONGEST_DIALOGUE:
            raise DialogueRejected("dialogue_too_long", f"{length} characters, {LONGEST_DIALOGUE} are allowed")
        shown = replace(dialogue, turns=turns)
        asked = tuple(turn.role for turn in turns if turn.role == "assistant" or not self.replies_only)
        return _Task(shown, notes, asked, self.prompt.filled(shown, asked, self.recipe))

    def _kept(self, dialogue: Dialogue, number: int, turn: Turn) -> Turn:
        """A turn as the model gets it: the user's after the rules, the assistant's as it is written."""
        if turn.role == "assistant":
            return turn
        alone = replace(dialogue, turns=(turn,))
        try:
            return self.rules.rewrite(alone).dialogue.turns[0]
        except DialogueRejected as rejected:
            detail = rejected.detail.removeprefix("turn 1 (user): ")
            raise DialogueRejected(rejected.reason, f"turn {number} (user): {detail}") from None

    def _body(self, task: _Task, attempt: int) -> dict[str, Any]:
        random = generator(0, task.dialogue.id, f"rewriting/llm/{attempt}")
        return {
            "model": self._llm.model,
            "messages": [{"role": "user", "content": task.message}],
            "temperature": self._llm.temperature,
            "max_tokens": self._llm.max_tokens,
            "seed": int(random.integers(2**31)),
        }

    async def _one(self, task: _Task | Rejection) -> Rewritten | Rejection:
        if isinstance(task, Rejection):
            return task
        try:
            return await self._answered(task)
        except Exception as error:
            return _rejection(task.dialogue, error)

    async def _answered(self, task: _Task) -> Rewritten:
        """The first usable answer. Raises DialogueRejected if there is none."""
        attempts = self._llm.attempts
        for attempt in range(attempts):
            answer = await self._answer(task, attempt)
            try:
                return self._taken(task, answer)
            except DialogueRejected as rejected:
                bad = rejected
        raise DialogueRejected(bad.reason, f"answers asked for: {attempts}; {bad.detail}")

    async def _answer(self, task: _Task, attempt: int) -> Answer:
        body, schema = self._body(task, attempt), answer_schema(task.asked)
        key = request_key(body)
        if answer := self._journal.get(key):
            self._endpoint.answered = body, schema
            return answer
        jitter = generator(0, task.dialogue.id, f"rewriting/llm/{attempt}/waits")
        answer = await self._endpoint.ask(body, schema, jitter)
        self._journal.add(key, answer)
        return answer

    def _taken(self, task: _Task, answer: Answer) -> Rewritten:
        """The dialogue of an answer. Raises DialogueRejected if the answer is not usable."""
        if answer.finish_reason == "length":
            raise DialogueRejected("answer_cut_off", f"it did not end within max_tokens, {self._llm.max_tokens}")
        texts = answers.texts(answer.content, task.asked)
        shown = [turn.text for turn in task.dialogue.turns if turn.role in task.asked]
        answers.check_rewritten(texts, shown, task.dialogue.language)
        given = tuple(Turn(role, text) for role, text in zip(task.asked, texts, strict=True))
        spoken = answers.spoken(replace(task.dialogue, turns=given), self.rules)
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


async def _problem(endpoint: "Endpoint") -> str | None:
    async with endpoint.connected():
        return await endpoint.problem()


def _wrong_with(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises if it is no number
    except ValueError as error:
        return f"{error}: {url!r}"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f"expected an address such as http://127.0.0.1:8000/v1, got {url!r}"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "expected only an address; a key belongs in OPENAI_API_KEY"
    if parts.path.rstrip("/").endswith("/chat/completions"):
        return f"expected the address up to and without /chat/completions, got {url!r}"
    return None
