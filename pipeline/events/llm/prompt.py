"""The prompt of a model that writes events, and the form of its answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ...chat.answers import list_schema
from ...chat.prompt import PromptFile
from ...chat.section import PromptedModel
from ...dialogue import BACKCHANNEL, REPETITION, STOPPING, Dialogue
from ...rewriting.llm.prompt import FOLDER
from ...rewriting.section import Rewriting
from ..drawing import TAKE_NEXT, Drawn
from ..phrases import ASSISTANT_BACKCHANNEL

MOST_BACKCHANNEL_WORDS = 4
"""A longer one would take the floor. In Chinese, characters."""
MOST_ASIDE_WORDS = 20
"""Of what a bystander says, of side talk, and of a request to repeat or to be silent."""


def most_words(kind: str, limits: Rewriting) -> int:
    """How many words, or characters in Chinese, the text of an event may have."""
    if kind in (BACKCHANNEL, ASSISTANT_BACKCHANNEL):
        return MOST_BACKCHANNEL_WORDS
    return limits.max_user_words if kind in TAKE_NEXT else MOST_ASIDE_WORDS


class Prompt(PromptFile):
    FIELDS: ClassVar[frozenset[str]] = frozenset(
        {
            *("dialogue", "events", "language", "num_events", "unit"),
            *("max_user_words", "max_reply_words", "max_aside_words", "max_backchannel_words"),
        }
    )
    NEEDED: ClassVar[tuple[str, ...]] = ("dialogue", "events")

    @classmethod
    def read(cls, llm: PromptedModel) -> "Prompt":
        """The prompt that the recipe names, or the one that ships. Raises UserError."""
        return cls.of_file(Path(llm.prompt) if llm.prompt else FOLDER / "events.md")

    def filled(self, dialogue: Dialogue, events: Sequence[Drawn], limits: Rewriting) -> str:
        """The message about one dialogue. Turns are numbered from 1."""
        turns = [
            {"number": number, "role": turn.role, "text": turn.text} for number, turn in enumerate(dialogue.turns, 1)
        ]
        return self._with(
            dialogue.language,
            dialogue=json.dumps({"turns": turns}, ensure_ascii=False),
            events=json.dumps({"wanted": [_wanted(event) for event in events]}),
            num_events=len(events),
            max_user_words=limits.max_user_words,
            max_reply_words=limits.max_reply_words,
            max_aside_words=MOST_ASIDE_WORDS,
            max_backchannel_words=MOST_BACKCHANNEL_WORDS,
        )


def answer_schema(events: Sequence[Drawn]) -> dict[str, Any]:
    """`response_format` for an answer with one entry per event."""
    kinds_by_keys: dict[tuple[str, ...], set[str]] = {}
    for event in events:
        kinds_by_keys.setdefault(_keys(event.kind), set()).add(event.kind)
    shapes = [
        {
            "type": "object",
            "properties": {
                "kind": {"type": "string", "enum": sorted(kinds)},
                **{key: {"type": "string"} for key in keys},
            },
            "required": ["kind", *keys],
            "additionalProperties": False,
        }
        for keys, kinds in sorted(kinds_by_keys.items())
    ]
    return list_schema("events", shapes[0] if len(shapes) == 1 else {"anyOf": shapes}, len(events))


def _keys(kind: str) -> tuple[str, ...]:
    """What the model writes of an event; `reply` before `after`, which is about the reply that is in the dialogue."""
    if kind == REPETITION:
        return "text", "reply", "after"
    return ("text", "after") if kind in STOPPING else ("text",)


def _wanted(event: Drawn) -> dict[str, Any]:
    next_turn = {"next_turn": event.during + 2} if event.kind in TAKE_NEXT else {}
    return {"kind": event.kind, "during": event.during + 1, **next_turn}
