"""Events by a language model behind an endpoint. What happens is drawn as by rule; the model writes what is said."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from ...chat.asker import Asker, Question, rejection
from ...chat.section import PromptedModel
from ...dialogue import Rejection
from ...recipe.file import Problem
from ...rewriting.rewritten import Rewritten
from ...rewriting.rules import RulesRewriter
from ...rewriting.section import Rewriting
from ..drawing import Drawn, draw
from ..section import Events
from ..writing import shape, woven
from . import answers
from .prompt import Prompt, answer_schema

VERSION = "1"  # raise it if the same answers give other events, or if the requests change


class LLMWriter:
    """Asks once per dialogue, and not at all where nothing happens.

    An interruption fits what is said before and after it: the user's turn leads to the reply that follows in the
    dialogue. The model also says after which words it comes. The result depends only on the dialogue, the recipe and
    the model's answers, which are stored in a journal.
    """

    max_actors: ClassVar[int | None] = 1  # `at_once` bounds what the endpoint is asked by all of them

    def __init__(self, spec: Events, limits: Rewriting, seed: int) -> None:
        self.spec, self.limits, self.seed = spec, limits, seed
        self.asker: Asker[PromptedModel, Prompt] = Asker(
            ("events", "llm"), spec.llm, "events.texts is llm", Prompt.read
        )

    def check(self) -> list[Problem]:
        problems = self.asker.check()
        if self.spec.phrases != "train":
            why = "changes nothing, as events.texts is llm. Remove it; if an extended recipe says it, write train"
            problems.append((("events", "phrases"), why))
        return problems

    def probe(self) -> list[Problem]:
        return self.asker.probe()

    def shaped_by(self) -> dict[str, Any]:
        fingerprint = {"llm": VERSION, **self.asker.fingerprint(), **RulesRewriter.fingerprint()}
        return {**shape(self.spec, self.seed), "event_writer": fingerprint}

    def load(self, scratch: Path) -> None:
        self.asker.load(scratch)

    def write_all(self, dialogues: Sequence[Rewritten]) -> list[Rewritten | Rejection]:
        """See `EventWriter`. Raises UserError if the endpoint answers no request, or refuses every one."""
        return self.asker.each(dialogues, self._one)

    async def _one(self, written: Rewritten) -> Rewritten | Rejection:
        dialogue = written.dialogue
        try:
            events = tuple(draw(self.spec, self.seed, dialogue))
            if not events:
                return written
            message = self.asker.prompt.filled(dialogue, events, self.limits)
            question = Question(dialogue.id, message, answer_schema(events))
            return await self.asker.answered(question, lambda content: self._written(written, events, content))
        except Exception as error:
            return rejection(dialogue.id, error)

    def _written(self, written: Rewritten, events: Sequence[Drawn], content: str) -> Rewritten:
        """The dialogue with the events of an answer. Raises DialogueRejected if the answer is not usable."""
        said, notes = answers.said(content, written.dialogue, events, self.limits)
        dialogue = woven(written.dialogue, list(zip(events, said, strict=True)))
        return replace(written, dialogue=dialogue, notes=(*written.notes, *notes))
