"""A client, and an endpoint that answers it as a test tells."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.chat.client import Client
from duplexgen.pipeline.chat.journal import Answer
from duplexgen.pipeline.chat.section import ChatModel
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.randomness import generator
from tests.serving import Endpoint, Said, chat, serving

WAITS_S = (0.01, 0.01, 0.02, 0.02)
SCHEMA = {"type": "json_schema", "json_schema": {"name": "yes", "schema": {"type": "object"}}}


def message(body: dict[str, Any]) -> str:
    """What a request asks."""
    return str(body["messages"][0]["content"])


def is_simple_question(body: dict[str, Any]) -> bool:
    return not message(body).startswith("Is it ")


def well(body: dict[str, Any]) -> Said:
    """Answers at once."""
    return chat("Yes." if is_simple_question(body) else f"It is: {message(body)}")


def some(count: int) -> list[str]:
    return [f"d{number}" for number in range(count)]


class Asking(Client):
    """Asks about names, and gives what becomes of each."""

    def all(self, names: Sequence[str]) -> list[Answer | DialogueRejected]:
        return self.each(names, self._about)

    async def _about(self, name: str) -> Answer | DialogueRejected:
        try:
            return await self.ask(self.body(f"Is it {name}?", seed=7), SCHEMA, generator(0, name, "waits"))
        except DialogueRejected as rejected:
            return rejected


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(well) as server:
        yield server


@pytest.fixture
def client(endpoint: Endpoint, tmp_path: Path) -> Callable[..., Asking]:
    """Each of the same folder: one that is made later finds the answers of the one before."""

    def make(url: str = endpoint.url, waits_s: Sequence[float] = WAITS_S, **changes: Any) -> Asking:
        model = ChatModel(url=url, model="some-model", **changes)
        return Asking(model, "somewhere.llm", tmp_path / "scratch", waits_s)

    return make
