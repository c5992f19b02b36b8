"""Layouts by the name a recipe gives them."""

from .bayling import BaylingLayout
from .section import Layout as LayoutSection
from .streams import Layout
from .vocabulary import Vocabulary

LAYOUTS: dict[str, type[BaylingLayout]] = {"bayling": BaylingLayout}


def make_layout(section: LayoutSection, vocabulary: Vocabulary, samples_per_frame: int) -> Layout:
    layout = LAYOUTS[section.name]
    return layout(vocabulary, samples_per_frame, section.user_tokens, section.text_tokens, section.ast_offset)
