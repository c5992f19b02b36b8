"""What a channel sounds like where nobody speaks."""

import numpy as np
from numpy.typing import NDArray


def fill(samples: NDArray[np.int16], background: NDArray[np.int16]) -> None:
    """Write a background into samples, both [samples], as often as needed; silence if there is none."""
    samples[:] = np.resize(background, len(samples)) if background.any() else 0
