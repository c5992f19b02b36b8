"""Folders as GLM-4-Voice is published, tiny and with random weights; the same wherever they are made."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from duplexgen.training.convert.shards import DTYPES
from tests.tokens.text.test_pretrained import tokens, write_tiktoken
from tests.tokens.tiny import uniform

SPECIAL = (
    *("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>"),
    *("<|observation|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
)
CODES = 16384
AUDIO_NAMED = CODES - 1
ROWS = 20608  # of the embedding: the tokens, and some for nobody
CONFIG: dict[str, Any] = {
    "model_type": "chatglm",
    "architectures": ["ChatGLMModel"],
    "auto_map": {
        "AutoConfig": "configuration_chatglm.ChatGLMConfig",
        "AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration",
    },
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "apply_query_key_layer_scaling": True,
    "apply_residual_connection_post_layernorm": False,
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "bias_dropout_fusion": True,
    "classifier_dropout": None,
    "eos_token_id": [4096, 4103, 4105],
    "ffn_hidden_size": 40,
    "fp32_residual_connection": False,
    "hidden_dropout": 0.0,
    "hidden_size": 32,
    "kv_channels": 12,  # six heads of 12 are wider than the hidden state
    "layernorm_epsilon": 1.5625e-07,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "num_attention_heads": 6,
    "num_layers": 3,
    "original_rope": True,
    "pad_token_id": 4096,
    "padded_vocab_size": ROWS,
    "post_layer_norm": True,
    "rmsnorm": True,
    "rope_ratio": 3.0,
    "seq_length": 512,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "use_cache": True,
}
CODE = ("configuration_chatglm.py", "modeling_chatglm.py", "tokenization_chatglm.py")
AUTO_TOKENIZER = {"AutoTokenizer": ["tokenization_chatglm.ChatGLM4Tokenizer", None]}

Tensors = dict[str, torch.Tensor]


def weights(config: dict[str, Any]) -> Tensors:
    """fp32, by their published names."""
    width, inner, rows = config["hidden_size"], config["ffn_hidden_size"], config["padded_vocab_size"]
    queries = config["kv_channels"] * config["num_attention_heads"]
    projected = queries + 2 * config["kv_channels"] * config["multi_query_group_num"]
    shapes: dict[str, tuple[int, ...]] = {
        "transformer.embedding.word_embeddings.weight": (rows, width),
        "transformer.encoder.final_layernorm.weight": (width,),
        "transformer.output_layer.weight": (rows, width),
    }
    for layer in range(config["num_layers"]):
        name = f"transformer.encoder.layers.{layer}"
        shapes |= {
            f"{name}.input_layernorm.weight": (width,),
            f"{name}.mlp.dense_4h_to_h.weight": (width, inner),
            f"{name}.mlp.dense_h_to_4h.weight": (2 * inner, width),
            f"{name}.post_attention_layernorm.weight": (width,),
            f"{name}.self_attention.dense.weight": (width, queries),
            f"{name}.self_attention.query_key_value.weight": (projected, width),
        }
        if config["add_qkv_bias"]:
            shapes[f"{name}.self_attention.query_key_value.bias"] = (projected,)
    drawn = {name: uniform(name, shape, 0.5) for name, shape in shapes.items()}
    drawn |= {name: 1 + weight for name, weight in drawn.items() if "layernorm" in name}
    rotary = torch.arange(0, config["kv_channels"] // 2, 2) / (config["kv_channels"] // 2)
    return drawn | {"transformer.rotary_pos_emb.inv_freq": 1 / 10000**rotary}


def published(
    folder: Path,
    dtype: str = "F32",
    shards: int = 3,
    audio: int = AUDIO_NAMED,
    states: Sequence[str] = (),
    code: str = 'raise SystemExit("the code of a model was run")\n',
    **changes: Any,
) -> Path:
    """audio: how many audio tokens its tokenizer names. states: what it names after them."""
    config = CONFIG | {"torch_dtype": str(DTYPES[dtype]).removeprefix("torch.")} | changes
    named = [*SPECIAL, *(f"<|audio_{code}|>" for code in range(audio)), *states]
    write_tiktoken(folder, tokens(), dict(enumerate(named)))
    described = json.loads((folder / "tokenizer_config.json").read_text())
    described |= {"auto_map": AUTO_TOKENIZER, "tokenizer_class": "ChatGLM4Tokenizer", "padding_side": "left"}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "LICENSE").write_text("The licence of this model.\n")
    (folder / "README.md").write_text("The card of this model.\n")
    for name in CODE:
        (folder / name).write_text(code)
    save({name: weight.to(DTYPES[dtype]) for name, weight in weights(config).items()}, folder, shards)
    return folder


def save(tensors: Tensors, folder: Path, shards: int) -> None:
    """In so many files and an index, or, in one file, without."""
    files = [f"model-{number + 1:05}-of-{shards:05}.safetensors" for number in range(shards)]
    files = ["model.safetensors"] if shards == 1 else files
    placed = {name: files[place % shards] for place, name in enumerate(tensors)}
    for file in files:
        save_file({name: tensors[name] for name in tensors if placed[name] == file}, folder / file, {"format": "pt"})
    if shards > 1:
        index = {"metadata": {"total_size": 0}, "weight_map": placed}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def loaded(folder: Path) -> Tensors:
    """Every tensor of a folder's files, read by safetensors itself."""
    found: Tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found
