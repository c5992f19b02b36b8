"""Effects on what the microphone hears, by the name a recipe gives them. To add one: write the module, put it here."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Protocol

import numpy as np
from pydantic import BeforeValidator, SerializeAsAny

from ..dialogue import Timeline, Track
from ..recipe.sections import Section, of_its_part


class EffectSection(Section):
    """What a recipe says of an effect: its name, and the effect's own keys."""

    effect: str


class Effect(Protocol):
    """Changes the user's channel; what the assistant says, and is trained to say, stays clean."""

    name: ClassVar[str]
    Spec: ClassVar[type[EffectSection]]

    def __init__(self, spec: EffectSection) -> None: ...

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        """The track with another user's channel, as long as it was, and what was drawn, by name."""
        ...


EFFECTS: dict[str, type[Effect]] = {}

AcousticsSection = list[
    Annotated[SerializeAsAny[EffectSection], BeforeValidator(lambda value: of_its_part(value, "effect", EFFECTS))]
]
"""What a recipe says of acoustics: effects, in the order in which they are applied."""


def make_effects(section: Sequence[EffectSection]) -> list[Effect]:
    return [EFFECTS[spec.effect](spec) for spec in section]
