"""Mimi's decoder, fed piece by piece.

transformers keeps the keys and values of its transformer, and nothing of its convolutions: each call would start them
with silence. They only look back, and not far. So each layer gets the end of its earlier input again, and the output
for that is dropped. The rest is the output for the whole, up to rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.models.mimi.modeling_mimi import MimiConv1d, MimiConvTranspose1d, MimiResnetBlock


class MimiVoice:
    """The decoder of one channel, with the state of its layers."""

    def __init__(self, model: Any) -> None:
        self._quantizer = model.quantizer
        # until transformers 5.22, the three parts of the decoder were in the model itself
        whole, convolutions = (
            (model.decoder, "decoder_seanet") if hasattr(model.decoder, "upsample") else (model, "decoder")
        )
        self._upsample = ContinuedLayer(whole.upsample)
        self._transformer = whole.decoder_transformer
        self._cache = DynamicCache(config=self._transformer.config)
        self._convolutions = [ContinuedLayer(layer) for layer in getattr(whole, convolutions).layers]

    def push(self, codes: Tensor) -> Tensor:
        """Waveform [frames * 1920] of codes int64 [codebooks, frames]."""
        hidden = self._upsample(self._quantizer.decode(codes[None]))
        attended = self._transformer(hidden.transpose(1, 2), past_key_values=self._cache, use_cache=True)
        hidden = attended.last_hidden_state.transpose(1, 2)
        for layer in self._convolutions:
            hidden = layer(hidden)
        return hidden[0, 0]


class ContinuedLayer:
    """A causal layer [1, channels, time] whose calls continue each other."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer
        self._reach, self._factor = reach(layer), factor(layer)
        self._before: Tensor | None = None  # the last `reach` inputs, fewer at the beginning

    def __call__(self, inputs: Tensor) -> Tensor:
        earlier = 0 if self._before is None else self._before.shape[2]
        joined = inputs if self._before is None else torch.cat([self._before, inputs], dim=2)
        self._before = joined[:, :, max(0, joined.shape[2] - self._reach) :].clone()
        outputs: Tensor = self._layer(joined)[:, :, earlier * self._factor :]
        return outputs


def reach(layer: nn.Module) -> int:
    """How many inputs before its own an output depends on."""
    if isinstance(layer, MimiResnetBlock):
        return sum(reach(inner) for inner in layer.block)
    if isinstance(layer, MimiConv1d):
        return layer.conv.dilation[0] * (layer.conv.kernel_size[0] - 1)
    if isinstance(layer, MimiConvTranspose1d):
        return -(-layer.conv.kernel_size[0] // layer.conv.stride[0]) - 1
    return 0


def factor(layer: nn.Module) -> int:
    """Outputs per input."""
    return layer.conv.stride[0] if isinstance(layer, MimiConvTranspose1d) else 1
