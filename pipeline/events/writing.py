"""Writes events into dialogues: asides, and interruptions of every kind. Where they come, the scenario decides.

By rule, so an interruption knows nothing of what is said: a negation or a switch of the topic is a phrase before the
next turn, and after a repetition the assistant says its reply again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..dialogue import (
    BACKCHANNEL,
    BARGE_IN,
    REPETITION,
    SILENCE_REQUEST,
    Dialogue,
    Turn,
    words_of,
)
from ..randomness import generator
from ..recipe.sections import shape_of
from ..storage.atomic import file_sha256
from .phrases import ASSISTANT_BACKCHANNEL, FILE, PHRASES
from .section import Events

LONG_TURN_WORDS = 10
"""A turn of the user's with fewer words leaves the assistant no time for a backchannel."""
WORDS_PER_BACKCHANNEL = 25
"""In a reply that has backchannels, one for each so many words: some five in a minute."""
MOST_BACKCHANNELS = 3


class EventWriter:
    """Made of a recipe's section and seed. Everything that it writes is a function of those and of the dialogue."""

    def __init__(self, spec: Events, seed: int) -> None:
        self.spec, self.seed = spec, seed

    def shaped_by(self) -> dict[str, Any]:
        return {"events": shape_of(self.spec), "phrases": file_sha256(FILE), "seed": self.seed}

    def write(self, dialogue: Dialogue) -> Dialogue:
        """The dialogue with events; its turns alternate, and the user's is first."""
        rng = generator(self.seed, dialogue.id, "events")
        return replace(dialogue, turns=tuple(self._turns(dialogue, rng)))

    def _turns(self, dialogue: Dialogue, rng: np.random.Generator) -> Iterator[Turn]:
        draw = _Draw(rng, dialogue.language, self.spec.phrases)
        interrupting: str | None = None  # the kind of the next turn
        for turn, following in pairwise((*dialogue.turns, None)):
            assert turn is not None
            if turn.role == "user":
                yield draw.interrupting(turn, interrupting) if interrupting else turn
                interrupting = None
                yield from self._listening(turn, dialogue.language, draw)
                continue
            yield turn
            kind = draw.kind(self.spec.during_replies.shares())
            if kind == BARGE_IN:
                interrupting = draw.kind(self.spec.barge_ins.shares())
                if interrupting in (REPETITION, SILENCE_REQUEST):
                    yield draw.says("user", interrupting)
                    yield from [turn] if interrupting == REPETITION else []
                    interrupting = None
                elif following is None:
                    interrupting = None
            elif kind:
                yield from self._asides(kind, turn, dialogue.language, draw)

    def _listening(self, turn: Turn, language: str, draw: "_Draw") -> Iterator[Turn]:
        """What the assistant says during a turn of the user's."""
        if len(words_of(turn.text, language)) >= LONG_TURN_WORDS and draw.chance(self.spec.assistant_backchannel):
            yield replace(draw.says("assistant", ASSISTANT_BACKCHANNEL), kind=BACKCHANNEL)

    def _asides(self, kind: str, reply: Turn, language: str, draw: "_Draw") -> Iterator[Turn]:
        words = len(words_of(reply.text, language))
        count = min(1 + words // WORDS_PER_BACKCHANNEL, MOST_BACKCHANNELS) if kind == BACKCHANNEL else 1
        yield from (draw.says("user", kind) for _ in range(count))


class _Draw:
    """Draws for one dialogue, in order."""

    def __init__(self, rng: np.random.Generator, language: str, split: str) -> None:
        self.rng, self.language, self.split = rng, language, split

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def kind(self, shares: Mapping[str, float]) -> str | None:
        """One of the kinds, or None in the share that is left."""
        at, edge = self.rng.random(), 0.0
        for kind, share in shares.items():
            edge += share
            if at < edge:
                return kind
        return None

    def says(self, role: Any, kind: str) -> Turn:
        return Turn(role, self._one(PHRASES[self.language][kind][self.split]), kind)

    def interrupting(self, turn: Turn, kind: str) -> Turn:
        """The turn as one that interrupts, after the phrase of its kind, if the kind has any."""
        if kind not in PHRASES[self.language]:
            return replace(turn, kind=kind)
        space = "" if self.language == "zh" else " "
        return replace(turn, kind=kind, text=self.says("user", kind).text + space + turn.text)

    def _one(self, choices: Sequence[str]) -> str:
        return choices[int(self.rng.integers(len(choices)))]
