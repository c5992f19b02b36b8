"""The one client of OpenAI-compatible endpoints. A request goes this way; each state is a step of `_Request`:

               the wait is over
      ┌──────────────◀──────────────┐
      ▼                             │
    TRYING ──fails, tries left──▶ WAITING
     │ │ ▲
     │ │ └────────── others are answered, rounds left ───────────┐
     │ └──fails, tries used up──▶ LOOKING: are others answered? ─┤
     ▼                                                           ├─ others are, and no round is left ──▶ REJECTED
    ANSWERED                                                     └─ none is, or can ever be ──▶ DOWN

An answer is kept in the journal, so that nothing is asked twice. REJECTED is about one request, and the others go on.
DOWN is about the endpoint: it ends the command with a message. The same command, started again, goes on from there.
"""

import asyncio
import email.utils
import json
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum, StrEnum, auto
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import numpy as np

from ..errors import DialogueRejected, UserError
from .journal import Answer, Journal, request_key
from .section import ChatModel

KEY = "OPENAI_API_KEY"
WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # before each further try of a round
FIRST_TRIES = 4  # of a round, at an address that refuses connections and has never answered
OWN_ROUNDS = 2  # of tries, after which a request that fails while others are answered is rejected
MOST_ROUNDS = 4  # likewise, if it only meets too many requests or no connection, and no other request is answered
SLOW_TRIES = 2  # of a request that gets no answer in time, before the client checks whether others do
LONGEST_WAIT_S = 600.0  # that an endpoint may ask for
LONGEST_ANSWER = 1 << 22  # bytes
PROBE_S = 20.0  # for the answer to a simple question, before any work
GOES_ON = "it goes on from here, and nothing that was answered is asked again."
LONG_KEY = 16  # characters; a shorter key may be an ordinary word of an answer

_BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_OF_THE_REQUEST = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_NO_SCHEMA = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}

Body = dict[str, Any]  # of a chat completion
Item = TypeVar("Item")
Result = TypeVar("Result")


class State(Enum):
    """State of a request; see the diagram above."""

    TRYING = auto()
    WAITING = auto()
    LOOKING = auto()
    ANSWERED = auto()
    REJECTED = auto()
    DOWN = auto()


class Trouble(StrEnum):
    """Why a request has no answer; the reason with which it is rejected."""

    AWAY = "endpoint_away"  # no connection
    TOO_MANY = "endpoint_too_many_requests"
    BUSY = "endpoint_busy"  # or broken
    SLOW = "endpoint_timeout"
    GARBAGE = "endpoint_garbage"  # not a chat completion
    REFUSED = "endpoint_refused"


_NOT_OF_THE_REQUEST = {Trouble.AWAY, Trouble.TOO_MANY}


class _Failure(Exception):
    """A request without an answer. The same request may be answered later: in `wait_s` at the earliest."""

    def __init__(self, trouble: Trouble, detail: str, wait_s: float = 0.0) -> None:
        super().__init__(f"{trouble}: {detail}")
        self.trouble = trouble
        self.detail = detail
        self.wait_s = wait_s


