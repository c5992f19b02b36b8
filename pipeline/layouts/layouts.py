"""Layouts by the name a recipe gives them. To add one: write the module, put it here."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from .bayling import Bayling, BaylingSection
from .layout import Layout
from .section import LayoutSection
from .vocabulary import Vocabulary

LAYOUTS: dict[str, type[Layout]] = {Bayling.name: Bayling}
DEFAULT = BaylingSection(name="bayling")


def _of_its_layout(value: Any) -> Any:
    """The section as that of the layout it names; what names none is left for others to complain of."""
    if not isinstance(value, Mapping):
        return value
    named = {"name": DEFAULT.name, **value}
    return LAYOUTS[named["name"]].Spec.model_validate(named) if named["name"] in LAYOUTS else named


AnyLayoutSection = Annotated[SerializeAsAny[LayoutSection], BeforeValidator(_of_its_layout)]
"""What a recipe says of the layout: the section of the layout it names."""


def make_layout(section: LayoutSection, vocabulary: Vocabulary, samples_per_frame: int) -> Layout:
    return LAYOUTS[section.name](section, vocabulary, samples_per_frame)
