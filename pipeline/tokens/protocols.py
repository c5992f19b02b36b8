"""What a speech tokenizer and a text tokenizer must offer, so that a recipe can name any of them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..recipe.file import Problem
from .section import Tokens


class EncodingStream(Protocol):
    """Encodes signals that arrive in pieces, each channel by itself.

    The time and memory of a push depend on its length, not on what was pushed before.
    """

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, codebooks, frames] of the next samples, int16 [channels, whole frames] at `sample_rate`.

        Raises ValueError at another number of channels, or at samples that do not fill whole frames.
        """
        ...


class DecodingStream(Protocol):
    """Decodes codes that arrive in pieces. Each push continues the sound of the one before."""

    def push(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveforms [channels, frames * samples_per_frame] of the next codes, [channels, codebooks used, frames].

        Raises ValueError at another number of channels or of codebooks, or at codes outside the codebook.
        """
        ...


class SpeechTokenizer(Protocol):
    """Waveforms to codes and back, one frame of codes every `samples_per_frame` samples.

    Made of a recipe's section and pickled to workers before `load`, which happens there; all but `load`, `encode`,
    `encode_all`, `decode` and the streams loads no weights, so that a build can be planned anywhere.
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
        """GPUs, or the share of one, of an actor that tokenizes."""
        ...

    def check(self) -> list[Problem]:
        """Problems of the recipe's section that prevent its use on this machine."""
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

    def encode_all(self, tracks: Sequence[NDArray[np.int16]]) -> list[NDArray[np.int16]]:
        """Codes of tracks of any lengths and numbers of channels, each as `encode` gives them.

        A model computes channels and tracks together, within bounded memory. Rounding may then change a code where two
        entries of a codebook are about equally near, as another machine may; nothing else of a track depends on others.
        """
        ...

    def decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Waveform [frames * samples_per_frame] of codes [codebooks, frames].

        Fewer codebooks than `codebooks` may be given: the first ones, at least one.
        """
        ...

    def stream(self, channels: int) -> EncodingStream:
        """Encodes signals as they are heard.

        However a signal is cut into pushes, its codes are those that `encode` gives for the whole: exactly, if they
        depend on their frame alone; up to rounding, if they depend on earlier frames. A tokenizer that looks ahead
        documents what its stream gives instead.
        """
        ...

    def decoding_stream(self, channels: int) -> DecodingStream:
        """Decodes codes as they are sampled.

        However codes are cut into pushes, the waveform is that of `decode`, up to rounding, if `decode` does not look
        ahead. A tokenizer whose `decode` does documents what its stream gives instead. Raises UserError where `decode`
        does.
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
        """Problems of the recipe's section that prevent its use on this machine."""
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
