"""Weights of the public depth models under our names."""

from collections.abc import Mapping

import torch
from torch import Tensor

from duplexgen.training.models.depth import DepthShape

Weights = Mapping[str, Tensor]


def flm_shape(weights: Weights, num_heads: int) -> DepthShape:
    """The shape of a `DepthGPT` of FLM-Audio with cmlp, RMSNorm and SwiGLU."""
    rows, hidden_size = weights["transformer.wtes.0.weight"].shape
    codebooks = len(weights["transformer.wpe.weight"])
    return DepthShape(
        input_size=weights["linear_in.weight"].shape[1],
        codebooks=codebooks,
        codes=rows,
        audio_size=rows,
        weights="mlp",
        hidden_size=hidden_size,
        num_layers=_count(weights, "transformer.h."),
        num_heads=num_heads,
        final_norm=True,
        norm_eps=1e-6,
    )


def from_flm(weights: Weights, audio_start: int) -> dict[str, Tensor]:
    """A state of ours. audio_start: the code that its depth model reads before codebook 0 (`aud_emp_token_id`)."""
    codebooks = len(weights["transformer.wpe.weight"])
    ours = {
        "hidden_in.weight": weights["linear_in.weight"],
        "tables.0.weight": weights["transformer.wtes.0.weight"][audio_start : audio_start + 1],
        "positions.weight": weights["transformer.wpe.weight"],
        "norm.weight": weights["transformer.ln_f.weight"],
        "heads.weight": _stacked(weights, [f"lm_heads.{i}" for i in range(codebooks)]),
    }
    ours |= {f"tables.{i}.weight": weights[f"transformer.wtes.{i}.weight"] for i in range(1, codebooks)}
    for layer in range(_count(weights, "transformer.h.")):
        theirs, mine = f"transformer.h.{layer}", f"blocks.{layer}"
        gates, ups, downs = (
            _stacked(weights, [f"{theirs}.mlps.{i}.{name}" for i in range(codebooks)])
            for name in ("gate_proj", "up_proj", "down_proj")
        )
        ours |= {
            f"{mine}.attention_norm.weight": weights[f"{theirs}.ln_1.weight"],
            f"{mine}.query_key_value.weight": weights[f"{theirs}.attn.c_attn.weight"][None],
            f"{mine}.attention_out.weight": weights[f"{theirs}.attn.c_proj.weight"][None],
            f"{mine}.mlp_norm.weight": weights[f"{theirs}.ln_2.weight"],
            f"{mine}.gate_and_up.weight": torch.cat([gates, ups], dim=1),
            f"{mine}.down.weight": downs,
        }
    return ours


def moshi_shape(weights: Weights, num_heads: int) -> DepthShape:
    """The shape of the depth part of Moshi's `LMModel` with multi_linear, weights_per_step and rms_norm_f32."""
    codes, hidden_size = weights["linears.0.weight"].shape
    return DepthShape(
        input_size=weights["depformer_in.0.weight"].shape[1],
        codebooks=_count(weights, "linears."),
        codes=codes,
        audio_size=len(weights["depformer_emb.0.weight"]),
        text_size=len(weights["depformer_text_emb.weight"]),
        weights="all",
        hidden_size=hidden_size,
        intermediate_size=weights["depformer.layers.0.gating.0.linear_out.weight"].shape[1],
        num_layers=_count(weights, "depformer.layers."),
        num_heads=num_heads,
        final_norm=False,
        norm_eps=1e-8,
    )


def from_moshi(weights: Weights) -> dict[str, Tensor]:
    """A state of ours."""
    codebooks = range(_count(weights, "linears."))
    ours = {
        "hidden_in.weight": _stacked(weights, [f"depformer_in.{i}" for i in codebooks]).flatten(0, 1),
        "tables.0.weight": weights["depformer_text_emb.weight"],
        "heads.weight": _stacked(weights, [f"linears.{i}" for i in codebooks]),
    }
    ours |= {f"tables.{i + 1}.weight": weights[f"depformer_emb.{i}.weight"] for i in codebooks[:-1]}
    for layer in range(_count(weights, "depformer.layers.")):
        theirs, mine = f"depformer.layers.{layer}", f"blocks.{layer}"
        parts = {
            "query_key_value": "self_attn.in_projs.{}",
            "attention_out": "self_attn.out_projs.{}",
            "gate_and_up": "gating.{}.linear_in",
            "down": "gating.{}.linear_out",
        }
        for name, part in parts.items():
            ours[f"{mine}.{name}.weight"] = _stacked(weights, [f"{theirs}.{part.format(i)}" for i in codebooks])
        ours[f"{mine}.attention_norm.weight"] = weights[f"{theirs}.norm1.alpha"].flatten()
        ours[f"{mine}.mlp_norm.weight"] = weights[f"{theirs}.norm2.alpha"].flatten()
    return ours


def _stacked(weights: Weights, names: list[str]) -> Tensor:
    return torch.stack([weights[f"{name}.weight"] for name in names])


def _count(weights: Weights, prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)})
