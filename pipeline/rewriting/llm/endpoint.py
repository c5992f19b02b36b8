"""An OpenAI-compatible endpoint: one request until it is answered, refused or given up, and whose fault that is."""

import asyncio
import email.utils
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import httpx2
import numpy as np

from pipeline.errors import UserError
from pipeline.recipe import LanguageModel
from pipeline.rewriting.llm.answers import NoAnswer
from pipeline.rewriting.llm.journal import Answer

KEY = "OPENAI_API_KEY"
FIRST_TRIES = 4  # for an endpoint at whose address nobody has ever listened
LONGEST_WAIT_S = 600.0  # that an endpoint may ask for
LONGEST_ANSWER = 1 << 22  # bytes
LONG_KEY = 16  # characters that no word of an answer has by chance

_BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_OF_THE_REQUEST = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_NO_SCHEMA = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}


class _Busy(Exception):
    """The endpoint may answer the same request later: in `wait_s` at the earliest, if it says so."""

    def __init__(self, detail: str, wait_s: float = 0.0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.wait_s = wait_s


class Endpoint:
    """Speaks /chat/completions. Its key, if it wants one, is in OPENAI_API_KEY and is never part of a message."""

    def __init__(self, llm: LanguageModel, waits_s: Sequence[float]) -> None:
        """waits_s: before each further try, while the endpoint is busy or away. Raises UserError if the key is none."""
        self.llm = llm
        self.waits_s = waits_s
        self.takes_schema = True
        self._answered_at: float | None = None  # monotonic, the last answer to anything
        self._closed_until = 0.0  # monotonic, as an endpoint with too many requests asked
        self._key = os.environ.get(KEY, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"{KEY} holds characters that no key has. Set it to the key alone.")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connections for as many requests as the recipe allows at once, closed at the end."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx2.Limits(max_connections=self.llm.at_once)
        self._asking_whether_alive = asyncio.Lock()
        # One time limit for the whole exchange, by asyncio: the client's own would start anew with every byte.
        async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=None) as self._client:
            yield

    async def ask(self, body: dict[str, Any], schema: dict[str, Any] | None, jitter: np.random.Generator) -> Answer:
        """The answer to a request, asked again with growing waits while the endpoint is busy or away.

        body: of a chat completion. schema: its `response_format`, left out for good where the endpoint refuses it.
        Raises NoAnswer, and UserError where no request can ever be answered.
        """
        for tried, wait_s in enumerate((*self.waits_s, None), 1):
            await self._opened()
            try:
                return await self._once(body, schema)
            except httpx2.ConnectError as error:
                busy, give_up = _Busy(f"no connection ({_quoted(str(error))})"), self._never_heard(tried)
            except _Busy as error:
                busy, give_up = error, error.wait_s > LONGEST_WAIT_S
            if wait_s is None or give_up:
                raise NoAnswer("endpoint_busy", f"asked {tried} times, the last time: {busy.detail}", again=True)
            self._closed_until = max(self._closed_until, time.monotonic() + busy.wait_s)
            await asyncio.sleep(max(wait_s / 2, busy.wait_s) + wait_s * jitter.random())
        raise AssertionError("the last try returns or raises")

    async def check_alive(self, since_s: float, failure: NoAnswer) -> None:
        """Return if the endpoint answers others, so that a failure since `since_s` (monotonic) is its dialogue's own.

        Where nobody was answered meanwhile, it is asked something easy; raises UserError if there is no answer to that.
        """
        async with self._asking_whether_alive:
            if self._answered_at is not None and self._answered_at > since_s:
                return
            if problem := await self.problem():
                raise UserError(
                    f"{self.llm.url} gives no answers to {self.llm.model}. To a dialogue: {failure.detail}; then, to a "
                    f"simple question: {problem}. See that it runs and takes what rewriting.llm asks of it (model, "
                    "max_tokens, at_once, timeout_s), then start the same command again; what was answered is kept."
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
        except (NoAnswer, _Busy) as error:
            return error.detail
        except httpx2.ConnectError as error:
            return f"no connection ({_quoted(str(error))})"
        return None

    async def _once(self, body: dict[str, Any], schema: dict[str, Any] | None) -> Answer:
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
            raise _Busy(words, _retry_after_s(headers.get("Retry-After")))
        if status in _OF_THE_REQUEST:
            raise NoAnswer("endpoint_refused", words, again=False)
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
                        raise NoAnswer("endpoint_garbage", f"an answer of more than {LONGEST_ANSWER} bytes", again=True)
        except TimeoutError:
            raise NoAnswer("endpoint_timeout", f"no answer in {self.llm.timeout_s:g} s", again=True) from None
        except httpx2.ConnectError:
            raise
        except httpx2.DecodingError as error:
            raise NoAnswer("endpoint_garbage", _quoted(str(error)), again=True) from None
        except httpx2.RequestError as error:  # a connection that broke in the middle
            raise _Busy(f"{type(error).__name__} ({_quoted(str(error))})") from None
        text = received.decode("utf-8", "replace")
        # "none" and "x" are keys of endpoints that want none: in an answer they are words.
        if self._key and (response.status_code != HTTPStatus.OK or len(self._key) >= LONG_KEY):
            text = text.replace(self._key, "***")
        return response.status_code, response.headers, text

    async def _opened(self) -> None:
        while (wait_s := self._closed_until - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)

    def _never_heard(self, tried: int) -> bool:
        return self._answered_at is None and tried >= FIRST_TRIES

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
    """Raises NoAnswer if a body is no chat completion."""
    try:
        choice = json.loads(text)["choices"][0]
        content, refusal = choice["message"].get("content"), choice["message"].get("refusal")
        finish_reason = choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise NoAnswer("endpoint_garbage", f"expected a chat completion, got {_quoted(text)!r}", again=True) from None
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
