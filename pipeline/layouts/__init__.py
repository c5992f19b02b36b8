"""Layouts by the name a recipe gives them."""

from pipeline.layouts.bayling import BaylingLayout
from pipeline.layouts.streams import Layout
from pipeline.recipe import Layout as LayoutSection
from pipeline.tokens.vocabulary import Vocabulary

LAYOUTS: dict[str, type[BaylingLayout]] = {"bayling": BaylingLayout}


def make_layout(section: LayoutSection, vocabulary: Vocabulary, samples_per_frame: int) -> Layout:
    layout = LAYOUTS[section.name]
    return layout(vocabulary, samples_per_frame, section.user_tokens, section.text_tokens, section.ast_offset)
