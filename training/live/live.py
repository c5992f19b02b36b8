"""A conversation in simulated real time: the user's samples in, the assistant's out, a block at a time.

At block b the model has heard the samples before (b + 1)·Δt and none after. Its answer to them is played from
(b + 1)·Δt on (BayLing-Duplex sections 2.1 and 2.3).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...pipeline.audio.resampling import Resampler
from ...pipeline.dialogue import Waveform
from ...pipeline.errors import UserError
from ...pipeline.tokens.tokenizers import SPEECH_TOKENIZERS, SpeechTokenizer, installed
from ...pipeline.tokens.track import frame_samples
from ..models.model import DuplexModel
from ..sequences import SequenceFormat
from .stream import TEMPERATURE, Stream


@dataclass(frozen=True)
class Block:
    """What the assistants of several dialogues say in one block."""

    user_codes: NDArray[np.int16]  # [dialogues, N], what they have heard
    text_ids: NDArray[np.int32]  # [dialogues, M]
    waveforms: Waveform  # [dialogues, block_samples], played one block after the user's samples
    took_s: float  # to tokenize, think and decode


def converse(
    model: DuplexModel,
    dialogue_ids: Sequence[str],
    user: NDArray[np.int16],
    temperature: float = TEMPERATURE,
    seed: int = 0,
) -> Iterator[Block]:
    """The blocks of dialogues whose users say `user`, int16 [dialogues, samples] at the model's rate, whole blocks.

    Raises UserError before the first block if the model has another layout than BayLing's or too few positions, or if
    the tokenizer is not installed or does not decode.
    """
    tokenizer = speech_tokenizer(model.format)
    encoder = UserEncoder(tokenizer, model.format, len(user))
    decoder = AssistantDecoder(tokenizer, model.format, len(user))
    size = model.format.bayling.block_samples
    if user.shape[1] % size:
        raise ValueError(f"{user.shape[1]} samples are no whole number of blocks of {size}")
    stream = Stream(model, dialogue_ids, user.shape[1] // size, temperature, seed)
    return (_block(stream, encoder, decoder, user[:, at : at + size]) for at in range(0, user.shape[1], size))


def _block(stream: Stream, encoder: "UserEncoder", decoder: "AssistantDecoder", samples: NDArray[np.int16]) -> Block:
    start = time.perf_counter()
    codes = encoder.push(samples)
    ids = stream.step(codes)
    text_tokens = decoder.format.bayling.text_tokens
    waveforms = decoder.push(decoder.format.bayling.vocabulary.audio_codes(ids[:, text_tokens:]))
    return Block(codes, ids[:, :text_tokens], waveforms, time.perf_counter() - start)


def speech_tokenizer(sequence_format: SequenceFormat) -> SpeechTokenizer:
    """The tokenizer of a model's sequences; raises UserError if it is not installed, or is another one."""
    tokenizer: SpeechTokenizer = installed(
        SPEECH_TOKENIZERS, sequence_format.described.speech_tokenizer, sequence_format.tokens
    )
    return tokenizer


class UserEncoder:
    """Encodes the users' channels block by block, to the codes that data sets have of such tracks."""

    def __init__(self, tokenizer: SpeechTokenizer, sequence_format: SequenceFormat, dialogues: int) -> None:
        self._format = sequence_format
        self._stream = tokenizer.stream(dialogues)
        rate, frame = sequence_format.sample_rate, frame_samples(tokenizer, sequence_format.sample_rate)
        self._resampler = Resampler(dialogues, rate, tokenizer.sample_rate, frame)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [dialogues, N] of codebook 0 of the next block, int16 [dialogues, block_samples].

        A code without an id, which no training data has, becomes the last code with an id: a live user cannot be
        rejected. Raises UserError if the tokenizer does not give all codes of a block with the block.
        """
        codes = self._stream.push(self._resampler.push_int16(samples))[:, 0]
        expected = self._format.bayling.user_tokens
        if codes.shape[1] != expected:
            raise UserError(
                f"the speech tokenizer gives {codes.shape[1]} codes for a block of {expected} frames. Expected "
                "tokens.glm4voice.block_frames to divide layout.user_tokens. Build such a data set and train on it."
            )
        return np.minimum(codes, self._format.bayling.vocabulary.audio_size - 1)


class AssistantDecoder:
    """Decodes the assistants' codes as they are sampled."""

    def __init__(self, tokenizer: SpeechTokenizer, sequence_format: SequenceFormat, dialogues: int) -> None:
        self.format = sequence_format
        self._stream = tokenizer.decoding_stream(dialogues)
        rates = (tokenizer.sample_rate, sequence_format.sample_rate)
        self._resampler = Resampler(dialogues, *rates, tokenizer.samples_per_frame)
        # The first use loads what is not loaded yet: the first block must not wait for that.
        tokenizer.decoding_stream(1).push(np.ones((1, 1, sequence_format.bayling.user_tokens), np.int16))

    def push(self, codes: NDArray[np.int16]) -> Waveform:
        """Waveforms [dialogues, block_samples] in [-1, 1], at the format's rate, of codes [dialogues, N].

        If the tokenizer has another rate, they are `audio.resampling.DELAY_S` late.
        """
        return self._resampler.push(self._stream.push(codes[:, np.newaxis]))
