"""One architecture under two names: ChatGLM, as GLM-4 and GLM-4-Voice are published, and transformers' own class GLM.

Both turn the first half of each head by its position, in pairs of neighbours, and share keys and values among heads.
They differ in names, and in that ChatGLM keeps the projections of queries, keys and values in one tensor.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...pipeline.errors import UserError
from ...pipeline.storage.model_files import check_numbers

MODEL_TYPE, GLM_MODEL_TYPE = "chatglm", "glm"
EMBEDDING, HEAD = "transformer.embedding.word_embeddings.weight", "transformer.output_layer.weight"
FREQUENCIES = "transformer.rotary_pos_emb.inv_freq"
"""Stored by the published code, and computed by transformers' class."""
ROPE_BASE = 10_000  # of the published code; rope_ratio multiplies it
ROTARY_SHARE = 0.5  # of a head

DEFAULTS = {
    "rmsnorm": True,
    "post_layer_norm": True,
    "apply_residual_connection_post_layernorm": False,
    "fp32_residual_connection": False,
    "add_bias_linear": False,
    "add_qkv_bias": False,
    "multi_query_attention": False,
    "original_rope": None,
    "tie_word_embeddings": False,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "layernorm_epsilon": 1e-5,
    "rope_ratio": 1,
    "pre_seq_len": None,
    "quantization_bit": 0,
    "quantization_config": None,
}
"""What a key that is missing in a configuration means to the published code."""
STRUCTURE = {
    "rmsnorm": True,
    "post_layer_norm": True,
    "apply_residual_connection_post_layernorm": False,
    "fp32_residual_connection": False,
    "add_bias_linear": False,
    "multi_query_attention": True,
    "original_rope": True,
    "tie_word_embeddings": False,
    "hidden_dropout": 0.0,
    "pre_seq_len": None,
    "quantization_bit": 0,
    "quantization_config": None,
}
"""What transformers' class computes; a model with another value is another architecture."""
NUMBERS = ("attention_dropout", "layernorm_epsilon", "rope_ratio")
SIZES = (
    "num_layers",
    "padded_vocab_size",
    "hidden_size",
    "ffn_hidden_size",
    "kv_channels",
    "num_attention_heads",
    "multi_query_group_num",
    "seq_length",
)


@dataclass(frozen=True)
class Sizes:
    rows: int  # of the embedding and of the head
    width: int
    inner: int  # width inside the feed-forward part
    layers: int
    heads: int
    groups: int  # heads of keys and values
    head: int  # width of a head
    bias: bool  # of the projections of queries, keys and values
    positions: int

    def with_rows(self, rows: int) -> "Sizes":
        return replace(self, rows=rows)


Pieces = tuple[tuple[str, int], ...]
"""The tensors of transformers' class that make one of ChatGLM's, one below the other: names, and numbers of rows."""


@dataclass(frozen=True)
class Tensor:
    pieces: Pieces
    width: int | None  # None: a vector

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shape_of(sum(rows for _, rows in self.pieces))

    def shape_of(self, rows: int) -> tuple[int, ...]:
        return (rows,) if self.width is None else (rows, self.width)


def tensors(sizes: Sizes) -> dict[str, Tensor]:
    """Every tensor of a model, by its name in ChatGLM."""
    queries, keys = sizes.heads * sizes.head, sizes.groups * sizes.head
    found = {
        EMBEDDING: Tensor((("model.embed_tokens.weight", sizes.rows),), sizes.width),
        HEAD: Tensor((("lm_head.weight", sizes.rows),), sizes.width),
        "transformer.encoder.final_layernorm.weight": Tensor((("model.norm.weight", sizes.width),), None),
    }
    for layer in range(sizes.layers):
        theirs, ours = f"transformer.encoder.layers.{layer}", f"model.layers.{layer}"
        for kind, width in (("weight", sizes.width), ("bias", None)) if sizes.bias else (("weight", sizes.width),):
            parts = ((f"{ours}.self_attn.q_proj.{kind}", queries), (f"{ours}.self_attn.k_proj.{kind}", keys))
            values = (f"{ours}.self_attn.v_proj.{kind}", keys)
            found[f"{theirs}.self_attention.query_key_value.{kind}"] = Tensor((*parts, values), width)
        for name, mine, rows, columns in (
            ("self_attention.dense", "self_attn.o_proj", sizes.width, queries),
            ("mlp.dense_h_to_4h", "mlp.gate_up_proj", 2 * sizes.inner, sizes.width),
            ("mlp.dense_4h_to_h", "mlp.down_proj", sizes.width, sizes.inner),
            ("input_layernorm", "input_layernorm", sizes.width, None),
            ("post_attention_layernorm", "post_attention_layernorm", sizes.width, None),
        ):
            found[f"{theirs}.{name}.weight"] = Tensor(((f"{ours}.{mine}.weight", rows),), columns)
    return found


