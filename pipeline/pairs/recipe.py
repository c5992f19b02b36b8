"""What a recipe of preference pairs may say."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..recipe.sections import Name, Range, Section, Seed, Share


class PairsRecipe(Section):
    """Everything that changes pairs, beside the data set they are made from (BayLing-Duplex section 3)."""

    name: Name
    description: str = ""
    seed: Seed = 0
    max_rejected_share: Share = 0.9  # more dialogues without a pair stop the command with an error
    turn: Literal["random", "last"] = "random"  # which of the replies that allow a pair is delayed
    reply_delay_s: Range = Range(low=2.0, high=5.0)  # of a negative's reply, after the user's end
    reaction_delay_s: Range = Range(low=3.0, high=5.0)  # of a negative's stop, after the barge-in
    least_difference_s: Annotated[float, Field(gt=0, le=600)] = 1.0  # between the two sides
    retokenize: bool = False  # tokenize the moved audio anew, in place of moving its codes

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"max_rejected_share", "name", "description"})
