"""A profile of timing: how two people take turns, as numbers to draw from. `duplexgen timing fit` writes one."""

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from ..recipe.sections import Section, Share

LOW_MS, HIGH_MS = -700.0, 2000.0
Ms = Annotated[float, Field(ge=-60_000, le=60_000)]
Spread = Annotated[float, Field(ge=0, le=60_000)]
Length = Annotated[float, Field(gt=0, le=60_000)]
Sigma = Annotated[float, Field(ge=0, le=5)]


class Offset(Section):
    """Floor transfer offsets: the time from the end of a turn to the start of the next; negative if they overlap.

    A share of the transfers are overlaps whose length is log-normal. The others come from a normal distribution around
    `mean_ms + b` within [low_ms, high_ms], where b ~ N(0, speaker_sd_ms) is drawn once per dialogue.
    """

    mean_ms: Ms = 200.0
    sd_ms: Length = 250.0
    speaker_sd_ms: Spread = 80.0
    low_ms: Ms = LOW_MS
    high_ms: Ms = HIGH_MS
    overlap_share: Share = 0.2
    overlap_median_ms: Length = 205.0
    overlap_sigma: Sigma = 0.7

    @model_validator(mode="after")
    def ordered(self) -> "Offset":
        if not self.low_ms < self.mean_ms < self.high_ms:
            raise ValueError("expected low_ms < mean_ms < high_ms")
        return self

    def draw_speakers_ms(self, rng: np.random.Generator) -> float:
        """b: how much slower a pair of speakers is than the mean."""
        return float(rng.normal(0.0, self.speaker_sd_ms))

    def draw_ms(self, speakers_ms: float, rng: np.random.Generator) -> float:
        """One offset. speakers_ms: of this dialogue."""
        from scipy.stats import truncnorm

        is_overlap, at = rng.random(2)
        if is_overlap < self.overlap_share:
            return -self.overlap_median_ms * float(np.exp(rng.normal(0.0, self.overlap_sigma)))
        center = self.mean_ms + speakers_ms
        low, high = ((edge - center) / self.sd_ms for edge in (self.low_ms, self.high_ms))
        return center + self.sd_ms * float(truncnorm.ppf(at, low, high))


class Pause(Section):
    """Pauses within a turn, log-normal."""

    median_ms: Length = 500.0
    sigma: Sigma = 0.6

    def draw_ms(self, rng: np.random.Generator) -> float:
        return self.median_ms * float(np.exp(rng.normal(0.0, self.sigma)))


class Profile(Section):
    offset: Offset = Offset()
    pause: Pause = Pause()
