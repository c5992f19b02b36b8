"""What a recipe may say of rewriting."""

from typing import Annotated, Literal

from pydantic import Field

from ..recipe.sections import Few, Many, Section
from ..storage.paths import PathText


class LanguageModel(Section):
    """A language model behind an OpenAI-compatible endpoint; its key, if it needs one, is in OPENAI_API_KEY."""

    url: str  # up to and without /chat/completions
    model: str  # by the endpoint's name for it
    rewrites: Literal["dialogue", "replies"] = "dialogue"  # both roles (BayLing-Duplex), or only replies (FLM-Audio)
    prompt: PathText | None = None  # your own file, relative to the working folder; None: the prompt that ships
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    max_tokens: Annotated[int, Field(gt=0, le=1_000_000)] = 2048  # of an answer
    at_once: Many = 16  # parallel requests, at most partition_size
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    attempts: Few = 3  # answers asked for before a dialogue is rejected


class Rewriting(Section):
    engine: str = "rules"
    llm: LanguageModel | None = None
    max_user_words: Many = 60  # a longer question is rejected; Chinese counts characters
    max_reply_words: Many = 60  # a longer reply is cut at the end of a sentence
    max_exchanges: Few = 6  # later exchanges are left out
