"""What an effect on the user's channel must offer."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np

from ..dialogue import Timeline, Track
from ..recipe.sections import Section


class EffectSection(Section):
    """What a recipe says of an effect: its name, and the effect's own keys."""

    effect: str

    PART: ClassVar[str | None] = "effect"


class Effect(Protocol):
    """Changes the user's channel. The assistant's channel, which a model is trained to say, stays clean."""

    name: ClassVar[str]
    Spec: ClassVar[type[EffectSection]]

    def __init__(self, spec: EffectSection) -> None: ...

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        """The track with a changed user's channel of the same length, and the values drawn from `rng`, by name."""
        ...
