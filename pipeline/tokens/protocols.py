"""What a speech tokenizer and a text tokenizer must offer, so that a recipe can name any of them."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..recipe.file import Problem
from .section import Tokens


class EncodingStream(Protocol):
    """Codes of signals that come in bit by bit: what a tokenizer has heard of some channels, each by itself.

    Time and memory of a push follow from what is pushed, not from what was heard before.
    """

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, codebooks, frames] of what follows, int16 [channels, whole frames] at `sample_rate`.

        Raises ValueError at another number of channels, or at samples that are no whole number of frames.
        """
        ...


class DecodingStream(Protocol):
    """Sound of codes that come in bit by bit: each push goes on where the one before ended."""

    def push(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveforms [channels, frames * samples_per_frame] of what follows, [channels, codebooks used, frames].

        Raises ValueError at another number of channels or of codebooks, or at codes that there are not.
        """
        ...


class SpeechTokenizer(Protocol):
    """Waveforms to codes and back, one frame of codes every `samples_per_frame` samples.

    Made of a recipe's section and pickled to workers before `load`, which happens there; all but `load`, `encode`,
    `decode` and the streams loads no weights, so that a build can be planned anywhere.
    """

    def __init__(self, tokens: Tokens) -> None: ...

    @property
    def name(self) -> str:
        """Its name in a recipe."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same samples may give other codes."""
        ...

    @property
    def sample_rate(self) -> int:
        """Hz."""
        ...

    @property
    def samples_per_frame(self) -> int: ...

    @property
    def codebooks(self) -> int: ...

    @property
    def codebook_size(self) -> int:
        """Codes are 0 … codebook_size - 1; at most 32768, so that they fit int16."""
        ...

    @property
    def frame_by_frame(self) -> bool:
        """Whether a frame's codes depend only on its own samples."""
        ...

    @property
    def decodes(self) -> bool:
        """Whether `decode` and `decoding_stream` give sound; else they raise UserError."""
        ...

    @property
    def num_gpus(self) -> float:
        """Of an actor that tokenizes."""
        ...

    def check(self) -> list[Problem]:
        """What of the recipe's section keeps it from being used here."""
        ...

    def fingerprint(self) -> Mapping[str, str]:
        """`name`, `version` and `sha256` of the weights: everything that decides the codes."""
        ...

    def load(self) -> None: ...

    def encode(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, codebooks, frames] of samples [channels, samples] at `sample_rate`.

        Each channel is encoded by itself, so any number of signals of equal length makes a batch.
        Raises ValueError unless the number of samples is a multiple of `samples_per_frame`.
        """
        ...

    def decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveform [frames * samples_per_frame] of codes [codebooks, frames].

        Fewer codebooks than `codebooks` may be given: the first ones, at least one.
        """
        ...

    def stream(self, channels: int) -> EncodingStream:
        """Encodes signals as they are heard.

        However a signal is cut into pushes, its codes are those that `encode` gives the whole: exactly where a frame's
        codes depend on the frame alone, up to rounding where they depend on those before it. A tokenizer that looks
        ahead says what its stream gives in place of that.
        """
        ...

    def decoding_stream(self, channels: int) -> DecodingStream:
        """Decodes codes as they are sampled.

        However they are cut into pushes, the waveform is that of `decode` up to rounding, if that looks back alone. A
        tokenizer whose `decode` looks ahead says what its stream gives in place of that. Raises UserError where
        `decode` does.
        """
        ...


class TextTokenizer(Protocol):
    """Text to ids and back. Text is always text: `encode` never gives the id of a special token."""

    def __init__(self, tokens: Tokens) -> None: ...

    @property
    def name(self) -> str: ...

    @property
    def vocab_size(self) -> int: ...

    def check(self) -> list[Problem]:
        """What of the recipe's section keeps it from being used here."""
        ...

    def fingerprint(self) -> Mapping[str, str]:
        """`name`, `version` and `sha256` of the vocabulary and merges."""
        ...

    def load(self) -> None: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: list[int]) -> str: ...

    def to_json(self) -> str:
        """The tokenizer as a `tokenizer.json`, as the `tokenizers` library reads it."""
        ...
