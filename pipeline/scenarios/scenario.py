"""What a scenario must offer, and how scenarios draw times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from ..dialogue import Event, Role, Timeline, Word
from ..recipe.sections import Range
from .section import Timing


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance as a scenario sees it: its channel, its length, and where its words are."""

    channel: Role
    num_samples: int
    words: tuple[Word, ...] | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """Draws the times of one dialogue, in whole samples."""

    rng: np.random.Generator
    sample_rate: int  # Hz

    def samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    def draw(self, times: Range) -> int:
        return self.draw_between(self.samples(times.low), self.samples(times.high))

    def draw_between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))


@dataclass(frozen=True, slots=True)
class Late:
    """A reply of a track that can be late. Preference pairs are made of these.

    A reply that starts late is moved; a reply that stops late goes on for longer. The delay of a start counts from the
    end of the event that the reply answers, the delay of a stop from the start of the event that cuts it.
    """

    event: int  # index of the reply
    stops: bool  # True: it can stop late; False: it can start late
    delay_samples: int  # as it is in the track
    most_samples: int | None  # the largest delay for which there is audio; None: any


Lateness = Literal["starts", "stops"]


class Scenario(Protocol):
    """Places the utterances of a dialogue in time. It is made of the recipe's section and is cheap to pickle."""

    name: ClassVar[str]
    Spec: ClassVar[type[Timing]]
    LATENESS: ClassVar[tuple[Lateness, ...]]
    """How its replies can be late; () if preference pairs cannot be made of it."""

    def __init__(self, timing: Timing) -> None: ...

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        """Place every utterance. `num_samples` of the result is the end of the silence after the last one.

        spoken: the turns in order; they alternate, and the user's is first. Raises DialogueRejected if the scenario
        cannot place them.
        """
        ...

    def check(self, events: Sequence[Event], sample_rate: int) -> Iterator[str]:
        """What is wrong with the events of a track, in words; what holds in every scenario is checked elsewhere."""
        ...

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        """The timing for a data card: names of `dataset.statistics.QUANTITIES`, and values."""
        ...

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """The replies that can be late, in order; none if pairs cannot be made of this scenario."""
        ...

    def check_late(self, late: Late, number: int, sample_rate: int) -> Iterator[str]:
        """What is wrong with the late reply of a stored pair, in words. The events of the track are not known here.

        late: as the pair has it; its most_samples is None. number: of the reply among the assistant's, from 0.
        """
        ...