def read_sizes(config: Mapping[str, Any], path: Path) -> Sizes:
    """The sizes of a ChatGLM that transformers' class can compute; raises UserError at any other. path: of config."""
    try:
        check_numbers(config)
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from error
    if (kind := config.get("model_type")) != MODEL_TYPE:
        already = " It is converted already." if kind == GLM_MODEL_TYPE else ""
        raise UserError(
            f"{path} says model_type {json.dumps(kind)}, expected {json.dumps(MODEL_TYPE)}, the architecture under "
            f"which GLM-4-Voice is published.{already}"
        )
    for key, wanted in STRUCTURE.items():
        if (value := _value(config, key)) != wanted:
            raise UserError(
                f"{path} says {key} {json.dumps(value)}, expected {json.dumps(wanted)}: it is another architecture "
                "than GLM-4-Voice's, which transformers' class GLM does not compute."
            )
    for key in NUMBERS:
        _check_number(config, key, path)
    sizes = {key: _positive(config, key, path) for key in SIZES}
    heads, groups, head = (sizes[key] for key in ("num_attention_heads", "multi_query_group_num", "kv_channels"))
    if heads % groups or head % 4:
        raise UserError(
            f"{path} says {heads} heads in {groups} groups, of width {head}: expected as many heads in each group, and "
            "a width that is a multiple of 4."
        )
    return Sizes(
        rows=sizes["padded_vocab_size"],
        width=sizes["hidden_size"],
        inner=sizes["ffn_hidden_size"],
        layers=sizes["num_layers"],
        heads=heads,
        groups=groups,
        head=head,
        bias=bool(_value(config, "add_qkv_bias")),
        positions=sizes["seq_length"],
    )


def _value(config: Mapping[str, Any], key: str) -> Any:
    return config.get(key, DEFAULTS[key])


def _check_number(config: Mapping[str, Any], key: str, path: Path) -> None:
    value = _value(config, key)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise UserError(f"{path} says {key} {json.dumps(value)}, expected a number from 0.")


def _positive(config: Mapping[str, Any], key: str, path: Path) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{path} says {key} {json.dumps(value)}, expected a whole number from 1.")
    return value


def glm_config(config: Mapping[str, Any], sizes: Sizes, end_of_text: int) -> dict[str, Any]:
    """config.json for transformers' class. config: ChatGLM's. end_of_text: ends and pads if that names no token."""
    return {
        "architectures": ["GlmForCausalLM"],
        "model_type": GLM_MODEL_TYPE,
        "vocab_size": sizes.rows,
        "hidden_size": sizes.width,
        "intermediate_size": sizes.inner,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.groups,
        "head_dim": sizes.head,
        "hidden_act": "silu",
        "attention_bias": sizes.bias,
        "attention_dropout": _value(config, "attention_dropout"),
        "rms_norm_eps": _value(config, "layernorm_epsilon"),
        "max_position_embeddings": sizes.positions,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": float(ROPE_BASE * _value(config, "rope_ratio")),
            "partial_rotary_factor": ROTARY_SHARE,
        },
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": config.get("eos_token_id") or end_of_text,
        "pad_token_id": config.get("pad_token_id") or end_of_text,
        "dtype": config.get("torch_dtype") or config.get("dtype"),
    }


FREE = {"architectures", "vocab_size", "dtype", "bos_token_id", "eos_token_id", "pad_token_id"}
"""Keys of transformers' configuration that training may change, or that change nothing of what is computed."""


def unlike(trained: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What a configuration of transformers' class says otherwise than the one that `glm_config` made, in words."""
    return [
        f"{key} is {json.dumps(trained.get(key))}, expected {json.dumps(value)}"
        for key, value in wanted.items()
        if key not in FREE and trained.get(key) != value
    ]
