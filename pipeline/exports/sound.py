"""Audio of rows as consumers read it."""

import io

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ..audio.pcm import to_float, to_int16
from ..dataset.audio import read_audio
from .exporter import Row, Shard


def channels(shard: Shard, number: int, row: Row) -> NDArray[np.int16]:
    """Samples [samples, 2] of a row, the user first. number: of the row. Raises UserError if it has no such audio."""
    try:
        return read_audio((row["audio"] or {}).get("bytes"), shard.dataset.sample_rate)
    except ValueError as error:
        raise shard.damaged(number, f"has damaged audio: it {error}") from None


def resampled(samples: NDArray[np.int16], rate_hz: int, to_hz: int) -> NDArray[np.int16]:
    """Samples [samples] or [samples, channels] at another rate, without delay; unchanged if the rates are equal.

    The whole signal is known here, so the filter may look ahead, unlike in `audio.resampling`.
    """
    if rate_hz == to_hz:
        return samples
    return to_int16(soxr.resample(to_float(samples), rate_hz, to_hz, quality="VHQ"))


def wav(samples: NDArray[np.int16], sample_rate: int) -> bytes:
    """WAV of 16 bit of samples [samples] or [samples, channels]."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
