"""Makes the pair of one track: which mistake its rejected side makes, and of which reply."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from ..dialogue import CodedTrack
from ..errors import DialogueRejected
from ..layouts.layout import Layout
from ..randomness import generator
from ..scenarios.scenario import Scenario
from .earliness import EarlyPairs
from .edits import Edits
from .lateness import LatePairs
from .pair import Pair
from .recipe import PairsRecipe

PURPOSE = "preferences"
Make = Callable[[np.random.Generator], Pair]


@dataclass(frozen=True)
class PairMaker:
    """Makes pairs from the tracks of one data set."""

    recipe: PairsRecipe
    scenario: Scenario
    layout: Layout
    sample_rate: int  # Hz

    def pair(self, dialogue_id: str, track: CodedTrack) -> Pair:
        """The pair of one track.

        Raises DialogueRejected if it allows none, and ValueError if the track breaks what `verify` checks.
        """
        if track.user_codes.shape != track.assistant_codes.shape or track.frames <= 0:
            raise ValueError(
                f"the codes have the shapes {track.user_codes.shape} and {track.assistant_codes.shape}, expected equal "
                "ones, longer than the margin"
            )
        rng = generator(self.recipe.seed, dialogue_id, PURPOSE)
        possible, reasons = [], []
        for mistake in self.recipe.mistakes:
            try:
                possible.append(self._possible(track, mistake))
            except DialogueRejected as error:
                reasons.append(error)
        if not possible:
            raise reasons[0]
        pairs = possible[int(rng.integers(len(possible)))] if len(possible) > 1 else possible[0]
        return (pairs[-1] if self.recipe.turn == "last" else pairs[int(rng.integers(len(pairs)))])(rng)

    def _possible(self, track: CodedTrack, mistake: str) -> list[Make]:
        """What makes each pair that a track allows, in the order of its replies."""
        if mistake == "late":
            return [partial(self._late.pair, track, delay) for delay in self._late.possible(track)]
        return [partial(self._early.pair, track, early) for early in self._early.possible(track, mistake)]

    @cached_property
    def _edits(self) -> Edits:
        return Edits(self.layout)

    @cached_property
    def _late(self) -> LatePairs:
        return LatePairs(self.recipe, self.scenario, self._edits, self.sample_rate)

    @cached_property
    def _early(self) -> EarlyPairs:
        return EarlyPairs(self.recipe, self._edits, self.sample_rate)
