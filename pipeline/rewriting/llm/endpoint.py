"""An OpenAI-compatible endpoint: one request until it is answered, or it is known whose fault it is that it is not."""

import asyncio
import email.utils
import json
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx2
import numpy as np

from ...errors import DialogueRejected, UserError
from ..section import LanguageModel
from .journal import Answer

KEY = "OPENAI_API_KEY"
FIRST_TRIES = 4  # for an endpoint at whose address nobody has ever listened
OWN_ROUNDS = 2  # of tries that a request fails in a way of its own while others are answered
MOST_ROUNDS = 4  # that it is told to come back, or finds nobody, while something easy is answered and no dialogue is
SLOW_TRIES = 2  # of a request that runs out of time, before somebody looks whether others are answered in time
LONGEST_WAIT_S = 600.0  # that an endpoint may ask for
LONGEST_ANSWER = 1 << 22  # bytes
GOES_ON = "it goes on from here, and nothing that was answered is asked again."
LONG_KEY = 16  # characters that no word of an answer has by chance

_BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_OF_THE_REQUEST = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_NO_SCHEMA = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}


_AWAY, _TOO_MANY, _BUSY_OR_BROKEN = "endpoint_away", "endpoint_too_many_requests", "endpoint_busy"
_SLOW, _GARBAGE, _REFUSED = "endpoint_timeout", "endpoint_garbage", "endpoint_refused"
_NOT_OF_THE_REQUEST = {_AWAY, _TOO_MANY}


class _Failure(Exception):
    """A request without an answer. The same request may be answered later: in `wait_s` at the earliest."""

    def __init__(self, reason: str, detail: str, wait_s: float = 0.0) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.wait_s = wait_s


