"""Layouts by the name a recipe gives them. To add one: write the module, put it here."""

from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from ..recipe.sections import of_its_part
from .bayling import Bayling, BaylingSection
from .flm import FLM
from .layout import Layout
from .moshi import Moshi
from .section import LayoutSection
from .vocabulary import Vocabulary

LAYOUTS: dict[str, type[Layout]] = {Bayling.name: Bayling, FLM.name: FLM, Moshi.name: Moshi}
DEFAULT = BaylingSection()

AnyLayoutSection = Annotated[
    SerializeAsAny[LayoutSection], BeforeValidator(lambda value: of_its_part(value, "name", LAYOUTS, DEFAULT.name))
]
"""What a recipe says of the layout: the section of the layout it names."""


def make_layout(section: LayoutSection, vocabulary: Vocabulary, samples_per_frame: int) -> Layout:
    return LAYOUTS[section.name](section, vocabulary, samples_per_frame)
