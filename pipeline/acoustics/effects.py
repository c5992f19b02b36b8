"""Effects on the user's channel, by their names in a recipe. To add one: write a module and add its class here."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny

from ..recipe.sections import of_its_part
from .bursts import Bursts
from .effect import Effect, EffectSection
from .gain import Gain
from .leak import Leak
from .noise import Noise
from .room import Room
from .telephone import Telephone

EFFECTS: dict[str, type[Effect]] = {
    Bursts.name: Bursts,
    Gain.name: Gain,
    Leak.name: Leak,
    Noise.name: Noise,
    Room.name: Room,
    Telephone.name: Telephone,
}

AcousticsSection = Annotated[
    list[
        Annotated[SerializeAsAny[EffectSection], BeforeValidator(lambda value: of_its_part(value, "effect", EFFECTS))]
    ],
    Field(max_length=100),
]
"""What a recipe says of acoustics: effects, in the order in which they are applied."""


def make_effects(section: Sequence[EffectSection]) -> list[Effect]:
    """The effects of a recipe, in its order."""
    return [EFFECTS[spec.effect](spec) for spec in section]


def fingerprints(effects: Sequence[Effect]) -> list[dict[str, Any]] | None:
    """What shapes each effect besides its section; None: nothing does. Raises UserError as `fingerprint` does."""
    prints = [dict(effect.fingerprint()) for effect in effects]
    return prints if any(prints) else None
