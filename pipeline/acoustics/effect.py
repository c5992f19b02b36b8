"""What an effect on the user's channel must offer."""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from ..dialogue import Timeline, Track
from ..recipe.file import Problem
from ..recipe.sections import Section


class EffectSection(Section):
    """What a recipe says of an effect: its name, and the effect's own keys."""

    effect: str

    PART: ClassVar[str | None] = "effect"


class Effect(Protocol):
    """Changes the user's channel. The assistant's channel, which a model is trained to say, stays clean.

    It is made in the driver, where `check` and `fingerprint` are asked, and pickled to the workers, which `load` it.
    An effect that extends this class needs to write only those methods that have something to say.
    """

    name: ClassVar[str]
    Spec: ClassVar[type[EffectSection]]

    def __init__(self, spec: EffectSection) -> None: ...

    def check(self) -> list[Problem]:
        """What this machine lacks for the effect, by keys of its section. Quick: it lists files, and reads none."""
        return []

    def fingerprint(self) -> Mapping[str, Any]:
        """What shapes the sound besides the section: versions of packages, checksums of files; no path.

        Raises UserError if the effect cannot be used, for a reason that needs the contents of files.
        """
        return {}

    def about(self) -> list[str]:
        """What `doctor` and `plan` say of it, a line each. Raises UserError as `fingerprint` does."""
        return []

    def load(self) -> None:
        """Load what `apply` needs, in the process that will run."""
        return

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        """The track with a changed user's channel of the same length, and the values drawn from `rng`, by name.

        The name of a value that belongs to one event or to one clip ends in its number: `gain_db[2]`. An effect that is
        not applied to this track gives no values.
        """
        ...
