"""What a recipe of preference pairs may say."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..recipe.sections import Name, Range, Section, Seed, Share


class PairsRecipe(Section):
    """Everything that changes pairs, besides the data set that they are made from (BayLing-Duplex section 3)."""

    name: Name
    description: str = ""
    seed: Seed = 0
    max_rejected_share: Share = 0.9  # if more dialogues have no pair, the command stops with an error
    turn: Literal["random", "last"] = "random"  # which of the replies that allow a pair is late
    reply_delay_s: Range = Range(low=2.0, high=5.0)  # of a reply that starts late, from the user's end
    reaction_delay_s: Range = Range(low=3.0, high=5.0)  # of a reply that stops late, from the barge-in
    least_difference_s: Annotated[float, Field(gt=0, le=600)] = 1.0  # between the delays of the two sides
    retokenize: bool = False  # move the audio and tokenize it again, in place of moving the codes

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"max_rejected_share", "name", "description"})
