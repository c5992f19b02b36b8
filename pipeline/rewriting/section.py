"""What a recipe may say of rewriting."""

from typing import ClassVar, Literal

from ..chat.section import PromptedModel
from ..recipe.sections import Few, Many, Section


class LanguageModel(PromptedModel):
    """A model that rewrites."""

    rewrites: Literal["dialogue", "replies"] = "dialogue"  # both roles (BayLing-Duplex), or replies alone (FLM-Audio)


class Rewriting(Section):
    engine: str = "rules"
    llm: LanguageModel | None = None
    max_user_words: Many = 60  # a longer question is rejected; Chinese counts characters
    max_reply_words: Many = 60  # a longer reply is cut at the end of a sentence
    max_exchanges: Few = 6  # later exchanges are left out

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"llm"})