class Client:
    """Sends requests to /chat/completions. The endpoint's key is in OPENAI_API_KEY and is never part of a message."""

    def __init__(
        self, model: ChatModel, section: str, folder: Path | None = None, waits_s: Sequence[float] = WAITS_S
    ) -> None:
        """section: the place of `model` in a recipe, for messages. folder: of the journal; None: no answer is kept.

        waits_s: before each further try, while the endpoint is busy or away.
        Raises UserError if the key cannot be one, or the folder holds a file that cannot be read.
        """
        self.model = model
        self.waits_s = waits_s
        self.takes_schema = True
        self._section = section
        self._journal = Journal(folder) if folder else None
        self._last_answered: tuple[Body, Body | None] | None = None  # the last request with an answer, and its schema
        self._answered_at: float | None = None  # monotonic, the last answer to anything
        self._request_answered_at = -math.inf  # monotonic, the last answer to more than a simple question
        self._closed_until = 0.0  # monotonic; an endpoint with too many requests asks to wait so long
        self._key = os.environ.get(KEY, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"{KEY} holds characters that no key has. Set it to the key alone.")

    def each(self, items: Sequence[Item], ask: Callable[[Item], Awaitable[Result]]) -> list[Result]:
        """The result of `ask` for each item, in order. All items are under way at the same time.

        ask: a function that calls the method `ask` below. The first exception that it raises ends all and is raised.
        """
        if self._journal:
            self._journal.read()  # another command may have been answered meanwhile
        return asyncio.run(self._each(items, ask))

    async def ask(self, body: Body, schema: Body | None, jitter: np.random.Generator) -> Answer:
        """The answer to a request: from the journal, or from the endpoint, which is asked until it answers.

        As many requests are under way at once as the recipe allows; the others wait.

        body: see `body`. schema: its `response_format`; once the endpoint has refused one, no request has it.
        Raises UserError if the endpoint answers no request, or never can; DialogueRejected if it answers others, and
        refuses this request or fails to answer it again and again.
        """
        key = request_key(body)
        if self._journal and (earlier := self._journal.get(key)):
            self._last_answered = body, schema
            return earlier
        async with self._places:
            answer = await _Request(self, body, schema, jitter).run()
        if self._journal:
            self._journal.add(key, answer)
        return answer

    def body(self, message: str, seed: int) -> Body:
        """A request with one message, in the role of the user."""
        return {
            "model": self.model.model,
            "messages": [{"role": "user", "content": message}],
            "temperature": self.model.temperature,
            "max_tokens": self.model.max_tokens,
            "seed": seed,
        }

    async def _each(self, items: Sequence[Item], ask: Callable[[Item], Awaitable[Result]]) -> list[Result]:
        async def one(item: Item) -> Result:
            return await ask(item)

        try:
            async with self._connected(), asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(item)) for item in items]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        """Connections for as many requests as the recipe allows at once, closed at the end.

        Raises UserError if the environment allows none.
        """
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx2.Limits(max_connections=self.model.at_once)
        self._asking_whether_alive = asyncio.Lock()
        self._places = asyncio.Semaphore(self.model.at_once)
        # One time limit for the whole exchange, by asyncio: the client's own starts again with every byte.
        try:
            self._client = httpx2.AsyncClient(headers=headers, limits=limits, timeout=None)
        except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
            raise UserError(
                f"no connection to {self.model.url} can be made in this environment ({_quoted(str(error))}). Expected "
                "in ALL_PROXY, HTTP_PROXY and HTTPS_PROXY, where they are set, an address such as "
                "http://127.0.0.1:3128 (one of socks5:// needs the package socksio), and in SSL_CERT_FILE and "
                "SSL_CERT_DIR certificates. Mend or unset them where the workers run."
            ) from error
        async with self._client:
            yield

    def _most_tries(self, failure: _Failure) -> int:
        """Tries of a round, after which the client checks whether the endpoint answers at all."""
        if failure.trouble is Trouble.REFUSED:
            return 1
        if failure.trouble is Trouble.AWAY and self._answered_at is None:
            return FIRST_TRIES
        return SLOW_TRIES if failure.trouble is Trouble.SLOW else len(self.waits_s) + 1

    async def _check_alive(self, since_s: float, failure: _Failure) -> None:
        """Return if the endpoint has answered anything since `since_s` (monotonic), or answers a simple question now.

        Raises UserError if it does not.
        """
        async with self._asking_whether_alive:
            if self._answered_at is not None and self._answered_at > since_s:
                return
            if problem := await self._problem():
                raise UserError(
                    f"{self.model.url} gives no answers of {self.model.model}. To a request: {failure.detail}; then, "
                    f"to a simple question: {problem}. See that it runs and takes what {self._section} asks of it "
                    "(model, max_tokens, at_once, timeout_s), then start the same command again: " + GOES_ON
                )

    async def _check_in_time(self, since_s: float, failure: _Failure) -> None:
        """Return if a request was answered since `since_s` (monotonic), or one that was answered before is again.

        Raises UserError if not. An endpoint too slow for any request may still answer a simple question in time.
        """
        async with self._asking_whether_alive:
            if self._request_answered_at > since_s:
                return
            others = "no other has been answered"
            if self._last_answered:
                try:
                    await self._request(*self._last_answered)
                    return
                except _Failure as again:
                    others = f"then, to one that was answered before: {again.detail}"
            raise UserError(
                f"{self.model.url} does not answer in time what {self.model.model} is asked. To a request: "
                f"{failure.detail}, tries: {SLOW_TRIES}; {others}. See that it runs; expected is an answer of "
                f"{self._section}.max_tokens within timeout_s while at_once requests are under way. Raise timeout_s, "
                "or lower at_once, or max_tokens (after which every request is sent again), then start the same "
                f"command again: {GOES_ON}"
            )

    async def _connected_problem(self) -> str | None:
        async with self._connected():
            return await self._problem()

    async def _problem(self) -> str | None:
        """Why a simple question has no answer; None if it has. Raises UserError if no request can ever be answered."""
        try:
            await self._once(self.body("Answer with the word yes.", seed=0), None)
        except _Failure as failure:
            return failure.detail
        return None

    async def _request(self, body: Body, schema: Body | None) -> Answer:
        answer = await self._once(body, schema)
        self._last_answered, self._request_answered_at = (body, schema), time.monotonic()
        return answer

    def _close(self, wait_s: float) -> None:
        """Send no request for so long."""
        self._closed_until = max(self._closed_until, time.monotonic() + wait_s)

    async def _once(self, body: Body, schema: Body | None) -> Answer:
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
            trouble = Trouble.TOO_MANY if status == HTTPStatus.TOO_MANY_REQUESTS else Trouble.BUSY
            raise _Failure(trouble, words, _retry_after_s(headers.get("Retry-After")))
        if status in _OF_THE_REQUEST:
            raise _Failure(Trouble.REFUSED, words)
        raise UserError(self._why_never(status, words))

    async def _post(self, body: Body) -> tuple[int, httpx2.Headers, str]:
        url = f"{self.model.url.rstrip('/')}/chat/completions"
        content, received = json.dumps(body).encode(), bytearray()
        headers = {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(self.model.timeout_s),
                self._client.stream("POST", url, content=content, headers=headers) as response,
            ):
                async for part in response.aiter_bytes():
                    received += part
                    if len(received) > LONGEST_ANSWER:
                        raise _Failure(Trouble.GARBAGE, f"an answer of more than {LONGEST_ANSWER} bytes")
        except TimeoutError:
            raise _Failure(Trouble.SLOW, f"no answer in {self.model.timeout_s:g} s") from None
        except httpx2.ConnectError as error:
            raise _Failure(Trouble.AWAY, f"no connection ({_quoted(str(error))})") from None
        except httpx2.DecodingError as error:
            raise _Failure(Trouble.GARBAGE, _quoted(str(error))) from None
        except httpx2.RequestError as error:  # a connection that broke in the middle
            raise _Failure(Trouble.BUSY, f"{type(error).__name__} ({_quoted(str(error))})") from None
        text = received.decode("utf-8", "replace")
        # Endpoints that need no key are often given "none" or "x": in an answer these are words.
        if self._key and (response.status_code != HTTPStatus.OK or len(self._key) >= LONG_KEY):
            text = text.replace(self._key, "***")
        return response.status_code, response.headers, text

    def _why_never(self, status: int, words: str) -> str:
        if status == HTTPStatus.UNAUTHORIZED:
            has = "the key in" if self._key else "a request without a key; none is in"
            return f"{self.model.url} refuses {has} {KEY} ({words}). Set it to a valid key where the workers run."
        if status == HTTPStatus.NOT_FOUND:
            return (
                f"{self.model.url}/chat/completions does not exist, or has no model {self.model.model!r} ({words}). "
                f"Expected as {self._section}.url the address up to /chat/completions, most often ending with /v1, and "
                f"as {self._section}.model the endpoint's own name for it."
            )
        return f"{self.model.url} refuses every request ({words}). Is {self._section}.url the endpoint's address?"


