"""An effect: a hum on the user's channel, of a random level."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from duplexgen.pipeline.acoustics.effect import Effect, EffectSection
from duplexgen.pipeline.dialogue import Timeline, Track


class HumSection(EffectSection):
    effect: Literal["hum"] = "hum"
    loudest: int = 400


class Hum(Effect):
    name: ClassVar[str] = "hum"
    Spec: ClassVar[type[EffectSection]] = HumSection

    def __init__(self, spec: EffectSection) -> None:
        assert isinstance(spec, HumSection)
        self.loudest = spec.loudest

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        level = float(rng.integers(1, self.loudest, endpoint=True))
        samples = track.samples.copy()
        wave = np.rint(level * np.sin(0.1 * np.arange(samples.shape[1])))
        samples[0] = np.clip(samples[0] + wave, -32768, 32767)
        return Track(samples, track.sample_rate), {"level": level}
