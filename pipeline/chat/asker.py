"""Asks a language model of a recipe, one question per dialogue, until an answer can be used."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..dialogue import Rejection
from ..errors import DialogueRejected, UserError, is_of_the_machine
from ..randomness import generator
from ..recipe.file import Location, Problem
from .prompt import PromptFile
from .section import PromptedModel

if TYPE_CHECKING:
    from .client import Client

M = TypeVar("M", bound=PromptedModel)
P = TypeVar("P", bound=PromptFile)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked about a dialogue, and the `response_format` of the answer."""

    dialogue_id: str
    message: str
    schema: dict[str, Any]


class Asker(Generic[M, P]):
    """A model with its prompt. It is made where the command runs, and pickled to workers before `load`.

    Answers are stored in a journal, so a restart asks no question twice.
    """

    def __init__(self, location: tuple[str, str], model: M | None, needed_as: str, read: Callable[[M], P]) -> None:
        """location: of the model's section in a recipe. needed_as: the value of a recipe that needs it, for messages.

        read: reads the prompt, and raises UserError if there is none.
        """
        self._location, self._model, self._needed_as = location, model, needed_as
        self._prompt: P | None = None
        self._mistake: str | None = None
        self._client: Client
        self.waits_s: Sequence[float] | None = None  # before each further try; None: the client's own
        try:  # here and not in a worker, whose machine may lack the file
            self._prompt = read(model) if model else None
        except UserError as error:
            self._mistake = str(error)

    @property
    def section(self) -> str:
        return ".".join(self._location)

    @property
    def model(self) -> M:
        """Raises UserError if the recipe has no section of it."""
        if self._model is None:
            raise UserError(f"{self._needed_as}: expected a section {self.section} with a url and a model")
        return self._model

    @property
    def prompt(self) -> P:
        """Raises UserError if the recipe has no usable section."""
        if self._mistake or not self._prompt:
            raise UserError(self._mistake or f"{self.section}: expected a section with a url and a model")
        return self._prompt

    def check(self) -> list[Problem]:
        if self._model is None:
            return [(self._location, f"expected a section with a url and a model, as {self._needed_as}")]
        location: Location = (*self._location, "prompt")
        return [(location, self._mistake)] if self._mistake else []

    def probe(self) -> list[Problem]:
        """Why the endpoint does not answer a simple question."""
        from .client import problem

        if self.check():
            return []
        reason = problem(self.model, self.section)
        return [(self._location, f"{self.model.url} gives no answers: {reason}")] if reason else []

    def fingerprint(self) -> Mapping[str, str]:
        """Everything that changes the answers that are used. `attempts` does: it decides when a dialogue is given up.
        The address, the number of parallel requests and their time limit do not."""
        return {
            "model": self.model.model,
            "prompt": self.prompt.sha256,
            "temperature": repr(self.model.temperature),
            "max_tokens": str(self.model.max_tokens),
            "attempts": str(self.model.attempts),
        }

    def load(self, scratch: Path) -> None:
        """scratch: where answers are kept; the same folder after a restart, shared by all workers."""
        from .client import WAITS_S, Client

        self._client = Client(self.model, self.section, scratch, self.waits_s or WAITS_S)

    def each(self, items: Sequence[Item], ask: Callable[[Item], Awaitable[Result]]) -> list[Result]:
        """The result of `ask`, which calls `answered`, for each item, in order. Several are under way at once.

        Raises UserError if the endpoint answers no request, or refuses every one.
        """
        return self._client.each(items, ask)

    async def answered(self, question: Question, use: Callable[[str], Result]) -> Result:
        """What `use` makes of the first answer that it can use; it raises DialogueRejected for any other.

        Raises DialogueRejected, with the last reason, if none of `attempts` answers can be used.
        """
        attempts = self.model.attempts
        for attempt in range(attempts):
            purpose = "/".join((*self._location, str(attempt)))
            seed = int(generator(0, question.dialogue_id, purpose).integers(2**31))
            jitter = generator(0, question.dialogue_id, f"{purpose}/waits")
            answer = await self._client.ask(self._client.body(question.message, seed), question.schema, jitter)
            try:
                if answer.finish_reason == "length":
                    detail = f"it did not end within max_tokens, {self.model.max_tokens}"
                    raise DialogueRejected("answer_cut_off", detail)
                return use(answer.content)
            except DialogueRejected as rejected:
                bad = rejected
        raise DialogueRejected(bad.reason, f"answers asked for: {attempts}; {bad.detail}")


def rejection(dialogue_id: str, error: Exception) -> Rejection:
    """A failure of one dialogue rejects only that dialogue; a failure of the machine is raised."""
    if isinstance(error, DialogueRejected):
        return Rejection(dialogue_id, "script", error.reason, error.detail)
    if is_of_the_machine(error):
        raise error
    return Rejection(dialogue_id, "script", "internal_error", f"{type(error).__name__}: {error}")
