"""What noise is taken from: recordings. Content decides which are held out from training."""

import hashlib
from typing import Literal, Protocol

import numpy as np

from ..dialogue import Waveform

HELD_OUT_OF = 10  # one recording in so many is held out
Split = Literal["train", "held_out"]


class Recording(Protocol):
    """A noise that clips are taken from."""

    @property
    def split(self) -> Split: ...

    @property
    def seconds(self) -> float:
        """How long it is; infinite for a noise that is synthesized."""
        ...

    def clip(self, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """A part of it, f32 [num_samples], of any level, from a place that is drawn. It is no longer than `seconds`."""
        ...


def split_of(content: str) -> Split:
    """Whether a recording with this content (a checksum, or what it is synthesized from) is held out."""
    number = int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big")
    return "train" if number % HELD_OUT_OF else "held_out"
