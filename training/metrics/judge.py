"""A language model that judges what is said: S2S score, 1 to 5 (BayLing-Duplex section 4.2)."""

import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead

KEY = "OPENAI_API_KEY"
TIMEOUT_S = 60.0
LONGEST_ANSWER = 1 << 22  # bytes
BUSY = {HTTPStatus.TOO_MANY_REQUESTS, *(status for status in HTTPStatus if status >= HTTPStatus.INTERNAL_SERVER_ERROR)}

# The paper names the criteria; the words are ours.
PROMPT = """\
Below is what a user asked a voice assistant, and a transcript of what the assistant said.
Rate the reply from 1 to 5, considering its helpfulness, its relevance, its fluency and how suitable it is for spoken
interaction. 1: no answer, or of no use. 3: an answer with clear faults. 5: a good answer that one would say like this.
Reply with the number alone.

User: {question}
Assistant: {reply}"""


@dataclass(frozen=True)
class Verdict:
    """A score, or why there is none."""

    score: int | None
    problem: str | None = None


@dataclass(frozen=True)
class Judge:
    """An OpenAI-compatible endpoint. Its key, if it wants one, is in the environment: OPENAI_API_KEY."""

    url: str  # up to and without /chat/completions
    model: str
    waits_s: Sequence[float] = (1.0, 4.0, 16.0)  # before each further attempt, where the endpoint is busy or failing

    def score(self, question: str, reply: str) -> Verdict:
        """Judge one reply; an endpoint that fails, or says something that is no score, gives a Verdict that says so."""
        if not reply.strip():
            return Verdict(1)
        body = json.dumps(
            {
                "model": self.model,
                "messages": [{"role": "user", "content": PROMPT.format(question=question, reply=reply)}],
                "temperature": 0,
            }
        ).encode()
        for wait_s in (*self.waits_s, None):
            try:
                return _verdict(self._post(body))
            except urllib.error.HTTPError as error:
                problem, passing = f"HTTP {error.code}", error.code in BUSY
            except (OSError, HTTPException, ValueError) as error:  # no connection, half an answer, no JSON
                problem, passing = f"{type(error).__name__}: {error}", not isinstance(error, ValueError)
            if wait_s is None or not passing:
                break
            time.sleep(wait_s)
        return Verdict(None, problem)

    def _post(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", body, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            content: bytes = response.read(LONGEST_ANSWER + 1)
        if len(content) > LONGEST_ANSWER:
            raise ValueError(f"an answer of more than {LONGEST_ANSWER:,} bytes")
        if response.length:  # of what was announced and did not come
            raise IncompleteRead(content, response.length)
        return content.decode("utf-8")


def _verdict(answer: str) -> Verdict:
    """Raises ValueError if the answer is no JSON."""
    try:
        parsed = json.loads(answer)
    except RecursionError:
        raise ValueError("an answer that is nested too deep") from None
    try:
        said = parsed["choices"][0]["message"]["content"]
        found = re.fullmatch(r"\D*([1-5])(?:\s*/\s*5)?\D*", said)
    except (KeyError, IndexError, TypeError):
        return Verdict(None, f"no answer of a chat: {answer[:200]}")
    if not found:
        return Verdict(None, f"no score from 1 to 5: {said[:200]}")
    return Verdict(int(found[1]))
