"""Channels of speech tokens to waveforms, push by push, as GLM-4-Voice's own demo goes through a reply.

Each push generates log-mel frames for its tokens, given the tokens and the frames before. The last of them, 0.39 s,
wait for the next push, which generates them again, now with what follows; the two versions are faded into each other.
The vocoder gets the last frame before, and keeps its last frame back for the next push.

Three things differ from the demo, because a dialogue lasts longer than a reply. Only the last tokens and frames are
given, so that a push costs the same late as early. Frames are given once: the demo gives the one that the vocoder
repeats twice, and so loses 12 ms per push. And the weights of a fade add up to 1.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...randomness import generator
from .glm4voice_decoder_config import TOKEN_SAMPLES
from .glm4voice_flow import MELS, Flow
from .glm4voice_vocoder import HARMONICS, HOP, Vocoder

OVERLAP_FRAMES = 5 * TOKEN_SAMPLES // HOP  # 5 tokens, 0.39 s
GIVEN_TOKENS = 50  # 4 s; a few more if pushes do not fill blocks of the encoder
NOISE_FRAMES = 4096  # after so many, the flow starts from the same noise again
# A push of any size leaves so many samples less than its tokens last: the overlap, the vocoder's frame, and less than a
# frame, because frames do not divide tokens.
DELAY_SAMPLES = (OVERLAP_FRAMES + 2) * HOP


def frames_of(tokens: int) -> int:
    """Whole log-mel frames in the time of so many tokens."""
    return tokens * TOKEN_SAMPLES // HOP


@dataclass(frozen=True)
class Networks:
    """The loaded decoder. Its noise is the same for every signal, so the same tokens give the same sound."""

    flow: Flow
    vocoder: Vocoder
    noise: Tensor  # [80, NOISE_FRAMES], standard normal
    phases: Tensor  # [9], radians, of the harmonics; that of the fundamental is 0

    @classmethod
    def of(cls, flow: Flow, vocoder: Vocoder, device: str) -> "Networks":
        draw = generator(0, "glm4voice", "decoder")
        noise = draw.standard_normal((MELS, NOISE_FRAMES), dtype=np.float32)
        phases = np.append(0, draw.uniform(-np.pi, np.pi, HARMONICS - 1)).astype(np.float32)
        return cls(flow, vocoder, torch.from_numpy(noise).to(device), torch.from_numpy(phases).to(device))


class Voices:
    """What channels have said so far, as much of it as the next push needs.

    Channels are rows of a batch: each push has equally many tokens of each, and so the same shapes follow. A channel's
    noise is that of a channel alone.
    """

    def __init__(self, networks: Networks, channels: int) -> None:
        self._networks, device = networks, networks.noise.device
        self._tokens = torch.empty(channels, 0, dtype=torch.int64, device=device)
        self._first = 0  # place of the first of these tokens in all
        self._mel = torch.empty(channels, MELS, 0, device=device)  # what was spoken, from that token on
        self._overlap: Tensor | None = None  # frames that were generated and not spoken
        self._frame = torch.empty(channels, MELS, 0, device=device)  # the last one that the vocoder got
        self._source = torch.empty(channels, 0, device=device)  # of that frame, [channels, 256]
        self._draw = generator(0, "glm4voice", "source")

    def push(self, tokens: Tensor, last: bool = False) -> Tensor:
        """Waveforms [channels, samples] at 22,050 Hz of the next tokens, int64 [channels, tokens], one or more each.

        All pushes so far lack at most DELAY_SAMPLES of what their tokens last. last: nothing follows; then only a part
        of a log-mel frame is missing.
        """
        mel = self._generated(tokens, last)
        if not mel.shape[2]:
            return mel.new_empty(len(mel), 0)
        mel = torch.cat([self._frame, mel], dim=2)
        noise = self._draw.standard_normal((HARMONICS, mel.shape[2] * HOP), dtype=np.float32)
        networks = self._networks
        waveform: Tensor
        waveform, source = networks.vocoder(mel, self._source, networks.phases, torch.from_numpy(noise).to(mel.device))
        self._frame, self._source = mel[:, :, -1:].clone(), source[:, -HOP:].clone()
        return waveform if last else waveform[:, :-HOP]

    def _generated(self, tokens: Tensor, last: bool) -> Tensor:
        """Log-mel frames that are to be spoken now, [channels, 80, frames]."""
        self._tokens = torch.cat([self._tokens, tokens], dim=1)
        start, end = frames_of(self._first), frames_of(self._first + self._tokens.shape[1])
        noise = self._networks.noise[:, torch.arange(start, end, device=tokens.device) % NOISE_FRAMES]
        mel: Tensor = self._networks.flow(self._tokens, self._mel, noise)
        if self._overlap is not None:
            mel = faded(self._overlap, mel)
        spoken = mel.shape[2] - (0 if last else OVERLAP_FRAMES)
        if spoken <= 0:
            return mel[:, :, :0]
        self._overlap = mel[:, :, spoken:].clone()
        self._mel = torch.cat([self._mel, mel[:, :, :spoken]], dim=2)
        self._forget()
        return mel[:, :, :spoken]

    def _forget(self) -> None:
        """Forget whole blocks of the encoder that are older than GIVEN_TOKENS."""
        block = self._networks.flow.encoder.block
        old = max(0, self._tokens.shape[1] - GIVEN_TOKENS) // block * block
        frames = frames_of(self._first + old) - frames_of(self._first)
        self._first += old
        self._tokens, self._mel = self._tokens[:, old:].clone(), self._mel[:, :, frames:].clone()


def faded(before: Tensor, after: Tensor) -> Tensor:
    """Frames [..., frames], which begin as `before`, [..., overlap], and go over to `after`."""
    overlap = before.shape[-1]
    window = torch.from_numpy(np.hamming(2 * overlap)).to(after.device)
    share = (window[:overlap] / (window[:overlap] + window[overlap:])).to(after.dtype)
    return torch.cat([share * after[..., :overlap] + (1 - share) * before, after[..., overlap:]], dim=-1)
