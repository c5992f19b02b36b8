"""The flow of GLM-4-Voice's decoder: speech tokens to log-mel frames, by conditional flow matching.

Written from the technical report (Zeng et al. 2024, section 2.2), the report of CosyVoice (Du et al. 2024, section
2.3), from which it was trained anew, and the published configuration. Parameters are named as in flow.pt.

Its voice is that of a speaker embedding of zeros: the published inference gives no other.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MELS = 80
SOLVER_STEPS = 10
GUIDANCE = 0.7  # how far an estimate is moved away from that without a condition
Config = Mapping[str, Any]


class Flow(nn.Module):
    """Tokens of signals to their log-mel frames, given those that are known already."""

    def __init__(self, config: Config) -> None:
        """config: what `glm4voice_decoder_config.read` gives."""
        super().__init__()
        self.input_embedding = nn.Embedding(config["flow.vocab_size"], config["flow.input_size"])
        self.spk_embed_affine_layer = nn.Linear(config["flow.spk_embed_dim"], MELS)
        self.encoder = Encoder(config)
        self.encoder_proj = nn.Linear(config["flow.encoder.output_size"], MELS)
        self.length_regulator = LengthRegulator()
        self.decoder = nn.ModuleDict({"estimator": Estimator(config)})

    def forward(self, tokens: Tensor, known: Tensor, noise: Tensor) -> Tensor:
        """The frames after the known ones, [signals, 80, frames - known].

        tokens: int64 [signals, tokens], also those of the known frames. known: [signals, 80, known frames]. noise:
        standard normal [80, frames], as many as the tokens last; all signals start from the same.
        """
        signals, frames = len(tokens), noise.shape[1]
        hidden = self.encoder_proj(self.encoder(self.input_embedding(tokens)))
        content = self.length_regulator(hidden.transpose(1, 2), frames)
        speaker = self.spk_embed_affine_layer.bias.view(1, MELS, 1).expand(signals, MELS, frames)
        condition = functional.pad(known, (0, frames - known.shape[2]))
        given = torch.cat([content, speaker, condition], dim=1)
        return self._solve(noise.expand(signals, MELS, frames), given)[:, :, known.shape[2] :]

    def _solve(self, mel: Tensor, given: Tensor) -> Tensor:
        """Euler's method from noise to log-mel, [signals, 80, frames]. given: [signals, 240, frames]."""
        conditions = torch.cat([given, torch.zeros_like(given)])
        times = 1 - torch.cos(torch.linspace(0, 1, SOLVER_STEPS + 1, device=mel.device) * (math.pi / 2))
        for time, following in pairwise(times):
            inputs = torch.cat([torch.cat([mel, mel]), conditions], dim=1)
            with_condition, without = self.decoder["estimator"](inputs, time).chunk(2)
            mel = mel + (following - time) * ((1 + GUIDANCE) * with_condition - GUIDANCE * without)
        return mel


