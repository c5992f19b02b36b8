"""A conversation in simulated real time: the user's samples in, the assistant's out, a block at a time.

At block b the model has heard the samples before (b + 1)·Δt and none after; what it answers is played from (b + 1)·Δt
on (BayLing-Duplex sections 2.1 and 2.3).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from ...pipeline.dialogue import Waveform
from ...pipeline.tokens.tokenizers import SPEECH_TOKENIZERS, SpeechTokenizer, installed
from ...pipeline.tokens.track import tokenize
from ..models.model import DuplexModel
from ..sequences import SequenceFormat
from .stream import TEMPERATURE, Stream

CONTEXT_FRAMES = 4  # decoded again before each block, so that the voice goes on where it was
KEPT_DECODINGS = 256  # silence comes again and again


@dataclass(frozen=True)
class Block:
    """What the assistants of several dialogues say in a block."""

    user_codes: NDArray[np.int16]  # [dialogues, N], what was heard
    text_ids: NDArray[np.int32]  # [dialogues, M]
    waveforms: Waveform  # [dialogues, block_samples], played one block later than the user's samples it follows
    took_s: float  # to tokenize, think and decode


def converse(
    model: DuplexModel,
    dialogue_ids: Sequence[str],
    user: NDArray[np.int16],
    temperature: float = TEMPERATURE,
    seed: int = 0,
) -> Iterator[Block]:
    """The blocks of dialogues whose users say `user`, int16 [dialogues, samples] at the model's rate, whole blocks.

    Raises UserError before the first block if the model has too few positions, or the tokenizer is not installed.
    """
    tokenizer = speech_tokenizer(model.format)
    encoder, decoder = UserEncoder(tokenizer, model.format), AssistantDecoder(tokenizer, model.format, len(user))
    size = model.format.block_samples
    if user.shape[1] % size:
        raise ValueError(f"{user.shape[1]} samples are no whole number of blocks of {size}")
    stream = Stream(model, dialogue_ids, user.shape[1] // size, temperature, seed)
    return (_turn(stream, encoder, decoder, user[:, at : at + size]) for at in range(0, user.shape[1], size))


def _turn(stream: Stream, encoder: "UserEncoder", decoder: "AssistantDecoder", heard: NDArray[np.int16]) -> Block:
    start = time.perf_counter()
    codes = encoder.push(heard)
    ids = stream.step(codes)
    text_tokens = decoder.format.text_tokens
    waveforms = decoder.push(decoder.format.vocabulary.audio_codes(ids[:, text_tokens:]))
    return Block(codes, ids[:, :text_tokens], waveforms, time.perf_counter() - start)


def speech_tokenizer(sequence_format: SequenceFormat) -> SpeechTokenizer:
    """The tokenizer of a model's sequences; raises UserError if it is not the one installed."""
    tokenizer: SpeechTokenizer = installed(
        SPEECH_TOKENIZERS, sequence_format.described.speech_tokenizer, sequence_format.tokens
    )
    return tokenizer


class UserEncoder:
    """Codes of the users' channels as they come in."""

    def __init__(self, tokenizer: SpeechTokenizer, sequence_format: SequenceFormat) -> None:
        self._tokenizer, self._format = tokenizer, sequence_format
        self._alone = tokenizer.frame_by_frame and tokenizer.sample_rate == sequence_format.sample_rate
        self._heard: NDArray[np.int16] | None = None

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [dialogues, N] of codebook 0 of the next block, int16 [dialogues, block_samples].

        A tokenizer that looks around a frame is given all that was heard so far, and nothing of what follows. A code
        without an id, which no training data has, is heard as the last one with an id: nobody can be asked again.
        """
        if self._alone or self._heard is None:
            self._heard = samples
        else:
            self._heard = np.concatenate([self._heard, samples], axis=1)
        codes = tokenize(self._heard, self._format.sample_rate, self._tokenizer, margin_frames=0)
        return np.minimum(codes[:, 0, -self._format.user_tokens :], self._format.vocabulary.audio_size - 1)


class AssistantDecoder:
    """Sound of the assistants' codes as they are sampled."""

    def __init__(self, tokenizer: SpeechTokenizer, sequence_format: SequenceFormat, dialogues: int) -> None:
        self.format = sequence_format
        self._tokenizer = tokenizer
        frames = CONTEXT_FRAMES + sequence_format.user_tokens
        silence = tokenizer.encode(np.zeros((1, frames * tokenizer.samples_per_frame), np.int16))[:, 0]
        self._before = np.repeat(silence[:, :CONTEXT_FRAMES], dialogues, axis=0)  # [dialogues, CONTEXT_FRAMES]
        self._decoded: dict[bytes, Waveform] = {}
        self._decode(silence[0])  # what is loaded at the first use is not to be waited for in the first block

    def push(self, codes: NDArray[np.int16]) -> Waveform:
        """Waveforms [dialogues, block_samples] in [-1, 1], at the format's rate, of codes [dialogues, N]."""
        windows = np.concatenate([self._before, codes], axis=1)
        self._before = windows[:, -CONTEXT_FRAMES:]
        return np.stack([self._decode(window) for window in windows])

    def _decode(self, window: NDArray[np.int16]) -> Waveform:
        key = window.tobytes()
        if key not in self._decoded:
            if len(self._decoded) == KEPT_DECODINGS:
                self._decoded.pop(next(iter(self._decoded)))
            decoded = self._tokenizer.decode(window[np.newaxis])
            if self._tokenizer.sample_rate != self.format.sample_rate:
                decoded = soxr.resample(decoded, self._tokenizer.sample_rate, self.format.sample_rate)
            self._decoded[key] = decoded[-self.format.block_samples :]
        return self._decoded[key]
