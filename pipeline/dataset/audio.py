"""The audio of a row."""

import numpy as np
from numpy.typing import NDArray

from ..audio import flac
from ..dialogue import CHANNELS

LONGEST_TRACK_S = 4 * 3600


def read_audio(data: bytes | None, rate: int, num_samples: int | None = None) -> NDArray[np.int16]:
    """Samples [samples, channels] of the FLAC of a row.

    num_samples: per channel; None: any length up to LONGEST_TRACK_S. Raises ValueError if the audio has another rate,
    number of channels or length; a wrong header is found before anything is decoded.
    """
    return flac.decode_checked(data, rate, len(CHANNELS), LONGEST_TRACK_S, num_samples)
