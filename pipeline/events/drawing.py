"""Draws what happens in a dialogue, and during which turn, from the recipe, the seed and the dialogue alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..dialogue import (
    BACKCHANNEL,
    BARGE_IN,
    FOLLOW_UP,
    NEGATION,
    REPETITION,
    SILENCE_REQUEST,
    TOPIC_SWITCH,
    Dialogue,
    words_of,
)
from ..randomness import generator
from .phrases import ASSISTANT_BACKCHANNEL, PHRASES
from .section import Events

LONG_TURN_WORDS = 10
"""A turn of the user's with fewer words leaves the assistant no time for a backchannel."""
WORDS_PER_BACKCHANNEL = 25
"""In a reply that has backchannels, one for each so many words: some five in a minute."""
MOST_BACKCHANNELS = 3
LONGER = {"zh": 2}
"""In a language whose words are characters, as many times the words last as long."""

ALONE = (REPETITION, SILENCE_REQUEST)
"""Interruptions that are turns of their own. Each other one is the user's next turn, and needs one."""
TAKE_NEXT = (FOLLOW_UP, NEGATION, TOPIC_SWITCH)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One event of a dialogue. An interruption comes during a reply, or after it if there is no place within."""

    kind: str  # one of ALONE, of TAKE_NEXT, of dialogue.ASIDES, or ASSISTANT_BACKCHANNEL
    during: int  # index of the turn among those of the dialogue
    phrase: str  # for it, of phrases.yaml; "" for a kind that has none


def draw(spec: Events, seed: int, dialogue: Dialogue) -> Iterator[Drawn]:
    """What happens in a dialogue, in order. Its turns alternate, and the user's is first."""
    draws = _Draws(generator(seed, dialogue.id, "events"), dialogue.language, spec.phrases)
    for number, turn in enumerate(dialogue.turns):
        words = len(words_of(turn.text, dialogue.language)) // LONGER.get(dialogue.language, 1)
        if turn.role == "user":
            if words >= LONG_TURN_WORDS and draws.chance(spec.assistant_backchannel):
                yield draws.one(ASSISTANT_BACKCHANNEL, number)
            continue
        kind = draws.kind(spec.during_replies.shares())
        if kind == BARGE_IN:
            kind = draws.kind(spec.barge_ins.shares())
            if kind in TAKE_NEXT and number + 1 == len(dialogue.turns):
                continue
        if kind is None:
            continue
        count = min(1 + words // WORDS_PER_BACKCHANNEL, MOST_BACKCHANNELS) if kind == BACKCHANNEL else 1
        yield from (draws.one(kind, number) for _ in range(count))


class _Draws:
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

    def one(self, kind: str, during: int) -> Drawn:
        """An event, with a phrase that is drawn for it. Whoever writes other words draws one too, and all that is drawn
        later stays as it is."""
        phrases = PHRASES[self.language].get(kind)
        if phrases is None:
            return Drawn(kind, during, "")
        choices = phrases[self.split]
        return Drawn(kind, during, choices[int(self.rng.integers(len(choices)))])
