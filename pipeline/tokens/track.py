"""Tokenizing tracks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..audio.resampling import resampled_int16
from .protocols import SpeechTokenizer

SLICE_S = 1200  # of channels that are held until they are tokenized together: a few large batches of a GPU

Item = TypeVar("Item")


def slices(items: Iterable[Item], num_samples: Callable[[Item], int], sample_rate: int) -> Iterator[list[Item]]:
    """Items in order, in lists that are to be tokenized together: each is complete when it has SLICE_S of sound.

    num_samples: of an item, of all its channels together. The last list has what is left; none is empty.
    """
    waiting: list[Item] = []
    held = 0
    for item in items:
        waiting.append(item)
        held += num_samples(item)
        if held >= SLICE_S * sample_rate:
            yield waiting
            waiting, held = [], 0
    if waiting:
        yield waiting


def tokenize_all(
    tracks: Sequence[NDArray[np.int16]], sample_rate: int, tokenizer: SpeechTokenizer
) -> list[NDArray[np.int16]]:
    """Codes [channels, codebooks, frames] of tracks [channels, samples].

    A track at another rate than the tokenizer's is resampled as it is heard live, `audio.resampling.DELAY_S` late.
    """
    frame = frame_samples(tokenizer, sample_rate)
    at_its_rate = [resampled_int16(samples, sample_rate, tokenizer.sample_rate, frame) for samples in tracks]
    return tokenizer.encode_all(at_its_rate)


def with_margin(
    samples: NDArray[np.int16], sample_rate: int, tokenizer: SpeechTokenizer, margin_frames: int
) -> NDArray[np.int16]:
    """A track [channels, samples] and so many frames of silence."""
    return np.pad(samples, ((0, 0), (0, margin_frames * frame_samples(tokenizer, sample_rate))))


def frame_samples(tokenizer: SpeechTokenizer, sample_rate: int) -> int:
    """Samples that a tokenizer's frame has at the rate of a track."""
    return tokenizer.samples_per_frame * sample_rate // tokenizer.sample_rate
