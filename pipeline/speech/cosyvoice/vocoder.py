"""Log-mel to waveforms by CosyVoice's vocoder, many utterances at once.

The modules are the package's, their weights normalised once. What is around them is written here, as the package takes
rows of one length: each layer would hear the padding of the others, and all rows would draw one stream of noise.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...dialogue import Waveform

if TYPE_CHECKING:
    import torch

PADDED = 64  # frames: lengths are padded to a multiple, as kernels are chosen for each length


class Vocoder:
    """The vocoder of a loaded model, in fp32."""

    def __init__(self, module: Any, version: int) -> None:
        import torch

        self._module, self._is_precise = module, version == 3
        if self._is_precise:  # pitch in fp64, as the package computes it
            module.f0_predictor.double()
        for layer in list(module.modules()):
            if torch.nn.utils.parametrize.is_parametrized(layer, "weight"):
                torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")
        self._fft, self._hop = int(module.istft_params["n_fft"]), int(module.istft_params["hop_len"])
        self._frame = int(module.f0_upsamp.scale_factor)  # samples

    def waves(self, mels: Sequence["torch.Tensor"], seeds: Sequence[int]) -> list[Waveform]:
        """Log-mel [80, frames] to f32 [samples]. Each depends on its mel and its seed alone."""
        import torch

        device = mels[0].device
        lengths = torch.tensor([mel.shape[1] for mel in mels], device=device)
        width = -(-max(mel.shape[1] for mel in mels) // PADDED) * PADDED
        with torch.inference_mode(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            padded = torch.stack([torch.nn.functional.pad(mel, (0, width - mel.shape[1])) for mel in mels])
            source = self._source(self._pitch(padded, _mask(lengths, width)), mels, seeds)
            samples = self._sound(padded, source, lengths).cpu().numpy()
        return [np.ascontiguousarray(row[: mel.shape[1] * self._frame]) for row, mel in zip(samples, mels, strict=True)]

    def _pitch(self, mel: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        """Hz, f32 [rows, 1, frames]."""
        predictor = self._module.f0_predictor
        hidden = mel.double() if self._is_precise else mel
        for layer in predictor.condnet:
            hidden = layer(hidden) * mask
        pitch: torch.Tensor = predictor.classifier(hidden.transpose(1, 2)).abs().transpose(1, 2)
        return pitch.to(mel.dtype)

    def _source(self, pitch: "torch.Tensor", mels: Sequence["torch.Tensor"], seeds: Sequence[int]) -> "torch.Tensor":
        """The hum and hiss that the network shapes, [rows, samples and half a window at both ends].

        Each row is drawn by itself, from its own seed.
        """
        import torch

        half = self._fft // 2
        found = pitch.new_zeros(len(mels), pitch.shape[2] * self._frame + 2 * half)
        for row, (mel, seed) in enumerate(zip(mels, seeds, strict=True)):
            torch.manual_seed(seed)
            own = self._module.f0_upsamp(pitch[row : row + 1, :, : mel.shape[1]]).transpose(1, 2)
            heard, _, _ = self._module.m_source(own)  # [1, samples, 1]
            mirrored = torch.nn.functional.pad(heard.transpose(1, 2), (half, half), mode="reflect")
            found[row, : mirrored.shape[2]] = mirrored[0, 0]
        return found

    def _sound(self, mel: "torch.Tensor", source: "torch.Tensor", lengths: "torch.Tensor") -> "torch.Tensor":
        """f32 [rows, samples], of which those beyond a row's length are nothing."""
        import torch

        module, window = self._module, self._module.stft_window.to(mel.device)
        spectrum = torch.stft(source, self._fft, self._hop, self._fft, window, center=False, return_complex=True)
        times = _mask(lengths * (self._frame // self._hop) + 1, spectrum.shape[2])
        noise = torch.cat([spectrum.real, spectrum.imag], dim=1) * times
        hidden, mask = module.conv_pre(mel), _mask(lengths, mel.shape[2])
        for stage, up in enumerate(module.ups):
            hidden = up(torch.nn.functional.leaky_relu(hidden, module.lrelu_slope) * mask)
            mask = _mask(lengths * (hidden.shape[2] // mel.shape[2]), hidden.shape[2])
            if stage == module.num_upsamples - 1:
                hidden, mask = module.reflection_pad(hidden), times
            added = module.source_downs[stage](noise) * mask
            hidden = hidden * mask + _resnet(module.source_resblocks[stage], added, mask)
            blocks = module.resblocks[stage * module.num_kernels : (stage + 1) * module.num_kernels]
            first, *others = [_resnet(block, hidden, mask) for block in blocks]
            hidden = sum(others, first) / module.num_kernels
        shaped = module.conv_post(torch.nn.functional.leaky_relu(hidden))
        return self._waves(shaped, times).clamp(-module.audio_limit, module.audio_limit)

    def _waves(self, shaped: "torch.Tensor", times: "torch.Tensor") -> "torch.Tensor":
        """Magnitudes and phases to samples: torch's own istft has one end for all rows."""
        import torch

        magnitude, phase = shaped.chunk(2, dim=1)
        magnitude, phase = magnitude.exp().clip(max=1e2), phase.sin()
        spectrum = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
        window = self._module.stft_window.to(shaped.device)[None, :, None]
        size = self._fft + self._hop * (shaped.shape[2] - 1)

        def laid(parts: torch.Tensor) -> torch.Tensor:
            """Overlapping parts [rows, window, times], added up: [rows, samples]."""
            return torch.nn.functional.fold(parts, (1, size), (1, self._fft), stride=(1, self._hop))[:, 0, 0]

        parts = torch.fft.irfft(spectrum, n=self._fft, dim=1) * window * times
        weights = laid((window * window * times).contiguous())
        return (laid(parts) / weights)[:, self._fft // 2 : -(self._fft // 2)]


def _mask(lengths: "torch.Tensor", width: int) -> "torch.Tensor":
    """f32 [rows, 1, width], 1 within each row's length and 0 beyond."""
    import torch

    return (torch.arange(width, device=lengths.device) < lengths[:, None]).float()[:, None]


def _resnet(block: Any, hidden: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """A residual block of rows whose padding is zero, and stays so."""
    for first, conv, second, last in zip(
        block.activations1, block.convs1, block.activations2, block.convs2, strict=True
    ):
        hidden = hidden + last(second(conv(first(hidden)) * mask)) * mask
    return hidden
