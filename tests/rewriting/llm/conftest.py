"""Dialogues, recipes, and an endpoint that rewrites as it is told."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from duplexgen.pipeline.dialogue import Dialogue, Turn
from duplexgen.pipeline.rewriting.llm.rewriter import LLMRewriter
from duplexgen.pipeline.rewriting.section import LanguageModel, Rewriting
from tests.serving import Endpoint, Said, chat, serving


def shown(body: dict[str, Any]) -> list[dict[str, str]]:
    """The turns of the dialogue that a request shows: the last line of the prompts that ship."""
    turns: list[dict[str, str]] = json.loads(body["messages"][0]["content"].splitlines()[-1])["turns"]
    return turns


def is_simple_question(body: dict[str, Any]) -> bool:
    return "turns" not in body["messages"][0]["content"]


def well(body: dict[str, Any]) -> Said:
    """Rewrites as it is told, at once."""
    if is_simple_question(body):
        return chat("Yes.")
    turns = shown(body)
    if "one for each turn of the assistant" in body["messages"][0]["content"]:
        turns = [turn for turn in turns if turn["role"] == "assistant"]
    said = [{"role": turn["role"], "text": f"Well, {turn['text'].lower()}"} for turn in turns]
    return chat(json.dumps({"turns": said}))


def dialogue(*texts: str, id: str = "d", language: str = "en") -> Dialogue:
    turns = tuple(Turn("assistant" if number % 2 else "user", text) for number, text in enumerate(texts))
    return Dialogue(id, "s", language, turns)


def some(count: int) -> list[Dialogue]:
    return [dialogue(f"Is it {name}?", "It is.", id=name) for name in (f"d{number}" for number in range(count))]


def recipe(url: str, **changes: Any) -> Rewriting:
    limits = {name: changes.pop(name) for name in list(changes) if name.startswith("max_") and name != "max_tokens"}
    return Rewriting(engine="llm", llm=LanguageModel(url=url, model="some-model", **changes), **limits)


WAITS_S = (0.01, 0.01, 0.02, 0.02)


class Quick(LLMRewriter):
    def __init__(self, recipe: Rewriting) -> None:
        super().__init__(recipe)
        self.asker.waits_s = WAITS_S


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(well) as server:
        yield server


@pytest.fixture
def rewriter(endpoint: Endpoint, tmp_path: Any) -> Callable[..., Quick]:
    def make(**changes: Any) -> Quick:
        made = Quick(recipe(endpoint.url, **changes))
        assert made.check() == []
        made.load(tmp_path / "scratch")
        return made

    return make