class Encoder(nn.Module):
    """A transformer whose attention sees what was before, and the rest of its own block."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config["flow.encoder.output_size"]
        self.block: int = config["flow.encoder.block_size"]
        linear = nn.Linear(config["flow.encoder.input_size"], width)
        self.embed = nn.ModuleDict({"out": nn.Sequential(linear, nn.LayerNorm(width))})
        self.encoders = nn.ModuleList(EncoderLayer(config) for _ in range(config["flow.encoder.num_blocks"]))
        self.after_norm = nn.LayerNorm(width)

    def forward(self, embedded: Tensor) -> Tensor:
        """[signals, tokens, width] of embedded tokens, [signals, tokens, input width]."""
        hidden = self.embed["out"](embedded)
        _, tokens, width = hidden.shape
        hidden = hidden * math.sqrt(width)
        places = torch.arange(tokens, device=hidden.device)
        hidden_from = (places // self.block).unsqueeze(0) > (places // self.block).unsqueeze(1)
        distances = _sinusoids(places.flip(0), places[1:], width)
        for layer in self.encoders:
            hidden = layer(hidden, distances, hidden_from)
        normed: Tensor = self.after_norm(hidden)
        return normed


def _sinusoids(before: Tensor, after: Tensor, width: int) -> Tensor:
    """Of distances from a token to those before it and to those after it, [distances, width]."""
    distances = torch.cat([before, -after]).float().unsqueeze(1)
    rates = torch.exp(torch.arange(0, width, 2, device=distances.device) * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(distances * rates), torch.cos(distances * rates)], dim=2).flatten(1)


class EncoderLayer(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        width, inner = config["flow.encoder.output_size"], config["flow.encoder.linear_units"]
        self.norm_mha = nn.LayerNorm(width)
        self.self_attn = RelativeAttention(width, config["flow.encoder.attention_heads"])
        self.norm_ff = nn.LayerNorm(width)
        self.feed_forward = nn.ModuleDict({"w_1": nn.Linear(width, inner), "w_2": nn.Linear(inner, width)})

    def forward(self, hidden: Tensor, distances: Tensor, hidden_from: Tensor) -> Tensor:
        hidden = hidden + self.self_attn(self.norm_mha(hidden), distances, hidden_from)
        inner = functional.silu(self.feed_forward["w_1"](self.norm_ff(hidden)))
        added: Tensor = hidden + self.feed_forward["w_2"](inner)
        return added


class RelativeAttention(nn.Module):
    """Attention with relative positions (Dai et al. 2019, section 3.3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.linear_q, self.linear_k, self.linear_v, self.linear_out = (nn.Linear(width, width) for _ in range(4))
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(heads, width // heads))
        self.pos_bias_v = nn.Parameter(torch.empty(heads, width // heads))

    def forward(self, hidden: Tensor, distances: Tensor, hidden_from: Tensor) -> Tensor:
        """[signals, tokens, width] of as many.

        distances: [2 * tokens - 1, width], the largest first. hidden_from: [tokens, tokens], True where the token of
        the row may not see that of the column.
        """
        signals, tokens, _ = hidden.shape
        heads = len(self.pos_bias_u)
        query, key, value = (
            linear(hidden).unflatten(2, (heads, -1)) for linear in (self.linear_q, self.linear_k, self.linear_v)
        )
        position = self.linear_pos(distances).view(len(distances), heads, -1)
        by_content = torch.einsum("sqhd,skhd->shqk", query + self.pos_bias_u, key)
        by_distance = torch.einsum("sqhd,phd->shqp", query + self.pos_bias_v, position)
        places = torch.arange(tokens, device=hidden.device)
        index = tokens - 1 - places.unsqueeze(1) + places  # of the distance between the tokens of a row and a column
        scores = by_content + by_distance.gather(3, index.expand(signals, heads, -1, -1))
        scores = (scores / math.sqrt(key.shape[3])).masked_fill(hidden_from, -math.inf)
        attended = torch.einsum("shqk,skhd->sqhd", scores.softmax(dim=3), value)
        out: Tensor = self.linear_out(attended.flatten(2))
        return out


class LengthRegulator(nn.Module):
    """Stretches the content of tokens to as many frames as they last."""

    def __init__(self) -> None:
        super().__init__()
        smooth = [
            layer for _ in range(4) for layer in (nn.Conv1d(MELS, MELS, 3, padding=1), nn.GroupNorm(1, MELS), nn.Mish())
        ]
        self.model = nn.Sequential(*smooth, nn.Conv1d(MELS, MELS, 1))

    def forward(self, content: Tensor, frames: int) -> Tensor:
        """[signals, 80, frames] of [signals, 80, tokens]."""
        stretched: Tensor = self.model(functional.interpolate(content, size=frames, mode="nearest"))
        return stretched


class Estimator(nn.Module):
    """The direction from noise to log-mel: a U-Net over time, as Matcha-TTS has it (Mehta et al. 2024, section 2.3)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = config["flow.decoder.estimator.channels"]
        inputs, timed = config["flow.decoder.estimator.in_channels"], channels[0] * 4
        last = len(channels) - 1

        def block(width: int, to: int, resample: nn.Module | None) -> nn.ModuleList:
            transformers = nn.ModuleList(
                Transformer(to, config) for _ in range(config["flow.decoder.estimator.n_blocks"])
            )
            parts = [ResnetBlock(width, to, timed), transformers]
            return nn.ModuleList(parts if resample is None else [*parts, resample])

        def down(width: int, index: int) -> nn.Module:
            if index == last:
                return nn.Conv1d(width, width, 3, padding=1)
            return nn.ModuleDict({"conv": nn.Conv1d(width, width, 3, stride=2, padding=1)})

        def up(width: int, index: int) -> nn.Module:
            if index == last:
                return nn.Conv1d(width, width, 3, padding=1)
            return nn.ModuleDict({"conv": nn.ConvTranspose1d(width, width, 4, stride=2, padding=1)})

        self.time_mlp = nn.ModuleDict({"linear_1": nn.Linear(inputs, timed), "linear_2": nn.Linear(timed, timed)})
        ends = list(zip([inputs, *channels], channels, strict=False))
        self.down_blocks: Any = nn.ModuleList(block(width, to, down(to, i)) for i, (width, to) in enumerate(ends))
        middle = range(config["flow.decoder.estimator.num_mid_blocks"])
        self.mid_blocks: Any = nn.ModuleList(block(channels[-1], channels[-1], None) for _ in middle)
        back = list(pairwise([*channels[::-1], channels[0]]))
        self.up_blocks: Any = nn.ModuleList(block(2 * width, to, up(to, i)) for i, (width, to) in enumerate(back))
        self.final_block = Smooth(channels[0], channels[0])
        self.final_proj = nn.Conv1d(channels[0], config["flow.decoder.estimator.out_channels"], 1)

    def forward(self, inputs: Tensor, time: Tensor) -> Tensor:
        """[rows, 80, frames] of inputs [rows, 320, frames] at a time, 0 to 1."""
        timed = self.time_mlp["linear_2"](functional.silu(self.time_mlp["linear_1"](_at(time, inputs.shape[1]))))
        hidden, kept = inputs, []
        for resnet, transformers, down in self.down_blocks:
            hidden = _through(resnet, transformers, hidden, timed)
            kept.append(hidden)
            hidden = _resampled(down, hidden)
        for resnet, transformers in self.mid_blocks:
            hidden = _through(resnet, transformers, hidden, timed)
        for resnet, transformers, up in self.up_blocks:
            beside = kept.pop()
            hidden = torch.cat([hidden[:, :, : beside.shape[2]], beside], dim=1)
            hidden = _resampled(up, _through(resnet, transformers, hidden, timed))
        estimated: Tensor = self.final_proj(self.final_block(hidden))
        return estimated


def _at(time: Tensor, width: int) -> Tensor:
    """A time as sines and cosines, [1, width]."""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=time.device) * (-math.log(10000) / (half - 1)))
    angles = 1000 * time * rates
    return torch.cat([angles.sin(), angles.cos()]).unsqueeze(0)


def _through(resnet: nn.Module, transformers: nn.ModuleList, hidden: Tensor, timed: Tensor) -> Tensor:
    hidden = resnet(hidden, timed).transpose(1, 2)
    for transformer in transformers:
        hidden = transformer(hidden)
    return hidden.transpose(1, 2)


def _resampled(layer: nn.Module, hidden: Tensor) -> Tensor:
    resampled: Tensor = layer["conv"](hidden) if isinstance(layer, nn.ModuleDict) else layer(hidden)
    return resampled


class Smooth(nn.Module):
    def __init__(self, width: int, to: int) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv1d(width, to, 3, padding=1), nn.GroupNorm(8, to), nn.Mish())

    def forward(self, hidden: Tensor) -> Tensor:
        smooth: Tensor = self.block(hidden)
        return smooth


class ResnetBlock(nn.Module):
    def __init__(self, width: int, to: int, timed: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(timed, to))
        self.block1, self.block2 = Smooth(width, to), Smooth(to, to)
        self.res_conv = nn.Conv1d(width, to, 1)

    def forward(self, hidden: Tensor, timed: Tensor) -> Tensor:
        inner = self.block2(self.block1(hidden) + self.mlp(timed).unsqueeze(2))
        added: Tensor = inner + self.res_conv(hidden)
        return added


class Transformer(nn.Module):
    """Full attention over time, then two linear layers."""

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        self.heads: int = config["flow.decoder.estimator.num_heads"]
        inner = self.heads * config["flow.decoder.estimator.attention_head_dim"]
        self.norm1 = nn.LayerNorm(width)
        projections = {name: nn.Linear(width, inner, bias=False) for name in ("to_q", "to_k", "to_v")}
        self.attn1: Any = nn.ModuleDict(projections | {"to_out": nn.ModuleList([nn.Linear(inner, width)])})
        self.norm3 = nn.LayerNorm(width)
        widened = nn.ModuleDict({"proj": nn.Linear(width, 4 * width)})
        self.ff: Any = nn.ModuleDict({"net": nn.ModuleList([widened, nn.Identity(), nn.Linear(4 * width, width)])})

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden: [rows, frames, width]."""
        normed = self.norm1(hidden)
        query, key, value = (
            self.attn1[name](normed).unflatten(2, (self.heads, -1)).transpose(1, 2) for name in ("to_q", "to_k", "to_v")
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        hidden = hidden + self.attn1["to_out"][0](attended.transpose(1, 2).flatten(2))
        widened, _, narrowed = self.ff["net"]
        added: Tensor = hidden + narrowed(functional.gelu(widened["proj"](self.norm3(hidden))))
        return added
