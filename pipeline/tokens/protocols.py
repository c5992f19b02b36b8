"""What a speech tokenizer and a text tokenizer must offer, so that a recipe can name any of them."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class SpeechTokenizer(Protocol):
    """Waveforms to codes and back, one frame of codes every `samples_per_frame` samples.

    The attributes and `fingerprint` belong to the class, so that a build can be planned without loading
    weights. The constructor takes keyword arguments only, all with defaults (a device, a checkpoint folder).
    """

    name: str  # what a recipe calls it
    version: str  # changes whenever the same samples may give other codes
    sample_rate: int  # Hz
    samples_per_frame: int
    codebooks: int
    codebook_size: int  # codes are 0 … codebook_size - 1; at most 32768, so that they fit int16
    frame_by_frame: bool  # a frame's codes depend on its own samples alone

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        """`name`, `version` and `sha256` of the weights: what decides the codes. Loads no model."""
        ...

    def encode(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, codebooks, frames] of samples [channels, samples] at `sample_rate`.

        Channels are encoded apart from each other, so any number of signals of equal length makes a batch.
        Raises ValueError unless the number of samples is a multiple of `samples_per_frame`.
        """
        ...

    def decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveform [frames * samples_per_frame] of codes [codebooks, frames].

        Fewer codebooks than `codebooks` may be given: the first ones, at least one.
        """
        ...


class TextTokenizer(Protocol):
    """Text to ids and back. Text is only ever text: no id of a special token comes out of `encode`."""

    name: str
    vocab_size: int

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        """`name`, `version` and `sha256` of the vocabulary and merges."""
        ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...

    def to_json(self) -> str:
        """The tokenizer as a `tokenizer.json`, as the `tokenizers` library reads it."""
        ...
