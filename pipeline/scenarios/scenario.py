"""What a scenario must offer, and how scenarios draw times."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from ..dialogue import TURN, Event, Role, Timeline, Word
from ..recipe.sections import Range
from .section import Timing


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance as a scenario sees it: who speaks, its length, where its words are, and how long its text is."""

    channel: Role  # of its speaker; a scenario may put it on the other one
    num_samples: int
    words: tuple[Word, ...] | None = None
    text_ids: int | None = None  # how many ids its text has; None: the scenario does not need to know
    kind: str = TURN  # one of dialogue.KINDS
    at_word: int | None = None  # of the turn that it interrupts or accompanies; None: any


@dataclass(frozen=True, slots=True)
class Grid:
    """How a track counts time: in samples, and in frames of the speech tokenizer, as many as there are codes."""

    sample_rate: int  # Hz
    frame_samples: int  # per frame, at that rate

    def samples(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    def frames(self, samples: int) -> int:
        """How many frames it takes to hold so many samples."""
        return -(-samples // self.frame_samples)

    def within(self, samples: int, times: Range) -> bool:
        """Whether a number of samples lies in a range of seconds, both ends included."""
        return self.samples(times.low) <= samples <= self.samples(times.high)


@dataclass(frozen=True, slots=True)
class Clock(Grid):
    """Draws the times of one dialogue, in whole samples."""

    rng: np.random.Generator

    def draw(self, times: Range) -> int:
        return self.draw_between(self.samples(times.low), self.samples(times.high))

    def draw_between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def draw_from(self, choices: range) -> int:
        """One of the choices; nothing is drawn where there is no choice."""
        return choices[0] if len(choices) == 1 else choices[self.draw_between(0, len(choices) - 1)]


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


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is said in some dialogues, roughly: for estimates before any speech is there."""

    exchanges: int
    text_ids: Mapping[Role, int]  # of all that each side says
    frame_s: float


class Scenario(Protocol):
    """Places the utterances of a dialogue in time. It is made of the recipe's section and is cheap to pickle."""

    name: ClassVar[str]
    Spec: ClassVar[type[Timing]]
    LATENESS: ClassVar[tuple[Lateness, ...]]
    """How its replies can be late; () if preference pairs cannot be made of it."""
    TAKES_EVENTS: ClassVar[bool]
    """Whether it places asides and interruptions of every kind; if not, a dialogue has turns alone."""

    def __init__(self, timing: Timing) -> None: ...

    @property
    def needs_text_ids(self) -> bool:
        """Whether `lay_out` and `check` must know how many ids each text has: then the text tokenizer shapes tracks."""
        ...

    def lay_out(self, spoken: Sequence[Spoken], clock: Clock) -> Timeline:
        """Place every utterance. `num_samples` of the result is the end of the silence after the last one.

        spoken: the turns in order; they alternate, and the user's is first. With TAKES_EVENTS they may have any kind,
        and what has no place is left out. Raises DialogueRejected if the scenario cannot place them.
        """
        ...

    def check(self, events: Sequence[Event], text_ids: Sequence[int] | None, grid: Grid) -> Iterator[str]:
        """What is wrong with the events of a track, in words; what holds in every scenario is checked elsewhere.

        text_ids: how many ids the text of each event has; None unless `needs_text_ids`.
        """
        ...

    def speakers(self, events: Sequence[Event]) -> Sequence[Role]:
        """Whose utterance each event is: that of its channel, unless the scenario puts it on the other one."""
        ...

    def pauses_s(self, amount: Amount) -> float:
        """About how long nobody speaks between the utterances of so many dialogues, in seconds."""
        ...

    @staticmethod
    def measure(events: Sequence[Event], sample_rate: int) -> Iterator[tuple[str, float]]:
        """The timing for a data card: names of `dataset.statistics.QUANTITIES`, and values."""
        ...

    def late(self, events: Sequence[Event], sample_rate: int) -> list[Late]:
        """The replies that can be late, in order; none if pairs cannot be made of this scenario."""
        ...

    def check_late(self, late: Late, number: int, grid: Grid) -> Iterator[str]:
        """What is wrong with the late reply of a stored pair, in words. The events of the track are not known here.

        late: as the pair has it; its most_samples is None. number: of the reply among the assistant's, from 0.
        """
        ...
