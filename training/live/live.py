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
from .modes import check_length, mode_of
from .stream import USUAL, Sampling, Stream


@dataclass(frozen=True)
class Block:
    """What the assistants of several dialogues say in one block."""

    user_codes: NDArray[np.int16]  # [dialogues, codebooks, frames], what they have heard
    text_ids: NDArray[np.int32]  # [dialogues, text slots]
    waveforms: Waveform  # [dialogues, block_samples], played one block after the user's samples
    took_s: float  # to tokenize, think and decode


def converse(
    model: DuplexModel, dialogue_ids: Sequence[str], user: NDArray[np.int16], sampling: Sampling = USUAL
) -> Iterator[Block]:
    """The blocks of dialogues whose users say `user`, int16 [dialogues, samples] at the model's rate, whole blocks.

    Raises UserError before the first block if models of this layout cannot talk, if the model has too few positions,
    or if the tokenizer is not installed or does not decode.
    """
    mode, tokenizer, size = mode_of(model.format), speech_tokenizer(model.format), model.format.block_samples
    encoder = UserEncoder(tokenizer, model.format, len(user))
    decoder = AssistantDecoder(tokenizer, model.format, len(user), mode.codebooks)
    if user.shape[1] % size:
        raise ValueError(f"{user.shape[1]} samples are no whole number of blocks of {size}")
    check_length(model, user.shape[1] // size)
    stream = mode.stream(model, dialogue_ids, sampling)
    return (_block(stream, encoder, decoder, user[:, at : at + size]) for at in range(0, user.shape[1], size))


def _block(stream: Stream, encoder: "UserEncoder", decoder: "AssistantDecoder", samples: NDArray[np.int16]) -> Block:
    start = time.perf_counter()
    codes = encoder.push(samples)
    said = stream.step(codes)
    return Block(codes, said.text_ids, decoder.push(said.codes), time.perf_counter() - start)


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
        """Codes [dialogues, codebooks, frames] of the next block, int16 [dialogues, block_samples].

        Raises UserError if the tokenizer does not give all codes of a block with the block.
        """
        codes = self._stream.push(self._resampler.push_int16(samples))
        expected = self._format.described.layout.block_frames
        if codes.shape[2] != expected:
            raise UserError(
                f"the speech tokenizer gives {codes.shape[2]} codes for a block of {expected} frames: it waits for "
                "later sound. Expected one that ends with each block, such as glm4voice in its mode `streaming` with "
                f"block_frames that divides {expected}. Build such a data set and train on it."
            )
        return codes


class AssistantDecoder:
    """Decodes the assistants' codes as they are sampled."""

    def __init__(
        self, tokenizer: SpeechTokenizer, sequence_format: SequenceFormat, dialogues: int, codebooks: int
    ) -> None:
        """codebooks: how many are pushed."""
        self._silence = np.zeros((dialogues, sequence_format.block_samples), np.float32)
        self._stream = tokenizer.decoding_stream(dialogues)
        rates = (tokenizer.sample_rate, sequence_format.sample_rate)
        self._resampler = Resampler(dialogues, *rates, tokenizer.samples_per_frame)
        # The first use loads what is not loaded yet: the first block must not wait for that.
        frames = sequence_format.described.layout.block_frames
        tokenizer.decoding_stream(1).push(np.ones((1, codebooks, frames), np.int16))

    def push(self, codes: NDArray[np.int16]) -> Waveform:
        """Waveforms [dialogues, block_samples] in [-1, 1], at the format's rate.

        codes: [dialogues, codebooks, frames of a block], or no frames before the first is whole: then there is silence.
        If the tokenizer has another rate, the waveforms are `audio.resampling.DELAY_S` late.
        """
        return self._resampler.push(self._stream.push(codes)) if codes.shape[2] else self._silence
