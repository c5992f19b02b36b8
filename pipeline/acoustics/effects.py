"""Effects on the user's channel, by their names in a recipe. To add one: write a module and add its class here."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Protocol

import numpy as np
from pydantic import BeforeValidator, SerializeAsAny

from ..dialogue import Timeline, Track
from ..recipe.sections import Section, of_its_part


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
        """The track with its user's channel changed, of the same length, and the drawn values by name."""
        ...


EFFECTS: dict[str, type[Effect]] = {}

AcousticsSection = list[
    Annotated[SerializeAsAny[EffectSection], BeforeValidator(lambda value: of_its_part(value, "effect", EFFECTS))]
]
"""What a recipe says of acoustics: effects, in the order in which they are applied."""


def make_effects(section: Sequence[EffectSection]) -> list[Effect]:
    return [EFFECTS[spec.effect](spec) for spec in section]
