"""Dialogues of random lengths, and their timelines in a scenario."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import BARGE_IN, CHANNELS, TURN, Event, Timeline
from duplexgen.pipeline.randomness import generator
from duplexgen.pipeline.scenarios.scenario import Clock, Grid, Scenario, Spoken

RATES = st.sampled_from([8000, 16000, 22050, 24000])
SEEDS = st.integers(0, 2**31)
exchanges = st.lists(st.floats(0.3, 20), min_size=2, max_size=12).map(lambda items: items[: len(items) // 2 * 2])


TextIds = Sequence[int]
text_ids = st.lists(st.integers(0, 120), min_size=12, max_size=12)
"""Of as many utterances as a dialogue may have here."""


def frame(rate: int) -> int:
    """Samples of 80 ms."""
    return rate * 2 // 25


def spoken(lengths_s: Sequence[float], rate: int, ids: TextIds | None = None) -> list[Spoken]:
    return [
        Spoken(CHANNELS[index % 2], round(length * rate), text_ids=None if ids is None else ids[index])
        for index, length in enumerate(lengths_s)
    ]


def lay(scenario: Scenario, lengths_s: Sequence[float], rate: int, seed: int, ids: TextIds | None = None) -> Timeline:
    clock = Clock(rate, frame(rate), generator(seed, "dialogue", "timing"))
    return scenario.lay_out(spoken(lengths_s, rate, ids), clock)


def wrong(scenario: Scenario, events: Sequence[Event], rate: int, ids: TextIds | None = None) -> list[str]:
    """What a scenario finds wrong with events."""
    return list(scenario.check(events, ids if scenario.needs_text_ids else None, Grid(rate, frame(rate))))


def changed(events: Sequence[Event], index: int, **fields: object) -> list[Event]:
    """Events, one of them with other fields."""
    return [replace(event, **fields) if at == index else event for at, event in enumerate(events)]  # type: ignore[arg-type]


def moved(events: Sequence[Event], first: int, by: int) -> list[Event]:
    """Events; those from index `first` on are later by so many samples."""
    return [
        event
        if at < first
        else replace(
            event,
            start_sample=event.start_sample + by,
            end_sample=event.end_sample + by,
            whole_end_sample=event.whole_end_sample + by,
        )
        for at, event in enumerate(events)
    ]


def assert_turns_are_whole(timeline: Timeline, lengths_s: Sequence[float], rate: int) -> None:
    """Every utterance has its length, its kind and what it answers, and silence follows the last one."""
    events = timeline.events
    wholes = [event.whole_end_sample - event.start_sample for event in events]
    assert wholes == [one.num_samples for one in spoken(lengths_s, rate)]
    assert timeline.num_samples == max(event.end_sample for event in events) + round(0.8 * rate)
    kinds = [TURN, *(BARGE_IN if before.is_cut else TURN for before in events[:-1])]
    assert [event.kind for event in events] == kinds
    assert [event.answers for event in events] == [index - 1 if index % 2 else None for index in range(len(events))]
