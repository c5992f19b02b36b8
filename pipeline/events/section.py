"""What a recipe says of the events in a dialogue: what happens during replies and turns, and how often."""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import model_validator

from ..chat.section import PromptedModel
from ..recipe.sections import Section, Share


class Kinds(Section):
    """Shares of kinds."""

    def shares(self) -> Mapping[str, float]:
        return self.model_dump()


class DuringReplies(Kinds):
    """What happens during a reply, or right after it; nothing, in the share that is left."""

    barge_in: Share = 0.3
    backchannel: Share = 0.3
    bystander: Share = 0.1
    side_talk: Share = 0.1

    @model_validator(mode="after")
    def at_most_one(self) -> "DuringReplies":
        if (total := sum(self.shares().values())) > 1 + 1e-9:
            raise ValueError(f"expected shares that add up to 1 at most, got {total:g}")
        return self


class BargeIns(Kinds):
    """Of the replies that are interrupted, how."""

    follow_up: Share = 0.3
    negation: Share = 0.2
    repetition: Share = 0.2
    topic_switch: Share = 0.2
    silence_request: Share = 0.1

    @model_validator(mode="after")
    def one(self) -> "BargeIns":
        if not math.isclose(total := sum(self.shares().values()), 1.0, abs_tol=1e-6):
            raise ValueError(f"expected shares that add up to 1, got {total:g}")
        return self


class Events(Section):
    """What happens is drawn; what is said is a phrase of a list, or what a language model writes for the dialogue."""

    during_replies: DuringReplies = DuringReplies()
    barge_ins: BargeIns = BargeIns()
    assistant_backchannel: Share = 0.3  # of the user's turns that are long enough: in so many, the assistant has one
    phrases: Literal["train", "held_out"] = "train"  # `held_out` has others than `train`, for evaluation
    texts: Literal["rules", "llm"] = "rules"
    llm: PromptedModel | None = None

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"llm"})
