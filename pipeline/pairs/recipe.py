"""What a recipe of preference pairs may say."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ..recipe.sections import Name, Range, Section, Seed, Share


def _once(mistakes: list[str]) -> list[str]:
    if len(set(mistakes)) < len(mistakes):
        raise ValueError(f"expected each mistake once, got {', '.join(mistakes)}")
    return mistakes


Mistake = Literal["late", "false_stop", "take_over"]
Mistakes = Annotated[list[Mistake], Field(min_length=1), AfterValidator(_once)]


class PairsRecipe(Section):
    """Everything that changes pairs, besides the data set that they are made from (BayLing-Duplex section 3)."""

    name: Name
    description: str = ""
    seed: Seed = 0
    max_rejected_share: Share = 0.9  # if more dialogues have no pair, the command stops with an error
    # What the rejected side does wrong, each as often where a dialogue allows several: a reply starts or stops late, it
    # stops for an aside, or it starts in a pause within the user's turn.
    mistakes: Mistakes = Field(default_factory=lambda: list[Mistake](["late"]))
    turn: Literal["random", "last"] = "random"  # which of the replies that allow a pair is wrong
    reply_delay_s: Range = Range(low=2.0, high=5.0)  # of a reply that starts late, from the user's end
    reaction_delay_s: Range = Range(low=3.0, high=5.0)  # of a reply that stops late, from the barge-in
    false_stop_delay_s: Range = Range(low=0.2, high=1.0)  # of a reply that stops early, from the start of the aside
    take_over_delay_s: Range = Range(low=0.1, high=1.0)  # of a reply that starts early, from the start of the pause
    least_difference_s: Annotated[float, Field(gt=0, le=600)] = 1.0  # between the delays of the two sides
    retokenize: bool = False  # move the audio and tokenize it again, in place of moving the codes

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"max_rejected_share", "name", "description"})
