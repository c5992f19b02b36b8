"""Writes events into dialogues: asides, and interruptions of every kind. Where they come, the scenario decides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ..dialogue import BACKCHANNEL, REPETITION, Dialogue, Rejection, Turn
from ..recipe.file import Problem
from ..recipe.sections import shape_of
from ..rewriting.rewritten import Rewritten
from ..rewriting.section import Rewriting
from ..storage.atomic import file_sha256
from .drawing import TAKE_NEXT, Drawn, draw
from .phrases import ASSISTANT_BACKCHANNEL, FILE
from .section import Events


class EventWriter(Protocol):
    """Made of a recipe's sections and seed, and pickled to workers before `load`.

    What happens in a dialogue, and during which turn, does not depend on the writer; what is said does.
    """

    def __init__(self, spec: Events, limits: Rewriting, seed: int) -> None: ...

    @property
    def max_actors(self) -> int | None:
        """How many may write at the same time; None: any number."""
        ...

    def check(self) -> list[Problem]:
        """Problems of the recipe's section that prevent writing on this machine."""
        ...

    def probe(self) -> list[Problem]:
        """Problems that only a request can find, such as an endpoint that does not answer. Takes seconds at most."""
        ...

    def shaped_by(self) -> dict[str, Any]:
        """Everything that changes what is written, beside the limits of turns."""
        ...

    def load(self, scratch: Path) -> None:
        """Get ready, in the process that will write. scratch: a folder of its own, for what survives a restart."""
        ...

    def write_all(self, dialogues: Sequence[Rewritten]) -> list[Rewritten | Rejection]:
        """One result per dialogue, in their order: the dialogue with its events, and notes of both.

        Each depends only on its own dialogue, whose turns alternate, the user's first.
        """
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of an event."""

    text: str  # the whole turn, if it takes the place of the user's next one
    at_word: int | None = None  # after which word of the turn during which it comes; None: any
    reply: str = ""  # after a repetition: what the assistant says again


def woven(dialogue: Dialogue, events: Sequence[tuple[Drawn, Said]]) -> Dialogue:
    """The dialogue with its events. Those of one turn are in their order."""
    turns: list[Turn] = []
    next_turn: Turn | None = None  # in place of the dialogue's own
    for number, turn in enumerate(dialogue.turns):
        turns.append(next_turn or turn)
        next_turn = None
        for event, said in ((event, said) for event, said in events if event.during == number):
            one = _turn(event.kind, said)
            if event.kind in TAKE_NEXT:
                next_turn = one
                continue
            turns.append(one)
            if event.kind == REPETITION:
                turns.append(replace(turn, text=said.reply))
    return replace(dialogue, turns=tuple(turns))


def _turn(kind: str, said: Said) -> Turn:
    if kind == ASSISTANT_BACKCHANNEL:
        return Turn("assistant", said.text, BACKCHANNEL, said.at_word)
    return Turn("user", said.text, kind, said.at_word)


def shape(spec: Events, seed: int) -> dict[str, Any]:
    """What decides the events that are drawn."""
    return {"events": shape_of(spec), "phrases": file_sha256(FILE), "seed": seed}


class RulesWriter:
    """By rule, so an interruption knows nothing of what is said: a negation or a switch of the topic is a phrase before
    the next turn, and after a repetition the assistant says its reply again."""

    max_actors: ClassVar[int | None] = None

    def __init__(self, spec: Events, limits: Rewriting, seed: int) -> None:
        self.spec, self.seed = spec, seed

    def check(self) -> list[Problem]:
        return []

    def probe(self) -> list[Problem]:
        return []

    def shaped_by(self) -> dict[str, Any]:
        return shape(self.spec, self.seed)

    def load(self, scratch: Path) -> None:
        pass

    def write_all(self, dialogues: Sequence[Rewritten]) -> list[Rewritten | Rejection]:
        return [replace(one, dialogue=self.write(one.dialogue)) for one in dialogues]

    def write(self, dialogue: Dialogue) -> Dialogue:
        """The dialogue with events; its turns alternate, and the user's is first."""
        return woven(dialogue, list(self._said(dialogue)))

    def _said(self, dialogue: Dialogue) -> Iterator[tuple[Drawn, Said]]:
        for event in draw(self.spec, self.seed, dialogue):
            text = event.phrase
            if event.kind in TAKE_NEXT:
                following = dialogue.turns[event.during + 1].text
                space = "" if dialogue.language == "zh" or not text else " "
                text += space + following
            yield event, Said(text, reply=dialogue.turns[event.during].text)
