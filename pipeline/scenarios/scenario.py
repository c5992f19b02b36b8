"""What a scenario must offer, and the draws of times that scenarios share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from ..dialogue import Event, Role, Timeline, Word
from ..recipe.sections import Range
from .section import Timing


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance as a scenario sees it: whose it is, how long, and where its words are."""

    channel: Role
    num_samples: int
    words: tuple[Word, ...] | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """Draws times of one dialogue in whole samples."""

    rng: np.random.Generator
    sample_rate: int

    def samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    def draw(self, times: Range) -> int:
        return self.draw_between(self.samples(times.low), self.samples(times.high))

    def draw_between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))


@dataclass(frozen=True, slots=True)
class Late:
    """How the assistant can be late at one event of a track, which is what preference pairs are made of.

    A reply that starts late is moved; one that stops late talks on. Delays count in samples: of a start from the end of
    what it answers, of a stop from the start of what cuts it.
    """

    event: int  # index of the reply
    stops: bool  # it stops late, where others start late
    delay_samples: int  # its own
    most_samples: int | None  # the largest delay that there is audio for; None: any


Lateness = Literal["starts", "stops"]


class Scenario(Protocol):
    """Lays a spoken dialogue out in time. It is made of the recipe's section and is cheap to pickle."""

    name: ClassVar[str]
    Spec: ClassVar[type[Timing]]
    LATENESS: ClassVar[tuple[Lateness, ...]]
    """Whether it is with its start or with its stop that a reply is late."""

    def __init__(self, timing: Timing) -> None: ...

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        """Place every utterance; `num_samples` is where the silence after the last one ends.

        spoken: the turns in order; they alternate and the user comes first. Raises DialogueRejected if the dialogue
        cannot be laid out like this.
        """
        ...

    def check(self, events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        """What is wrong with the events of a track, in words, beyond what holds for every track."""
        ...

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        """What a data card shows of the timing: names of `dataset.statistics.QUANTITIES`, and values."""
        ...

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """Where the assistant can be late; nowhere, for a scenario that pairs are not made of."""
        ...

    def check_late(self, late: Late, number: int, sample_rate: int) -> Iterator[str]:
        """What is wrong with a late reply that somebody else names, in words, as far as it shows without events.

        number: of the reply among those of the assistant, from 0. late.most_samples is not known.
        """
        ...
