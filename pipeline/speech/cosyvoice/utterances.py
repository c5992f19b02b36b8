"""What the model is given to speak."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class VoicePrompt:
    """What the model needs of a voice's clip."""

    text: tuple[int, ...]  # ids of what is said in the clip
    tokens: NDArray[np.int64]  # [tokens], the clip as speech tokens
    mel: NDArray[np.float32]  # [frames, 80]
    embedding: NDArray[np.float32]  # [192], of the speaker


@dataclass(frozen=True, slots=True)
class Utterance:
    """Speech tokens that become sound."""

    tokens: Sequence[int]
    prompt: VoicePrompt
    seed: int  # of all noise in its sound
