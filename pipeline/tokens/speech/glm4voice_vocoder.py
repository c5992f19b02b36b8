"""The vocoder of GLM-4-Voice's decoder: log-mel frames to a waveform at 22,050 Hz.

Written from the paper on HiFTNet (Li et al. 2023) and the published configuration: a source of harmonics and noise,
convolutions, and an inverse Fourier transform. Parameters are named as in hift.pt, with weight norms folded.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .glm4voice_decoder_config import RATE

MELS = 80
HARMONICS = 9  # with the fundamental
HOP = 256  # samples of a mel frame
FFT, FFT_HOP = 16, 4
STRIDE = 8  # of each of two layers; STRIDE ** 2 * FFT_HOP = HOP
KERNELS, SOURCE_KERNELS, DILATIONS = (3, 7, 11), (7, 11), (1, 3, 5)
VOICED_HZ = 10.0
LOUDNESS, VOICED_NOISE, UNVOICED_NOISE = 0.1, 0.003, 0.1 / 3
SLOPE = 0.1
LARGEST_MAGNITUDE = 100.0
LOUDEST = 0.99


class Vocoder(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        """config: what `glm4voice_decoder_config.read` gives."""
        super().__init__()
        width, bins = config["hift.base_channels"], FFT + 2
        self.f0_predictor = PitchPredictor(config["hift.f0_predictor.cond_channels"])
        self.m_source = nn.ModuleDict({"l_linear": nn.Linear(HARMONICS, 1)})
        self.conv_pre = nn.Conv1d(MELS, width, 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(width >> i, width >> (i + 1), 2 * STRIDE, STRIDE, padding=STRIDE // 2) for i in range(2)
        )
        self.source_downs = nn.ModuleList(
            [
                nn.Conv1d(bins, width // 2, 2 * STRIDE, STRIDE, padding=STRIDE // 2),
                nn.Conv1d(bins, width // 4, 1),
            ]
        )
        self.source_resblocks = nn.ModuleList(
            ResidualBlock(width >> (i + 1), kernel) for i, kernel in enumerate(SOURCE_KERNELS)
        )
        blocks = (ResidualBlock(width >> (i + 1), kernel) for i in range(2) for kernel in KERNELS)
        self.resblocks: Any = nn.ModuleList(blocks)
        self.conv_post = nn.Conv1d(width // 4, bins, 7, padding=3)

    def forward(self, mel: Tensor, source_before: Tensor, phases: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms [signals, frames * 256] in [-1, 1] of log-mel frames [signals, 80, frames], and their sources.

        source_before: [signals, samples], the sources where these frames were spoken before; it may have no samples.
        phases: of the harmonics, [9], in radians. noise: standard normal, [9, frames * 256], the same for all signals.
        """
        source = self._source(self.f0_predictor(mel), phases, noise)
        source = torch.cat([source_before, source[:, source_before.shape[1] :]], dim=1)
        return self._filtered(mel, source), source

    def _source(self, pitch_hz: Tensor, phases: Tensor, noise: Tensor) -> Tensor:
        """Harmonics where there is a voice, noise elsewhere, [signals, frames * 256]. pitch_hz: [signals, frames]."""
        turns = pitch_hz.double() / RATE  # of the fundamental, per sample
        before = (turns * HOP).cumsum(1) - turns * HOP
        steps = torch.arange(1, HOP + 1, device=turns.device)
        turned = (before.unsqueeze(2) + turns.unsqueeze(2) * steps).flatten(1)
        multiples = torch.arange(1, HARMONICS + 1, device=turns.device).unsqueeze(1)
        angles = (2 * math.pi * (turned.unsqueeze(1) * multiples % 1)).float() + phases.unsqueeze(1)
        voiced = (pitch_hz > VOICED_HZ).float().repeat_interleave(HOP, dim=1).unsqueeze(1)
        noisy = torch.where(voiced > 0, VOICED_NOISE, UNVOICED_NOISE)
        waves = LOUDNESS * torch.sin(angles) * voiced + noisy * noise
        source: Tensor = torch.tanh(self.m_source["l_linear"](waves.transpose(1, 2))).squeeze(2)
        return source

    def _filtered(self, hidden: Tensor, source: Tensor) -> Tensor:
        """[signals, samples] of mel frames [signals, 80, frames]."""
        window = torch.hann_window(FFT, device=source.device)
        spectrum = torch.stft(source, FFT, FFT_HOP, window=window, return_complex=True)
        source_bins = torch.cat([spectrum.real, spectrum.imag], dim=1)
        hidden = self.conv_pre(hidden)
        for index, upsample in enumerate(self.ups):
            hidden = upsample(functional.leaky_relu(hidden, SLOPE))
            if index == len(self.ups) - 1:
                hidden = functional.pad(hidden, (1, 0), mode="reflect")
            hidden = hidden + self.source_resblocks[index](self.source_downs[index](source_bins))
            blocks = self.resblocks[index * len(KERNELS) : (index + 1) * len(KERNELS)]
            hidden = torch.stack([block(hidden) for block in blocks]).sum(0) / len(KERNELS)
        bins = self.conv_post(functional.leaky_relu(hidden))
        magnitudes = bins[:, : FFT // 2 + 1].exp().clamp(max=LARGEST_MAGNITUDE)
        spectrum = torch.polar(magnitudes, torch.sin(bins[:, FFT // 2 + 1 :]))
        waveform = torch.istft(spectrum, FFT, FFT_HOP, window=window)
        return waveform.clamp(-LOUDEST, LOUDEST)


class PitchPredictor(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        layers = [
            layer
            for index in range(5)
            for layer in (nn.Conv1d(width if index else MELS, width, 3, padding=1), nn.ELU())
        ]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """Hz, [signals, frames] of [signals, 80, frames]."""
        pitch: Tensor = self.classifier(self.condnet(mel).transpose(1, 2)).squeeze(2).abs()
        return pitch


class ResidualBlock(nn.Module):
    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()

        def convolution(dilation: int) -> nn.Conv1d:
            return nn.Conv1d(width, width, kernel, dilation=dilation, padding=(kernel - 1) * dilation // 2)

        self.convs1 = nn.ModuleList(convolution(dilation) for dilation in DILATIONS)
        self.convs2 = nn.ModuleList(convolution(1) for _ in DILATIONS)
        self.activations1, self.activations2 = (nn.ModuleList(Snake(width) for _ in DILATIONS) for _ in range(2))

    def forward(self, hidden: Tensor) -> Tensor:
        layers = zip(self.activations1, self.convs1, self.activations2, self.convs2, strict=True)
        for bend, dilated, bend_again, near in layers:
            hidden = hidden + near(bend_again(dilated(bend(hidden))))
        return hidden


class Snake(nn.Module):
    """x + sin²(αx) / α, with an α for each channel (Liu et al. 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(width))

    def forward(self, hidden: Tensor) -> Tensor:
        alpha = self.alpha.unsqueeze(1)
        return hidden + torch.sin(hidden * alpha) ** 2 / (alpha + 1e-9)


def folded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without weight norm: `weight` in place of `weight_g` and `weight_v` (Salimans and Kingma 2016)."""
    plain = {name: value for name, value in weights.items() if not name.endswith(("weight_g", "weight_v"))}
    for name, lengths in weights.items():
        if name.endswith("weight_g") and (direction := weights.get(f"{name[:-1]}v")) is not None:
            norms = direction.flatten(1).norm(dim=1).view(lengths.shape)
            plain[name.removesuffix("_g")] = direction * (lengths / norms)
    return plain
