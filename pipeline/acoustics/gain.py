"""How loud the user is: utterances that are softer or louder (FLM-Audio, section 3.2.1)."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..audio.pcm import to_float
from ..dialogue import Timeline, Track
from ..recipe.sections import DecibelRange, Decibels, Share
from .effect import Effect, EffectSection
from .levels import level_db, limited

Span = tuple[int, int, int]  # index of the first event, first sample, one past the last


class GainSection(EffectSection):
    effect: Literal["gain"] = "gain"
    probability: Share = 0.6  # of each utterance of the user
    gain_db: DecibelRange = DecibelRange(low=-24, high=20)
    min_level_db: Annotated[Decibels, Field(le=-10)] = -40.0  # of an utterance after its gain


class Gain(Effect):
    """Values per utterance that has a gain, with the number of its event: `drawn_gain_db`; `gain_db`, which is more
    where the utterance would fall below `min_level_db`; its `level_db` after all; `limited_samples` if there are any.
    """

    name: ClassVar[str] = "gain"
    Spec: ClassVar[type[EffectSection]] = GainSection

    def __init__(self, spec: EffectSection) -> None:
        assert isinstance(spec, GainSection)
        self.spec = spec

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        spec, samples = self.spec, track.samples.copy()
        values: dict[str, float] = {}
        for event, start, end in utterances(timeline):
            is_changed = rng.random() < spec.probability
            drawn_db = rng.uniform(spec.gain_db.low, spec.gain_db.high)
            utterance = to_float(samples[0, start:end])
            if not is_changed or not utterance.any():
                continue
            gain_db = max(drawn_db, spec.min_level_db - level_db(utterance))
            samples[0, start:end], count = limited(utterance * 10 ** (gain_db / 20), track.sample_rate)
            level = level_db(to_float(samples[0, start:end]))
            of_event = {"drawn_gain_db": drawn_db, "gain_db": gain_db, "level_db": level}
            of_event |= {"limited_samples": count} if count else {}
            values |= {f"{name}[{event}]": float(value) for name, value in of_event.items()}
        return Track(samples, track.sample_rate), values


def utterances(timeline: Timeline) -> Iterator[Span]:
    """Where the user's channel has speech, in order. Events that overlap, which cannot be told apart there, are one."""
    events = [(index, event) for index, event in enumerate(timeline.events) if event.channel == "user"]
    span: Span | None = None
    for index, event in events:
        if span and event.start_sample < span[2]:
            span = span[0], span[1], max(span[2], event.end_sample)
            continue
        if span:
            yield span
        span = index, event.start_sample, event.end_sample
    if span:
        yield span
