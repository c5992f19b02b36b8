"""A language model that rates replies on a scale, such as the S2S score, 1 to 5 (BayLing-Duplex section 4.2)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from ...pipeline.chat.client import WAITS_S, Client, problem
from ...pipeline.errors import DialogueRejected, UserError
from ...pipeline.randomness import generator
from .recipe import JudgeModel

SECTION = "judge"

# The paper names the criteria; the words are ours.
PROMPT = """\
Below is what a user asked a voice assistant, and a transcript of what the assistant said.
Rate the reply from 1 to 5, considering its helpfulness, its relevance, its fluency and how suitable it is for spoken
interaction. 1: no answer, or of no use. 3: an answer with clear faults. 5: a good answer that one would say like this.
Reply with the number alone.

User: {question}
Assistant: {reply}"""


@dataclass(frozen=True)
class Scale:
    """What a judge is asked, and the whole numbers that it may answer."""

    prompt: str  # with {question} and {reply}, and with {context} if that counts
    lowest: int
    highest: int


S2S = Scale(PROMPT, 1, 5)


@dataclass(frozen=True)
class Reply:
    """A reply to rate."""

    dialogue_id: str
    question: str
    text: str  # "": the assistant says nothing
    context: str = ""  # what the user said before the question


@dataclass(frozen=True)
class Verdict:
    """A score, or the reason why there is none."""

    score: int | None
    problem: str | None = None


class Judge:
    """Asks for scores, and stores the answers in `folder`: an evaluation that is started again asks nothing twice."""

    def __init__(self, model: JudgeModel, folder: Path, waits_s: Sequence[float] = WAITS_S, scale: Scale = S2S) -> None:
        """Raises UserError if OPENAI_API_KEY holds no usable key, or if a file of the folder cannot be read."""
        self._model, self._scale = model, scale
        self._client = Client(model, SECTION, folder, waits_s)

    def check(self) -> None:
        """Raise UserError if the endpoint does not answer an easy question."""
        if why := problem(self._model, SECTION):
            raise UserError(f"{self._model.url} gives no answers: {why}")

    def verdicts(self, replies: Sequence[Reply], report: Callable[[int], None]) -> list[Verdict]:
        """One per reply, in order. A reply that the endpoint refuses, or gives no score for, has a problem instead.

        report: called with the number of replies done. Raises UserError if the endpoint stops answering.
        """
        done = count(1)
        return self._client.each(replies, partial(self._judged, report=lambda: report(next(done))))

    async def _judged(self, reply: Reply, report: Callable[[], None]) -> Verdict:
        try:
            return await self._verdict(reply)
        except DialogueRejected as rejected:
            return Verdict(None, f"{rejected.reason}: {rejected.detail}")
        finally:
            report()

    async def _verdict(self, reply: Reply) -> Verdict:
        """The first answer that is a score; the recipe says how often to ask."""
        if not reply.text.strip():
            return Verdict(self._scale.lowest)
        message = self._scale.prompt.format(question=reply.question, reply=reply.text, context=reply.context)
        for attempt in range(self._model.attempts):
            jitter = generator(0, reply.dialogue_id, f"judge/{attempt}/waits")
            answer = await self._client.ask(self._client.body(message, seed=attempt), None, jitter)
            if (score := score_of(answer.content, self._scale)) is not None:
                return Verdict(score)
        lowest, highest = self._scale.lowest, self._scale.highest
        return Verdict(None, f"no score from {lowest} to {highest}: {answer.content[:200]!r}")


def score_of(answer: str, scale: Scale = S2S) -> int | None:
    """The only number in an answer, if it is one digit on the scale; `4/5` is 4."""
    match = re.fullmatch(rf"\D*([{scale.lowest}-{scale.highest}])(?:\s*/\s*{scale.highest})?\D*", answer)
    return int(match[1]) if match else None