class _Request:
    """One request on its way through the states."""

    def __init__(self, client: Client, body: Body, schema: Body | None, jitter: np.random.Generator) -> None:
        self.state = State.TRYING
        self._client, self._body, self._schema, self._jitter = client, body, schema, jitter
        self._rounds_alone = Counter[bool]()  # failed while others were answered; by: may it be at fault
        self._begin_round(client.waits_s)
        self._answer: Answer
        self._failure: _Failure

    async def run(self) -> Answer:
        """Raises DialogueRejected in the state REJECTED, UserError in the state DOWN."""
        steps = {State.TRYING: self._try, State.WAITING: self._wait, State.LOOKING: self._look}
        try:
            while step := steps.get(self.state):
                self.state = await step()
        except UserError:
            self.state = State.DOWN
            raise
        if self.state is State.REJECTED:
            raise DialogueRejected(self._failure.trouble.value, f"{self._failure.detail}; other requests are answered")
        return self._answer

    def _begin_round(self, waits_s: Sequence[float]) -> None:
        self._waits_s, self._tries, self._began_s = waits_s, 0, time.monotonic()

    async def _try(self) -> State:
        self._tries += 1
        try:
            self._answer = await self._client._request(self._body, self._schema)
            return State.ANSWERED
        except _Failure as failure:
            self._failure = failure
        if self._failure.wait_s > LONGEST_WAIT_S:
            raise UserError(
                f"{self._client.model.url} asks not to come back for {self._failure.wait_s:.0f} s "
                f"({self._failure.detail}). Start the same command again then: {GOES_ON}"
            )
        self._client._close(self._failure.wait_s)
        most = min(self._client._most_tries(self._failure), len(self._waits_s) + 1)
        return State.WAITING if self._tries < most else State.LOOKING

    async def _wait(self) -> State:
        wait_s = self._waits_s[self._tries - 1]
        await asyncio.sleep(max(wait_s / 2, self._failure.wait_s) + wait_s * self._jitter.random())
        return State.TRYING

    async def _look(self) -> State:
        trouble, client = self._failure.trouble, self._client
        refused, of_its_own = trouble is Trouble.REFUSED, trouble not in _NOT_OF_THE_REQUEST
        if trouble is Trouble.SLOW:
            await client._check_in_time(self._began_s, self._failure)
        else:
            since_s = time.monotonic() if of_its_own and not refused else self._began_s
            await client._check_alive(since_s, self._failure)
        # If other requests are answered, one that meets too many requests has only lost its place to them.
        if of_its_own or client._request_answered_at < self._began_s:
            self._rounds_alone[of_its_own] += 1
        if refused or self._rounds_alone[True] == OWN_ROUNDS or self._rounds_alone[False] == MOST_ROUNDS:
            return State.REJECTED
        self._begin_round(client.waits_s[:1] if of_its_own else client.waits_s)
        return State.TRYING


def problem(model: ChatModel, section: str) -> str | None:
    """Why a simple question, asked once with the recipe's settings, has no answer within PROBE_S; None if it has."""
    soon = model.model_copy(update={"timeout_s": min(model.timeout_s, PROBE_S)})
    try:
        return asyncio.run(Client(soon, section)._connected_problem())
    except UserError as error:
        return str(error)


def _answer(text: str) -> Answer:
    """The answer in a response's body. Raises _Failure if the body is not a chat completion."""
    try:
        choice = json.loads(text)["choices"][0]
        content, refusal = choice["message"].get("content"), choice["message"].get("refusal")
        finish_reason = choice.get("finish_reason")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise _Failure(Trouble.GARBAGE, f"expected a chat completion, got {_quoted(text)!r}") from None
    answer = content if isinstance(content, str) else refusal if isinstance(refusal, str) else ""
    return Answer(answer, finish_reason if isinstance(finish_reason, str) else None)


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
