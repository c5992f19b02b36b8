"""Dialogues, sections of events, and an endpoint that writes events as it is told."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.chat.section import PromptedModel
from duplexgen.pipeline.dialogue import BARGE_IN, Dialogue, Rejection, Turn
from duplexgen.pipeline.events.llm import LLMWriter
from duplexgen.pipeline.events.section import BargeIns, DuringReplies, Events
from duplexgen.pipeline.rewriting.rewritten import Rewritten
from duplexgen.pipeline.rewriting.section import Rewriting
from tests.rewriting.llm.conftest import WAITS_S
from tests.serving import Endpoint, Said, chat, serving

TEXTS = {
    "follow_up": "And what does that cost for two of us?",
    "negation": "No, I meant the other one, what about that?",
    "repetition": "Sorry, what was that?",
    "topic_switch": "Let's leave that, how is the weather?",
    "silence_request": "Okay, stop, please.",
    "backchannel": "Mhm.",
    "assistant_backchannel": "I see.",
    "bystander": "The soup is on the table.",
    "side_talk": "Put it over there, please.",
}
REPLY = "The castle opens at nine, you can walk up from the old bridge, and a ticket costs four pounds at the gate."
AGAIN = "It is open from nine, the way up starts at the old bridge, and they want four pounds at the gate."
TALK = (
    *("When does the castle open?", REPLY),
    *("Is there a bus that goes up there in the afternoon, or do we have to walk?", "There is one every hour."),
)


def asked(body: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The turns that a request shows, and the events that it asks for: the last two lines of the prompt that ships."""
    turns, wanted = (json.loads(line) for line in body["messages"][0]["content"].splitlines()[-2:])
    return turns["turns"], wanted["wanted"]


def is_simple_question(body: dict[str, Any]) -> bool:
    return "wanted" not in body["messages"][0]["content"]


def written(body: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """Entries as they are asked for, each with the changes; interruptions come after the third word."""
    turns, wanted = asked(body)
    entries = []
    for event in wanted:
        entry = {"kind": event["kind"], "text": TEXTS[event["kind"]]}
        if event["kind"] in list(TEXTS)[:5]:
            entry["after"] = " ".join(turns[event["during"] - 1]["text"].split()[:3])
        if event["kind"] == "repetition":
            entry["reply"] = AGAIN
        entries.append(entry | changes)
    return entries


def saying(**changes: Any) -> Callable[[dict[str, Any]], Said]:
    """An endpoint that writes events as it is told, but for the changes."""
    return lambda body: chat(json.dumps({"events": written(body, **changes)}))


def well(body: dict[str, Any]) -> Said:
    return chat("Yes.") if is_simple_question(body) else saying()(body)


def dialogue(*texts: str, id: str = "d", language: str = "en") -> Dialogue:
    turns = tuple(Turn("assistant" if number % 2 else "user", text) for number, text in enumerate(texts or TALK))
    return Dialogue(id, "s", language, turns)


def some(count: int) -> list[Rewritten]:
    return [Rewritten(dialogue(id=f"d{number}")) for number in range(count)]


def always(kind: str, **changes: Any) -> Events:
    """Every reply has an event of this kind, and nothing else happens."""
    barge_ins = dict.fromkeys(BargeIns.model_fields, 0.0)
    if kind in barge_ins:
        changes["barge_ins"] = BargeIns(**(barge_ins | {kind: 1.0}))
        kind = BARGE_IN
    shares = dict.fromkeys(DuringReplies.model_fields, 0.0)
    if kind in shares:
        shares[kind] = 1.0
    listening = 1.0 if kind == "assistant_backchannel" else 0.0
    return Events(during_replies=DuringReplies(**shares), assistant_backchannel=listening, **changes)


def by_llm(events: Events, url: str, **changes: Any) -> Events:
    model = PromptedModel(url=url, model="some-model", **changes)
    return events.model_copy(update={"texts": "llm", "llm": model})


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(well) as server:
        yield server


@pytest.fixture
def writer(endpoint: Endpoint, tmp_path: Path) -> Callable[..., LLMWriter]:
    def make(events: Events | None = None, limits: Rewriting | None = None, seed: int = 1, **changes: Any) -> LLMWriter:
        made = LLMWriter(by_llm(events or Events(), endpoint.url, **changes), limits or Rewriting(), seed)
        assert made.check() == []
        made.asker.waits_s = WAITS_S
        made.load(tmp_path / "scratch")
        return made

    return make


def turns(result: Rewritten | Rejection) -> tuple[Turn, ...]:
    assert isinstance(result, Rewritten), result
    return result.dialogue.turns
