"""What a recipe may say of the layout."""

from typing import Annotated

from pydantic import Field

from ..recipe.sections import Section


class Layout(Section):
    name: str = "bayling"
    user_tokens: Annotated[int, Field(gt=0, le=1000)] = 10  # N: speech tokens a block a channel
    text_tokens: Annotated[int, Field(gt=0, le=1000)] = 5  # M: text tokens a block
    ast_offset: Annotated[int, Field(ge=-1, le=0)] = -1