class Endpoint:
    """Speaks /chat/completions. Its key, if it wants one, is in OPENAI_API_KEY and is never part of a message."""

    def __init__(self, llm: LanguageModel, waits_s: Sequence[float]) -> None:
        """waits_s: before each further try, while the endpoint is busy or away. Raises UserError if the key is none."""
        self.llm = llm
        self.waits_s = waits_s
        self.takes_schema = True
        self.answered: tuple[dict[str, Any], dict[str, Any] | None] | None = None  # a request that once was, its schema
        self._answered_at: float | None = None  # monotonic, the last answer to anything
        self._dialogue_answered_at = -math.inf  # monotonic, the last answer to more than something easy
        self._closed_until = 0.0  # monotonic, as an endpoint with too many requests asked
        self._key = os.environ.get(KEY, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"{KEY} holds characters that no key has. Set it to the key alone.")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connections for as many requests as the recipe allows at once, closed at the end.

        Raises UserError if the environment allows none.
        """
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx2.Limits(max_connections=self.llm.at_once)
        self._asking_whether_alive = asyncio.Lock()
        self._places = asyncio.Semaphore(self.llm.at_once)
        # One time limit for the whole exchange, by asyncio: the client's own would start anew with every byte.
        try:
            self._client = httpx2.AsyncClient(headers=headers, limits=limits, timeout=None)
        except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
            raise UserError(
                f"no connection to {self.llm.url} can be made in this environment ({_quoted(str(error))}). Expected in "
                "ALL_PROXY, HTTP_PROXY and HTTPS_PROXY, where they are set, an address such as http://127.0.0.1:3128 "
                "(one of socks5:// needs the package socksio), and in SSL_CERT_FILE and SSL_CERT_DIR certificates. "
                "Mend or unset them where the workers run."
            ) from error
        async with self._client:
            yield

    async def ask(self, body: dict[str, Any], schema: dict[str, Any] | None, jitter: np.random.Generator) -> Answer:
        """The answer to a request, asked again with growing waits while the endpoint is away, busy, slow or broken.

        As many at once as the recipe allows; the others wait.

        body: of a chat completion. schema: its `response_format`, left out for good where the endpoint refuses it.
        Raises UserError once the endpoint answers nobody, or can never answer; DialogueRejected if it refuses this
        request, or fails again and again to answer it, and answers others.
        """
        async with self._places:
            return await self._asked(body, schema, jitter)

    async def _asked(self, body: dict[str, Any], schema: dict[str, Any] | None, jitter: np.random.Generator) -> Answer:
        waits_s = self.waits_s
        alone = Counter[bool]()  # rounds of tries that failed while others were answered: by what may be its own fault
        while True:
            began_s = time.monotonic()
            try:
                return await self._tried(body, schema, waits_s, jitter)
            except _Failure as error:
                failure = error
            refused, of_its_own = failure.reason == _REFUSED, failure.reason not in _NOT_OF_THE_REQUEST
            if failure.reason == _SLOW:
                await self._check_in_time(began_s, failure)
            else:
                await self._check_alive(time.monotonic() if of_its_own and not refused else began_s, failure)
            # Where dialogues are answered, who is told to come back has only lost its place to another one.
            if of_its_own or self._dialogue_answered_at < began_s:
                alone[of_its_own] += 1
            if refused or alone[True] == OWN_ROUNDS or alone[False] == MOST_ROUNDS:
                raise DialogueRejected(failure.reason, f"{failure.detail}; other requests are answered")
            waits_s = self.waits_s[:1] if of_its_own else self.waits_s

    async def _tried(
        self, body: dict[str, Any], schema: dict[str, Any] | None, waits_s: Sequence[float], jitter: np.random.Generator
    ) -> Answer:
        for tried, wait_s in enumerate((*waits_s, None), 1):
            try:
                return await self._dialogue(body, schema)
            except _Failure as failure:
                if failure.wait_s > LONGEST_WAIT_S:
                    raise UserError(
                        f"{self.llm.url} asks not to come back for {failure.wait_s:.0f} s ({failure.detail}). Start "
                        f"the same command again then: {GOES_ON}"
                    ) from None
                self._closed_until = max(self._closed_until, time.monotonic() + failure.wait_s)
                if wait_s is None or tried >= self._most_tries(failure):
                    raise
                await asyncio.sleep(max(wait_s / 2, failure.wait_s) + wait_s * jitter.random())
        raise AssertionError("the last try returns or raises")

    def _most_tries(self, failure: _Failure) -> int:
        """After which somebody looks whether the endpoint answers anybody."""
        if failure.reason == _REFUSED:
            return 1
        if failure.reason == _AWAY and self._answered_at is None:
            return FIRST_TRIES
        return SLOW_TRIES if failure.reason == _SLOW else len(self.waits_s) + 1

    async def _check_alive(self, since_s: float, failure: _Failure) -> None:
        """Return if the endpoint has answered anything since `since_s` (monotonic), or answers something easy now.

        Raises UserError if it does not.
        """
        async with self._asking_whether_alive:
            if self._answered_at is not None and self._answered_at > since_s:
                return
            if problem := await self.problem():
                raise UserError(
                    f"{self.llm.url} gives no answers to {self.llm.model}. To a dialogue: {failure.detail}; then, to a "
                    f"simple question: {problem}. See that it runs and takes what rewriting.llm asks of it (model, "
                    f"max_tokens, at_once, timeout_s), then start the same command again: {GOES_ON}"
                )

    async def _check_in_time(self, since_s: float, failure: _Failure) -> None:
        """Return if a dialogue was answered since `since_s` (monotonic), or one that was answered before is so again.

        Raises UserError if not. An endpoint that is too slow for every dialogue may well answer something easy in time.
        """
        async with self._asking_whether_alive:
            if self._dialogue_answered_at > since_s:
                return
            others = "no other has been answered"
            if self.answered:
                try:
                    await self._dialogue(*self.answered)
                    return
                except _Failure as again:
                    others = f"then, to one that was answered before: {again.detail}"
            raise UserError(
                f"{self.llm.url} does not answer in time what {self.llm.model} is asked to rewrite. To a dialogue: "
                f"{failure.detail}, tries: {SLOW_TRIES}; {others}. See that it runs; expected is an answer of "
                "rewriting.llm.max_tokens within timeout_s while at_once requests are under way. Raise timeout_s, or "
                "lower at_once, or max_tokens (which asks for all of them anew), then start the same command again: "
                f"{GOES_ON}"
            )

    async def problem(self) -> str | None:
        """Why something easy, asked once with the recipe's settings, is not answered; None if it is.

        Raises UserError where no request can ever be answered.
        """
        easy = {
            "model": self.llm.model,
            "messages": [{"role": "user", "content": "Answer with the word yes."}],
            "temperature": self.llm.temperature,
            "max_tokens": self.llm.max_tokens,
            "seed": 0,
        }
        try:
            await self._once(easy, None)
        except _Failure as failure:
            return failure.detail
        return None

    async def _dialogue(self, body: dict[str, Any], schema: dict[str, Any] | None) -> Answer:
        answer = await self._once(body, schema)
        self.answered, self._dialogue_answered_at = (body, schema), time.monotonic()
        return answer

    async def _once(self, body: dict[str, Any], schema: dict[str, Any] | None) -> Answer:
        while (wait_s := self._closed_until - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        with_schema = schema is not None and self.takes_schema
        status, headers, text = await self._post(body | {"response_format": schema} if with_schema else body)
        if with_schema and status in _NO_SCHEMA:
            status, headers, text = await self._post(body)
            if status == HTTPStatus.OK:
                self.takes_schema = False
        if status == HTTPStatus.OK:
            answer = _answer(text)
            self._answered_at = time.monotonic()
            return answer
        words = f"HTTP {status}: {_quoted(text)}"
        if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            reason = _TOO_MANY if status == HTTPStatus.TOO_MANY_REQUESTS else _BUSY_OR_BROKEN
            raise _Failure(reason, words, _retry_after_s(headers.get("Retry-After")))
        if status in _OF_THE_REQUEST:
            raise _Failure(_REFUSED, words)
        raise UserError(self._why_never(status, words))

    async def _post(self, body: dict[str, Any]) -> tuple[int, httpx2.Headers, str]:
        url = f"{self.llm.url.rstrip('/')}/chat/completions"
        content, received = json.dumps(body).encode(), bytearray()
        headers = {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(self.llm.timeout_s),
                self._client.stream("POST", url, content=content, headers=headers) as response,
            ):
                async for part in response.aiter_bytes():
                    received += part
                    if len(received) > LONGEST_ANSWER:
                        raise _Failure(_GARBAGE, f"an answer of more than {LONGEST_ANSWER} bytes")
        except TimeoutError:
            raise _Failure(_SLOW, f"no answer in {self.llm.timeout_s:g} s") from None
        except httpx2.ConnectError as error:
            raise _Failure(_AWAY, f"no connection ({_quoted(str(error))})") from None
        except httpx2.DecodingError as error:
            raise _Failure(_GARBAGE, _quoted(str(error))) from None
        except httpx2.RequestError as error:  # a connection that broke in the middle
            raise _Failure(_BUSY_OR_BROKEN, f"{type(error).__name__} ({_quoted(str(error))})") from None
        text = received.decode("utf-8", "replace")
        # "none" and "x" are keys of endpoints that want none: in an answer they are words.
        if self._key and (response.status_code != HTTPStatus.OK or len(self._key) >= LONG_KEY):
            text = text.replace(self._key, "***")
        return response.status_code, response.headers, text

    def _why_never(self, status: int, words: str) -> str:
        if status == HTTPStatus.UNAUTHORIZED:
            has = "the key in" if self._key else "a request without a key; none is in"
            return f"{self.llm.url} refuses {has} {KEY} ({words}). Set it to a valid key where the workers run."
        if status == HTTPStatus.NOT_FOUND:
            return (
                f"{self.llm.url}/chat/completions is no such path, or has no model {self.llm.model!r} ({words}). "
                "Expected as rewriting.llm.url the address up to /chat/completions, most often ending with /v1, and as "
                "rewriting.llm.model the endpoint's own name for it."
            )
        return f"{self.llm.url} refuses every request ({words}). See that rewriting.llm.url is the endpoint's address."


def _answer(text: str) -> Answer:
    """Raises _Failure if a body is no chat completion."""
    try:
        choice = json.loads(text)["choices"][0]
        content, refusal = choice["message"].get("content"), choice["message"].get("refusal")
        finish_reason = choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise _Failure(_GARBAGE, f"expected a chat completion, got {_quoted(text)!r}") from None
    said = content if isinstance(content, str) else refusal if isinstance(refusal, str) else ""
    return Answer(said, finish_reason if isinstance(finish_reason, str) else None)


def _retry_after_s(header: str | None) -> float:
    """Seconds of a Retry-After header, which is a number of them or a date; 0 where it is neither."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0


def _quoted(text: str) -> str:
    """What another machine wrote, short and without control characters."""
    printable = "".join(character if character.isprintable() else " " for character in text[:1000])
    return " ".join(printable.split())[:200] or "nothing"
