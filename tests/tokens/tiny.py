"""Folders of tiny models with random weights, the same wherever they are made, and sounds to tokenize."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from duplexgen.pipeline.randomness import generator

GLM4VOICE = {
    "model_type": "whisper",
    "activation_function": "gelu",
    "d_model": 32,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "encoder_layers": 4,
    "max_source_positions": 1500,
    "num_mel_bins": 128,
    "pooling_kernel_size": 4,
    "pooling_type": "avg",
    "pooling_position": 2,
    "quantize_position": 2,
    "quantize_vocab_size": 512,
    "quantize_causal_block_size": 200,
    "quantize_encoder_only": True,
    "quantize_causal_encoder": False,
    "encoder_causal_convolution": True,
    "encoder_causal_attention": False,
}
FEATURES = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": 128,
    "sampling_rate": 16000,
    "hop_length": 160,
    "n_fft": 400,
    "chunk_length": 30,
    "padding_value": 0.0,
}


def uniform(name: str, shape: tuple[int, ...], spread: float) -> torch.Tensor:
    drawn = generator(0, name, "weights").random(shape) - 0.5
    if len(shape) > 1:
        drawn -= drawn.mean(
            axis=tuple(range(1, len(shape))), keepdims=True
        )  # what is common to all inputs says nothing
    return torch.from_numpy((2 * spread * drawn).astype(np.float32))


def glm4voice_weights(codes: int = 512) -> dict[str, torch.Tensor]:
    """What the network keeps, by the names of the published checkpoint."""
    width, inner = 32, 64
    weights = {
        "conv1.weight": uniform("conv1.weight", (width, 128, 3), 0.15),
        "conv1.bias": uniform("conv1.bias", (width,), 0.1),
        "conv2.weight": uniform("conv2.weight", (width, width, 3), 0.4),
        "conv2.bias": uniform("conv2.bias", (width,), 0.1),
        "embed_positions.weight": uniform("embed_positions.weight", (1500, width), 0.3),
        "codebook.weight": uniform("codebook.weight", (codes, width), 4.0),
    }
    for index in range(2):
        parts = {f"self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
        parts |= {"fc1": (inner, width), "fc2": (width, inner)}
        for part, (rows, columns) in parts.items():
            name = f"layers.{index}.{part}"
            weights[f"{name}.weight"] = uniform(f"{name}.weight", (rows, columns), 0.5)
            if part != "self_attn.k_proj":
                weights[f"{name}.bias"] = uniform(f"{name}.bias", (rows,), 0.1)
        for part in ("self_attn_layer_norm", "final_layer_norm"):
            name = f"layers.{index}.{part}"
            weights[f"{name}.weight"] = 1 + uniform(f"{name}.weight", (width,), 0.2)
            weights[f"{name}.bias"] = uniform(f"{name}.bias", (width,), 0.1)
    return weights


def write_glm4voice(folder: Path, prefix: str = "", codes: int = 512, **changed: Any) -> Path:
    """A folder as `glm-4-voice-tokenizer` is published, with weights that its encoder does not need among them.

    prefix: of the names of the weights. changed: settings of config.json that are others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unneeded = {
        "embed_positions2.weight": uniform("embed_positions2.weight", (375, 32), 0.3),
        "ema_count": torch.ones(512),
        "ema_weight": torch.zeros(512, 32),
    }
    named = {prefix + name: value for name, value in (glm4voice_weights(codes) | unneeded).items()}
    save_file(named, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(GLM4VOICE | {"quantize_vocab_size": codes} | changed))
    (folder / "preprocessor_config.json").write_text(json.dumps(FEATURES))
    return folder


def write_mimi(folder: Path, **changed: Any) -> Path:
    """A folder that transformers' MimiModel loads, of the published strides and few channels."""
    from transformers import MimiConfig, MimiModel

    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_filters": 4,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "head_dim": 8,
    }
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "sliding_window": 12}
    books = {"codebook_dim": 8, "vector_quantization_hidden_dimension": 8, "num_quantizers": 10}
    model = MimiModel(MimiConfig(**(sizes | heads | books | {"upsample_groups": 32} | changed)))
    weights = {name: _mimi_tensor(name, value) for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    model.save_pretrained(folder)
    return folder


def _mimi_tensor(name: str, value: torch.Tensor) -> torch.Tensor:
    shape = tuple(value.shape)
    if name.endswith(("initialized", "cluster_usage")):
        return torch.ones_like(value)
    if name.endswith("embed_sum"):
        return uniform(name, shape, 1.0)
    if len(shape) > 1:
        return uniform(name, shape, float(3 / np.prod(shape[1:])) ** 0.5)
    return uniform(name, shape, 0.1) + (1 if name.endswith(("layernorm.weight", "scale")) else 0)


def sounds(channels: int, frames: int, sample_rate: int, samples_per_frame: int, seed: int = 0) -> NDArray[np.int16]:
    """Gliding tones, noise and pauses, int16 [channels, samples]: every channel another."""
    samples = frames * samples_per_frame
    return np.stack([_sound(samples, sample_rate, generator(seed, f"channel {c}", "sound")) for c in range(channels)])


def _sound(samples: int, sample_rate: int, draw: np.random.Generator) -> NDArray[np.int16]:
    piece = sample_rate // 4
    kinds = draw.random((samples // piece + 1, 5))
    made = [_piece(piece, sample_rate, kind, draw) for kind in kinds]
    return np.rint(32767 * np.concatenate(made)[:samples]).astype(np.int16)


def _piece(samples: int, sample_rate: int, kind: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    noise = draw.random(samples) - 0.5
    time_s = np.arange(samples) / sample_rate
    hz = 80 * 30 ** kind[1] * (1 + (kind[2] - 0.5) * time_s)
    mixed: NDArray[np.float64] = 0.6 * kind[3] * np.sin(2 * np.pi * hz * time_s) + 0.3 * kind[4] * noise
    return mixed if kind[0] > 0.2 else mixed / 500  # a pause
