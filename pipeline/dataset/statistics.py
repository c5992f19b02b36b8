"""Statistics of a data set, as histograms in constant memory. They are computed from its rows once it is whole."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dialogue import (
    BACKCHANNEL,
    BYSTANDER,
    CHANNELS,
    FOLLOW_UP,
    NEGATION,
    REPETITION,
    SIDE_TALK,
    SILENCE_REQUEST,
    TOPIC_SWITCH,
    Event,
)
from ..layouts.layout import Layout
from ..measures.conversation import Conversation, conversation
from ..scenarios.scenarios import SCENARIOS
from .rows import read_activity, read_events
from .schema import ACTIVITY


@dataclass(frozen=True, slots=True)
class Quantity:
    """A quantity of rows. Its histogram has `bins` bins from `low` to `high`; the outer bins take all other values."""

    title: str
    unit: str
    low: float
    high: float
    bins: int

    @property
    def edges(self) -> NDArray[np.float64]:
        return np.linspace(self.low, self.high, self.bins + 1)


EVENTS = {
    FOLLOW_UP: "Interruptions with a follow-up",
    NEGATION: "Interruptions with a negation",
    REPETITION: "Interruptions that ask for a repetition",
    TOPIC_SWITCH: "Interruptions that switch the topic",
    SILENCE_REQUEST: "Interruptions that ask for silence",
    BACKCHANNEL: "Backchannels of the user",
    "assistant_backchannel": "Backchannels of the assistant",
    BYSTANDER: "Bystanders",
    SIDE_TALK: "Side talk of the user",
}
TRANSFER_OFFSET = "transfer_offset_s"
QUANTITIES: dict[str, Quantity] = {
    "reply_delay_s": Quantity("Reply delay: user's end to assistant's start", "s", 0, 6, 120),
    "next_turn_gap_s": Quantity("Gap: assistant's end to the user's next turn", "s", 0, 6, 120),
    "silence_s": Quantity("Silence between pieces", "s", 0, 12, 120),
    "reaction_delay_s": Quantity("Reaction delay: barge-in to assistant's stop", "s", 0, 6, 120),
    "hesitation_s": Quantity("Pause within a turn of the user's", "s", 0, 6, 120),
    "user_turn_s": Quantity("User turn", "s", 0, 30, 150),
    "assistant_turn_s": Quantity("Assistant turn, as it is heard", "s", 0, 60, 300),
    "dialogue_s": Quantity("Length of a dialogue", "s", 0, 240, 240),
    "user_speech_share": Quantity("Share of time the user speaks", "", 0, 1, 50),
    "assistant_speech_share": Quantity("Share of time the assistant speaks", "", 0, 1, 50),
    "overlap_share": Quantity("Share of time both speak", "", 0, 0.5, 50),
    "turns": Quantity("Turns per dialogue", "", 0, 40, 40),
    **{kind: Quantity(f"{title} per dialogue", "", 0, 20, 20) for kind, title in EVENTS.items()},
    "text_tokens": Quantity("Text tokens per reply", "", 0, 400, 200),
    "columns": Quantity("Columns per row", "", 0, 4000, 80),
    "sequence_ids": Quantity("Ids per sequence", "", 0, 8000, 80),
    "chosen_delay_s": Quantity("Delay of the chosen side", "s", 0, 6, 120),
    "rejected_delay_s": Quantity("Delay of the rejected side", "s", 0, 6, 120),
    "delay_difference_s": Quantity("Rejected delay minus chosen delay", "s", 0, 6, 120),
    "pair_s": Quantity("Length of either side of a pair", "s", 0, 240, 240),
    "measured_s": Quantity("Length of a dialogue whose speech was measured on its audio", "s", 0, 240, 240),
    "ipu_s": Quantity("IPU: speech bounded by 200 ms of silence", "s", 0, 30, 300),
    "pause_s": Quantity("Pause: silence of both, then the same speaker", "s", 0, 6, 300),
    "gap_s": Quantity("Gap: silence of both, then the other speaker", "s", 0, 6, 300),
    "overlap_s": Quantity("Overlap: both speak", "s", 0, 6, 300),
    TRANSFER_OFFSET: Quantity("Floor transfer offset", "s", -3, 6, 450),
    "assistant_before_user_end": Quantity("[ASSISTANT] before the user's last audio is heard", "", 0, 1, 2),
}

ACOUSTICS: dict[str, Quantity] = {
    "snr_db": Quantity("User's speech against noise", "dB", -40, 80, 120),
    "noise_level_db": Quantity("Level of a clip of noise", "dB", -100, 0, 100),
    "burst_level_db": Quantity("Level of a burst of noise", "dB", -100, 0, 100),
    "gain_db": Quantity("Gain of an utterance of the user", "dB", -60, 60, 120),
    "utterance_level_db": Quantity("Level of an utterance after its gain", "dB", -60, 0, 60),
    "leak_gain": Quantity("Factor of the assistant's leak", "", 0, 1, 50),
    "leak_delay_s": Quantity("Delay of the assistant's leak", "s", 0, 2, 80),
    "t60_s": Quantity("Reverberation time of a room (T60)", "s", 0, 1.2, 60),
    "distance_m": Quantity("From the user to the microphone", "m", 0, 5, 50),
    "limited_samples": Quantity("Samples of a track or an utterance that were limited", "", 0, 10_000, 50),
}
"""What effects draw, and rows have in `acoustics`. Values of other names are in the rows alone."""
FIGURES_OF_EFFECTS = {
    ("noise", "level_db"): "noise_level_db",
    ("bursts", "level_db"): "burst_level_db",
    ("gain", "level_db"): "utterance_level_db",
    ("leak", "gain"): "leak_gain",
}

QUALITIES: dict[str, Quantity] = {
    "wer": Quantity("Word error rate of an utterance", "", 0, 1, 50),
    "dnsmos": Quantity("DNSMOS (OVRL) of an utterance", "", 1, 5, 80),
    "similarity": Quantity("Similarity of an utterance to its prompt (cosine)", "", -1, 1, 100),
    "seconds_per_character": Quantity("Seconds per letter or Chinese character", "s", 0, 0.5, 100),
    "leading_silence_s": Quantity("Silence before speech, as the engine gives it", "s", 0, 3, 60),
    "longest_pause_s": Quantity("Longest pause within an utterance", "s", 0, 3, 60),
    "repeats": Quantity("Phrases repeated at once", "", 0, 10, 10),
}
"""Of utterances: what the quality gate measures, and rows have in `quality`."""
ALL = QUANTITIES | ACOUSTICS | QUALITIES


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
        """The inverse of `to_json`."""
        own = cls(quantity, tally["count"], tally["total"], tally["least"], tally["most"])
        own.histogram = np.asarray(tally["histogram"], dtype=np.int64)
        return own

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
        """The middle of the bin in which the cumulative count reaches this share; exact to half a bin."""
        bin_ = int(np.searchsorted(np.cumsum(self.histogram), share * self.count))
        edges = self.quantity.edges
        middle = float(edges[bin_ : bin_ + 2].mean())
        return min(max(middle, self.least), self.most)


class Statistics:
    """A tally of each quantity that was measured."""

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}

    def add(self, name: str, value: float) -> None:
        self._tallies.setdefault(name, Tally(ALL[name])).add(value)

    @classmethod
    def stored(cls, tallies: Mapping[str, Mapping[str, Any]]) -> "Statistics":
        """The inverse of `to_json`."""
        statistics = cls()
        statistics._tallies = {name: Tally.stored(ALL[name], tally) for name, tally in tallies.items()}
        return statistics

    def get(self, name: str) -> Tally | None:
        return self._tallies.get(name)

    def __iter__(self) -> Iterator[tuple[str, Tally]]:
        """In the order of ALL."""
        return ((name, self._tallies[name]) for name in ALL if name in self._tallies)

    def distributions(self) -> Iterator[tuple[str, Tally]]:
        """All quantities but those that are only true or false."""
        return ((name, tally) for name, tally in self if tally.quantity.bins > 2)

    def to_json(self) -> dict[str, Any]:
        return {name: tally.to_json() for name, tally in self}


def measure(statistics: Statistics, row: dict[str, Any], layout: Layout, sample_rate: int) -> None:
    """Add the figures of one row of a data set of dialogues. sample_rate: of the track, Hz."""
    events = read_events(row["events"])
    of_layout = [*layout.measure(row, events)]  # first, so that a row that fails leaves no trace
    total_s = layout.length(row) * layout.samples_per_frame / sample_rate
    for event in events:
        statistics.add(f"{event.channel}_turn_s", (event.end_sample - event.start_sample) / sample_rate)
    for name, value in (*SCENARIOS[row["scenario"]].measure(events, sample_rate), *of_layout):
        statistics.add(name, value)
    for channel in CHANNELS:
        speech = sum(event.end_sample - event.start_sample for event in events if event.channel == channel)
        statistics.add(f"{channel}_speech_share", speech / sample_rate / total_s)
    statistics.add("overlap_share", _overlap(events) / sample_rate / total_s)
    statistics.add("dialogue_s", total_s)
    statistics.add("turns", len(events))


def measure_acoustics(statistics: Statistics, drawn: Iterable[Mapping[str, Any]], sample_rate: int) -> None:
    """Add the values that effects have drawn for a row. sample_rate: of the track, Hz."""
    for one in drawn:
        quantity, value = one["quantity"].partition("[")[0], one["value"]
        if quantity == "delay_samples":
            quantity, value = "leak_delay_s", value / sample_rate
        name = FIGURES_OF_EFFECTS.get((one["effect"], quantity), quantity)
        if name in ACOUSTICS and math.isfinite(value):
            statistics.add(name, value)


def _overlap(events: Sequence[Event]) -> int:
    """The number of samples in which both channels speak."""
    user, assistant = ([event for event in events if event.channel == channel] for channel in CHANNELS)
    return sum(
        max(0, min(left.end_sample, right.end_sample) - max(left.start_sample, right.start_sample))
        for left in user
        for right in assistant
    )


def measure_activity(statistics: Statistics, row: Mapping[str, Any], length_s: float, sample_rate: int) -> None:
    """Add how people take turns in a row whose speech was measured on its audio; others add nothing.

    length_s: of the track. sample_rate: of the track, Hz.
    """
    if row.get(ACTIVITY) is not None:
        speech = read_activity(row[ACTIVITY], sample_rate)
        measure_conversation(statistics, conversation(speech, length_s))


def measure_conversation(statistics: Statistics, of: Conversation) -> None:
    """Add the turn-taking of one dialogue."""
    statistics.add("measured_s", of.length_s)
    lengths = {"ipu_s": of.ipus_s, "pause_s": of.pauses_s, "gap_s": of.gaps_s, "overlap_s": of.overlaps_s}
    for name, values in (lengths | {TRANSFER_OFFSET: of.offsets_s}).items():
        for value in values:
            statistics.add(name, value)


def measure_quality(statistics: Statistics, events: Iterable[Mapping[str, Any]]) -> None:
    """Add the figures that the gate has measured of the utterances of a row."""
    for event in events:
        for name, figure in (event.get("quality") or {}).items():
            if figure is not None:
                statistics.add(name, figure)
