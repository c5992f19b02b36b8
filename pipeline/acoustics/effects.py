"""Effects on the user's channel, by their names in a recipe. To add one: write a module and add its class here."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from ..recipe.sections import of_its_part
from .effect import Effect, EffectSection

EFFECTS: dict[str, type[Effect]] = {}

AcousticsSection = list[
    Annotated[SerializeAsAny[EffectSection], BeforeValidator(lambda value: of_its_part(value, "effect", EFFECTS))]
]
"""What a recipe says of acoustics: effects, in the order in which they are applied."""


def make_effects(section: Sequence[EffectSection]) -> list[Effect]:
    """The effects of a recipe, in its order."""
    return [EFFECTS[spec.effect](spec) for spec in section]
