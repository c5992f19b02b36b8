"""What a recipe says of a language model behind an endpoint."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from ..recipe.sections import HIDDEN, Few, Many, Section
from ..storage.paths import PathText


def _address(url: str) -> str:
    if problem := _problem(url):
        raise PydanticCustomError(HIDDEN, "{problem}", {"problem": problem})  # the address may hold a key
    return url


def _problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises if it is not a number
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "expected an address such as http://127.0.0.1:8000/v1"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "expected an address alone; a key belongs in OPENAI_API_KEY"
    if parts.path.rstrip("/").endswith("/chat/completions"):
        return "expected the address up to and without /chat/completions"
    return None


class ChatModel(Section):
    """A language model behind an OpenAI-compatible endpoint; its key, if it wants one, is in OPENAI_API_KEY."""

    url: Annotated[str, AfterValidator(_address)]  # up to and without /chat/completions
    model: str  # the endpoint's name of the model
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    max_tokens: Annotated[int, Field(gt=0, le=1_000_000)] = 2048  # of an answer
    at_once: Many = 16  # requests under way at the same time
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 120.0  # for a whole answer
    attempts: Few = 3  # answers that are asked for, as long as none can be used


class PromptedModel(ChatModel):
    """A model that writes for dialogues. A dialogue is rejected if none of `attempts` answers can be used."""

    prompt: PathText | None = None  # a file, relative to the working folder; None: the prompt that ships
