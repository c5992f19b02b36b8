"""The assistant's voice in the user's microphone (FLM-Audio, section 3.2.2)."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..audio.pcm import to_float
from ..dialogue import Timeline, Track
from ..recipe.sections import Between, Range, Share
from .effect import Effect, EffectSection
from .levels import limited


class Factors(Between):
    """A uniform distribution of factors of amplitude, written `[low, high]`."""

    low: Annotated[float, Field(ge=0, le=10)]
    high: Annotated[float, Field(ge=0, le=10)]


class LeakSection(EffectSection):
    effect: Literal["leak"] = "leak"
    probability: Share = 0.3  # of a dialogue
    delay_s: Range = Range(low=0.1, high=0.5)
    gain: Factors = Factors(low=0.0, high=0.2)


class Leak(Effect):
    """Values, in a dialogue with a leak: `delay_samples`, `gain`, and `limited_samples` if there are any."""

    name: ClassVar[str] = "leak"
    Spec: ClassVar[type[EffectSection]] = LeakSection

    def __init__(self, spec: EffectSection) -> None:
        assert isinstance(spec, LeakSection)
        self.spec = spec

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        spec = self.spec
        if rng.random() >= spec.probability:
            return track, {}
        delay = round(rng.uniform(spec.delay_s.low, spec.delay_s.high) * track.sample_rate)
        gain = float(rng.uniform(spec.gain.low, spec.gain.high))
        user, assistant = to_float(track.samples)
        user[delay:] += np.float32(gain) * assistant[: max(0, len(assistant) - delay)]
        samples = track.samples.copy()
        samples[0], count = limited(user, track.sample_rate)
        values = {"delay_samples": float(delay), "gain": gain}
        return Track(samples, track.sample_rate), values | ({"limited_samples": float(count)} if count else {})
