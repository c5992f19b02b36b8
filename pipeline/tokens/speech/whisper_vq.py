"""The network of GLM-4-Voice's speech tokenizer: half an encoder of Whisper, made causal, and a codebook.

Written from the technical report (Zeng et al. 2024, section 2.1) and the published checkpoint's configuration, over
the encoder layers of transformers. Parameters are named as in the checkpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

STRIDE = 2  # of conv2: mel frames per position
CONTEXT = 2 * STRIDE  # mel frames before a position that it depends on: two of conv2's inputs, and two of conv1's each
CODES_AT_ONCE = 2048  # each of which is compared with all entries


@dataclass(frozen=True)
class Attention:
    """Queries that attend to equally many keys, by their places in a list of copies of positions."""

    queries: Tensor  # int64 [n, positions]
    keys: Tensor  # int64 [n, positions that are seen]


class CausalConv1d(nn.Conv1d):
    def forward(self, signal: Tensor) -> Tensor:
        return super().forward(functional.pad(signal, (self.kernel_size[0] - 1, 0)))


class WhisperVQ(nn.Module):
    """Log-mel frames of one segment to codes. Attention sees the past and the rest of its own block."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """config: what the checkpoint's config.json says."""
        super().__init__()
        width = config["d_model"]
        layer = WhisperConfig(
            d_model=width,
            encoder_attention_heads=config["encoder_attention_heads"],
            encoder_ffn_dim=config["encoder_ffn_dim"],
            activation_function=config["activation_function"],
        )
        layer._attn_implementation = "sdpa"
        self.pooled = config["pooling_kernel_size"]
        self.block = config["quantize_causal_block_size"]
        self.conv1 = CausalConv1d(config["num_mel_bins"], width, kernel_size=3)
        self.conv2 = CausalConv1d(width, width, kernel_size=3, stride=STRIDE)
        self.embed_positions = nn.Embedding(config["max_source_positions"], width)
        layers: list[Any] = [WhisperEncoderLayer(layer) for _ in range(config["quantize_position"])]
        for index, encoder_layer in enumerate(layers):
            encoder_layer.self_attn.layer_idx = index  # its name in `Past`
        self.layers = nn.ModuleList(layers)
        self.codebook = nn.Embedding(config["quantize_vocab_size"], width)

    def forward(self, features: Tensor, past: "Past | None" = None) -> Tensor:
        """Codes int64 [frames] of log-mel features [mels, frames * 8].

        past: of the positions before, if there are any; then the features start `CONTEXT` frames earlier.
        """
        hidden = self.convolved(features.unsqueeze(0))
        first = past.positions if past else 0
        if first:
            hidden = hidden[:, CONTEXT // STRIDE :]
        end = first + hidden.shape[1]
        hidden = hidden + self.embed_positions.weight[first:end]
        seen = self._seen(end)[:, :, first:]
        for layer in self.layers:
            hidden = layer(hidden, seen, past_key_values=past) if past else layer(hidden, seen)
        hidden = functional.avg_pool1d(hidden.transpose(1, 2), self.pooled).squeeze(0).T
        return nearest(hidden, self.codebook.weight)

    def convolved(self, features: Tensor) -> Tensor:
        """Positions [rows, n, width] of log-mel features [rows, mels, n * STRIDE].

        Position p depends on the frames up to p * STRIDE, so the last frame of all reaches none.
        """
        hidden = functional.gelu(self.conv1(features))
        return functional.gelu(self.conv2(hidden)).transpose(1, 2)

    def together(self, hidden: Tensor, attention: Sequence[Attention], frames: Tensor) -> Tensor:
        """Codes int64 [n] of copies of positions, [copies, width] with their embeddings, in one pass.

        A position has a copy for each prefix that ends inside its block, as there it sees less. attention: of all
        copies. frames: the copies that a code is pooled of, int64 [n, pooled].
        """
        layers: Any = self.layers
        for layer in layers:
            hidden = _attended(layer, hidden, attention)
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
        pooled = (hidden[some].mean(dim=1) for some in torch.split(frames, CODES_AT_ONCE))
        return torch.cat([nearest(vectors, self.codebook.weight) for vectors in pooled])

    def _seen(self, positions: int) -> Tensor:
        """Which position may attend to which, bool [1, 1, positions, positions]."""
        blocks = torch.arange(positions, device=self.codebook.weight.device) // self.block
        seen: Tensor = blocks.unsqueeze(0) <= blocks.unsqueeze(1)
        return seen[None, None]


def _attended(layer: Any, hidden: Tensor, attention: Sequence[Attention]) -> Tensor:
    """Copies [copies, width] after the attention of a layer of transformers."""
    part = layer.self_attn
    normed = layer.self_attn_layer_norm(hidden)
    queries, keys, values = (
        project(normed).view(len(hidden), part.num_heads, part.head_dim)
        for project in (part.q_proj, part.k_proj, part.v_proj)
    )
    mixed = torch.empty_like(hidden)
    for group in attention:
        seen = functional.scaled_dot_product_attention(
            queries[group.queries].transpose(1, 2),
            keys[group.keys].transpose(1, 2),
            values[group.keys].transpose(1, 2),
            scale=part.scaling,
        )
        mixed[group.queries] = seen.transpose(1, 2).flatten(2)
    attended: Tensor = hidden + part.out_proj(mixed)
    return attended


class Past:
    """Keys and values of a segment's first positions. The layers of transformers use it as their cache."""

    def __init__(self) -> None:
        self.positions = 0
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}  # by layer, [1, heads, positions, width of a head]
        self._all: dict[int, tuple[Tensor, Tensor]] = {}  # by layer, all of the last forward pass

    def update(self, keys: Tensor, values: Tensor, layer: int, **_: object) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer from the first position on: the stored ones, then the given ones.

        Newer versions of transformers pass more, for caches of their own.
        """
        if layer in self._kept:
            before = self._kept[layer]
            keys, values = torch.cat([before[0], keys], dim=2), torch.cat([before[1], values], dim=2)
        self._all[layer] = keys, values
        return keys, values

    def keep(self, positions: int) -> None:
        """Store the first `positions` of the last pass, never fewer than before, and forget the rest."""
        if positions > self.positions:
            self._kept = {
                layer: (keys[:, :, :positions].clone(), values[:, :, :positions].clone())
                for layer, (keys, values) in self._all.items()
            }
            self.positions = positions
        self._all = {}


def nearest(vectors: Tensor, entries: Tensor) -> Tensor:
    """Index of the entry nearest to each of `vectors` [n, width], of `entries` [codes, width]; the first of equals."""
    squares = (entries**2).sum(dim=1) + (vectors**2).sum(dim=1, keepdim=True)
    return torch.addmm(squares, vectors, entries.T, alpha=-2).argmin(dim=1)
