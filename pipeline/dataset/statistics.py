"""What a data set is like, as histograms in constant memory: computed from its rows once it is whole."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dialogue import CHANNELS, Event
from ..layouts.layout import Layout
from ..scenarios.scenarios import SCENARIOS
from .rows import read_events


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something measured on rows: its histogram has `bins` bins from `low` to `high`; the last ones take the rest."""

    title: str
    unit: str
    low: float
    high: float
    bins: int

    @property
    def edges(self) -> NDArray[np.float64]:
        return np.linspace(self.low, self.high, self.bins + 1)


QUANTITIES: dict[str, Quantity] = {
    "reply_delay_s": Quantity("Reply delay: user's end to assistant's start", "s", 0, 6, 120),
    "next_turn_gap_s": Quantity("Gap: assistant's end to the user's next turn", "s", 0, 6, 120),
    "reaction_delay_s": Quantity("Reaction delay: barge-in to assistant's stop", "s", 0, 6, 120),
    "user_turn_s": Quantity("User turn", "s", 0, 30, 150),
    "assistant_turn_s": Quantity("Assistant turn, as heard", "s", 0, 60, 300),
    "dialogue_s": Quantity("Dialogue", "s", 0, 240, 240),
    "user_speech_share": Quantity("Share of time the user speaks", "", 0, 1, 50),
    "assistant_speech_share": Quantity("Share of time the assistant speaks", "", 0, 1, 50),
    "overlap_share": Quantity("Share of time both speak", "", 0, 0.5, 50),
    "turns": Quantity("Turns a dialogue", "", 0, 40, 40),
    "text_tokens": Quantity("Text tokens a reply", "", 0, 400, 200),
    "sequence_ids": Quantity("Ids a sequence", "", 0, 8000, 80),
    "chosen_delay_s": Quantity("Delay of the chosen side", "s", 0, 6, 120),
    "rejected_delay_s": Quantity("Delay of the rejected side", "s", 0, 6, 120),
    "delay_difference_s": Quantity("Rejected delay less chosen delay", "s", 0, 6, 120),
    "pair_s": Quantity("Either side of a pair", "s", 0, 240, 240),
    "assistant_before_user_end": Quantity("[ASSISTANT] before the user's last audio is observed", "", 0, 1, 2),
}

QUALITIES: dict[str, Quantity] = {
    "wer": Quantity("Word error rate of an utterance", "", 0, 1, 50),
    "dnsmos": Quantity("DNSMOS (OVRL) of an utterance", "", 1, 5, 80),
    "similarity": Quantity("Similarity of an utterance to its prompt (cosine)", "", -1, 1, 100),
    "seconds_per_character": Quantity("Seconds a letter or Chinese character", "s", 0, 0.5, 100),
    "leading_silence_s": Quantity("Silence before speech, as the engine gave it", "s", 0, 3, 60),
    "longest_pause_s": Quantity("Longest pause within an utterance", "s", 0, 3, 60),
    "repeats": Quantity("Phrases said again at once", "", 0, 10, 10),
}
"""Of utterances that passed the quality gate: what rows say in `quality`."""
ALL = QUANTITIES | QUALITIES


@dataclass(slots=True)
class Tally:
    """Count, sum, extremes and histogram of one quantity."""

    quantity: Quantity
    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    histogram: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.histogram = np.zeros(self.quantity.bins, dtype=np.int64)

    def add(self, value: float) -> None:
        quantity = self.quantity
        place = int((value - quantity.low) / (quantity.high - quantity.low) * quantity.bins)
        self.histogram[min(max(place, 0), quantity.bins - 1)] += 1
        self.count += 1
        self.total += value
        self.least = min(self.least, value)
        self.most = max(self.most, value)

    @classmethod
    def stored(cls, quantity: Quantity, tally: Mapping[str, Any]) -> "Tally":
        """What `to_json` gave."""
        made = cls(quantity, tally["count"], tally["total"], tally["least"], tally["most"])
        made.histogram = np.asarray(tally["histogram"], dtype=np.int64)
        return made

    def to_json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "total": self.total,
            "least": self.least,
            "most": self.most,
            "histogram": self.histogram.tolist(),
        }

    @property
    def mean(self) -> float:
        return self.total / self.count

    def quantile(self, share: float) -> float:
        """Middle of the bin in which this share of the values is reached; exact to half a bin."""
        reached = int(np.searchsorted(np.cumsum(self.histogram), share * self.count))
        edges = self.quantity.edges
        middle = float(edges[reached : reached + 2].mean())
        return min(max(middle, self.least), self.most)


class Statistics:
    """Tallies of every quantity that was measured."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def add(self, name: str, value: float) -> None:
        self._tallies.setdefault(name, Tally(ALL[name])).add(value)

    @classmethod
    def stored(cls, tallies: Mapping[str, Mapping[str, Any]]) -> "Statistics":
        """What `to_json` gave."""
        made = cls()
        made._tallies = {name: Tally.stored(ALL[name], tally) for name, tally in tallies.items()}
        return made

    def get(self, name: str) -> Tally | None:
        return self._tallies.get(name)

    def __iter__(self) -> Iterator[tuple[str, Tally]]:
        """In the order in which they are named above."""
        return ((name, self._tallies[name]) for name in ALL if name in self._tallies)

    def distributions(self) -> Iterator[tuple[str, Tally]]:
        """All but what is only true or false of something."""
        return ((name, tally) for name, tally in self if tally.quantity.bins > 2)

    def to_json(self) -> dict[str, Any]:
        return {name: tally.to_json() for name, tally in self}


def measure(statistics: Statistics, row: dict[str, Any], layout: Layout, sample_rate: int) -> None:
    """Add what one row of dialogues shows."""
    events = read_events(row["events"])
    shown = [*layout.measure(row, events)]  # first, so that a row that fails leaves no trace
    total_s = layout.length(row) * layout.samples_per_frame / sample_rate
    for event in events:
        statistics.add(f"{event.channel}_turn_s", (event.end_sample - event.start_sample) / sample_rate)
    for name, value in (*SCENARIOS[row["scenario"]].measure(events, sample_rate), *shown):
        statistics.add(name, value)
    for channel in CHANNELS:
        speech = sum(event.end_sample - event.start_sample for event in events if event.channel == channel)
        statistics.add(f"{channel}_speech_share", speech / sample_rate / total_s)
    statistics.add("overlap_share", _overlap(events) / sample_rate / total_s)
    statistics.add("dialogue_s", total_s)
    statistics.add("turns", len(events))


def _overlap(events: Sequence[Event]) -> int:
    """Samples in which both channels speak."""
    user, assistant = ([event for event in events if event.channel == channel] for channel in CHANNELS)
    return sum(
        max(0, min(left.end_sample, right.end_sample) - max(left.start_sample, right.start_sample))
        for left in user
        for right in assistant
    )


def measure_quality(statistics: Statistics, events: Iterable[Mapping[str, Any]]) -> None:
    """Add what the gate measured of each utterance of a row, as far as it did."""
    for event in events:
        for name, figure in (event.get("quality") or {}).items():
            if figure is not None:
                statistics.add(name, figure)
