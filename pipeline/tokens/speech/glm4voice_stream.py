"""GLM-4-Voice's tokenizer, fed piece by piece. The codes of a piece are those of a signal that ends with it.

A segment of 30 s stands alone. In it, positions attend to all of their own block of 4 s and to the blocks before. So
the keys and values of a finished block do not change, and only the open block is encoded again: a piece costs at most
one block, at the end of a segment as at its start.

There is one exception. Features are clamped to 80 dB below the segment's loudest moment. A moment louder than all
before it changes the features of quiet moments, and the stored part of the segment is then computed again, once.
"""

from dataclasses import dataclass
from math import lcm

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...audio.pcm import to_float
from . import neural
from .shapes import check_samples
from .whisper_vq import CONTEXT, STRIDE, Past, WhisperVQ

NAME = "glm4voice"
FFT, HOP = 400, 160  # samples
MARGIN = FFT // 2  # samples that a mel frame reaches before its place, and after it
LOWEST_POWER = 1e-10
RANGE = 8.0  # powers of ten below the loudest; what is quieter is clamped


@dataclass(frozen=True)
class Encoder:
    """What all channels share."""

    network: WhisperVQ
    filters: Tensor  # [FFT / 2 + 1, mels]
    segment_frames: int

    @property
    def frame_samples(self) -> int:
        return HOP * STRIDE * int(self.network.pooled)

    def log_mel(self, signal: Tensor) -> Tensor:
        """Log powers [..., mels, n] of samples [..., MARGIN + n * HOP + MARGIN]."""
        window = torch.hann_window(FFT, device=signal.device)
        spectrum = torch.stft(signal, FFT, HOP, window=window, center=False, return_complex=True)[..., :-1]
        powers = self.filters.T @ (spectrum.abs() ** 2).contiguous()
        return powers.clamp(min=LOWEST_POWER).log10()

    def codes(self, log_mel: Tensor, loudest: float, past: Past | None = None) -> Tensor:
        """Codes int64 [frames] of log powers [mels, n] of a segment. loudest: the largest log power of the segment."""
        codes: Tensor = self.network((log_mel.clamp(min=loudest - RANGE) + 4) / 4, past)
        return codes

    def signal(self, samples: NDArray[np.int16]) -> Tensor:
        """Samples [samples] as floats on the network's device."""
        return torch.from_numpy(to_float(samples)).to(self.filters.device)


def mirrored(signal: Tensor, at_start: bool) -> Tensor:
    """Samples [..., samples] and a margin that mirrors them at the end, and at the start if `at_start`.

    Whisper's features do so.
    """
    padded = functional.pad(signal.view(-1, signal.shape[-1]), (MARGIN if at_start else 0, MARGIN), mode="reflect")
    return padded.view(*signal.shape[:-1], -1)


class Segment:
    """A segment of a channel, as far as it has been heard."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        mels = encoder.segment_frames * encoder.frame_samples // HOP
        self._log_mel = encoder.filters.new_empty(encoder.filters.shape[1], mels)
        self._mels = 0  # frames of it that have been heard
        self._tail = encoder.filters.new_empty(0)  # samples, from a margin before the last of them on
        self._past = Past()
        self._loudest = 0.0  # as it was when `_past` was made
        self._unit = lcm(encoder.network.block, encoder.network.pooled)  # positions that end a block, and a frame

    @property
    def frames(self) -> int:
        return self._mels * HOP // self._encoder.frame_samples

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int64]:
        """Codes [frames] of the next samples, [frames * frame_samples]: the last of those of all that was heard."""
        self._hear(self._encoder.signal(samples))
        log_mel = self._log_mel[:, : self._mels]
        loudest = float(log_mel.max())
        past_mel = log_mel[:, : self._past.positions * STRIDE]
        if loudest != self._loudest and (past_mel < max(loudest, self._loudest) - RANGE).any():
            self._past = Past()
        first = max(0, self._past.positions * STRIDE - CONTEXT)
        codes = self._encoder.codes(log_mel[:, first:], loudest, self._past)
        # the last mel frame still mirrors what was before it, and reaches no position yet
        self._past.keep(self._mels // STRIDE // self._unit * self._unit)
        self._loudest = loudest
        new_codes: NDArray[np.int64] = codes[-(len(samples) // self._encoder.frame_samples) :].cpu().numpy()
        return new_codes

    def _hear(self, signal: Tensor) -> None:
        joined = torch.cat([self._tail, signal])
        first, end = max(0, self._mels - 1), self._mels + len(signal) // HOP
        self._log_mel[:, first:end] = self._encoder.log_mel(mirrored(joined, at_start=not self._mels))
        self._mels, self._tail = end, joined[-HOP - MARGIN :]


class Channel:
    """A signal, segment by segment."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._segment = Segment(encoder)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [frames] of the next samples, [frames * frame_samples], as if the signal ended with them."""
        codes = [np.empty(0, np.int16)]
        while len(samples):
            if self._segment.frames == self._encoder.segment_frames:
                self._segment = Segment(self._encoder)
            room = (self._encoder.segment_frames - self._segment.frames) * self._encoder.frame_samples
            codes.append(self._segment.push(samples[:room]).astype(np.int16))
            samples = samples[room:]
        return np.concatenate(codes)


class GLM4VoiceStream:
    """Encodes channels, each by itself."""

    def __init__(self, encoder: Encoder, channels: int, block_frames: int | None) -> None:
        """block_frames: whose codes are given at once; None: those of a push."""
        self._frame_samples, self._block_frames = encoder.frame_samples, block_frames
        self._channels = [Channel(encoder) for _ in range(channels)]
        self._waiting = np.empty((channels, 0), np.int16)  # the beginning of a block

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Codes [channels, 1, frames] of the blocks that are whole now, given int16 [channels, frames * frame_samples].

        Raises ValueError at another number of channels, or at samples that do not fill whole frames.
        """
        check_samples(samples, self._frame_samples, len(self._channels))
        signal = np.concatenate([self._waiting, samples], axis=1)
        block = self._block_frames * self._frame_samples if self._block_frames else max(1, signal.shape[1])
        whole = signal.shape[1] // block * block
        self._waiting = signal[:, whole:]
        return self._commit(signal[:, :whole], block)

    def finish(self) -> NDArray[np.int16]:
        """Codes [channels, 1, frames] of the block that the signal's end cuts short."""
        rest, self._waiting = self._waiting, self._waiting[:, :0]
        return self._commit(rest, max(1, rest.shape[1]))

    def _commit(self, samples: NDArray[np.int16], block: int) -> NDArray[np.int16]:
        blocks = range(0, samples.shape[1], block)
        codes = np.empty((len(samples), 1, samples.shape[1] // self._frame_samples), np.int16)
        with torch.inference_mode(), neural.enough_memory(NAME):
            for row, channel, signal in zip(codes, self._channels, samples, strict=True):
                if pieces := [channel.push(signal[at : at + block]) for at in blocks]:
                    row[0] = np.concatenate(pieces)
        return codes
