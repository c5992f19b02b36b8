"""Sound as FLAC of 16 bit, in memory."""

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

FORMAT = {"format": "FLAC", "subtype": "PCM_16"}
COMPRESSION_LEVEL = 0.125  # two thirds of the time of the default, for 0.6 % more bytes of speech


def encode(samples: NDArray[np.float32] | NDArray[np.int16], sample_rate: int) -> bytes:
    """FLAC of samples [samples] or [samples, channels]; floats are rounded as `pcm.to_int16` does it."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, compression_level=COMPRESSION_LEVEL, **FORMAT)
    return buffer.getvalue()


def decode(data: bytes) -> NDArray[np.float32]:
    """Samples of FLAC that `encode` wrote: f32 [samples] in [-1, 1), or [samples, channels] of several channels."""
    waveform: NDArray[np.float32] = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    return waveform


def decode_checked(
    data: bytes | None, sample_rate: int, channels: int, longest_s: float, num_samples: int | None = None
) -> NDArray[np.int16]:
    """Samples [samples, channels] of FLAC that anybody may have written.

    It is decoded only if its header says what is expected. num_samples: of each channel; None: any number up to
    `longest_s`. Raises ValueError otherwise, with a message that continues "the audio …".
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data or b"")) as file:
            length = file.frames if num_samples is None else num_samples
            if file.format != "FLAC":
                raise ValueError(f"is {file.format}, expected FLAC")
            actual, expected = (file.frames, file.channels), (length, channels)
            if actual != expected or file.samplerate != sample_rate:
                raise ValueError(f"is {actual} at {file.samplerate} Hz, expected {expected} at {sample_rate} Hz")
            if length > longest_s * sample_rate:
                raise ValueError(f"is longer than {longest_s} s")
            samples: NDArray[np.int16] = file.read(length + 1, dtype="int16", always_2d=True)
    except soundfile.SoundFileError as error:
        raise ValueError(f"cannot be decoded: {error}") from error
    if len(samples) != length:
        raise ValueError(f"has {len(samples)} samples, and says {length}")
    return samples
