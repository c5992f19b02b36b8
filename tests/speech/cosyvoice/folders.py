"""CosyVoice model folders with random weights, as they are published in everything but their size."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.speech.cosyvoice.configurations import NAMES, SPEECH_TOKENS, TINY, configuration

MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|endofprompt|>")
QWEN_WORDS = 151643  # of Qwen2: the marks stand behind them, and v3's code knows the last one by its number, 151646
ENDS_BY = 1.5  # how much likelier than another token the end is, in the scores: or it would hardly ever come


def make_folder(path: Path, version: int, size: dict[str, int] | None = None, seed: int = 0) -> Path:
    """A model folder. Needs the CosyVoice code to be importable, as its weights are those of its modules."""
    import torch

    from duplexgen.pipeline.speech.cosyvoice.configuration import build
    from duplexgen.pipeline.speech.cosyvoice.folder import ModelFolder
    from duplexgen.pipeline.speech.cosyvoice.upstream import contained

    size = size or TINY
    path.mkdir(parents=True)
    (path / NAMES[version]).write_text(configuration(version, size))
    if version > 1:
        make_qwen(path / "CosyVoice-BlankEN", size, words=QWEN_WORDS if version == 3 else 400)
    write_onnx(path, version)
    with contained():
        parts = build(ModelFolder(path, NAMES[version], version))
        torch.manual_seed(seed)
        for name in ("llm", "flow", "hift"):
            module = parts[name].float()
            if name == "hift":
                _let_it_hum(module)
            else:
                _shuffle(module)
            if name == "llm":
                _let_it_end(module, version)
            prefix = "generator." if name == "hift" else ""
            torch.save({prefix + key: value for key, value in module.state_dict().items()}, path / f"{name}.pt")
    return path


def _shuffle(module: Any) -> None:
    """Weights that let text and voice be heard in what comes out: as they are made, some parts are all but zero."""
    import torch

    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)


def _let_it_hum(hift: Any) -> None:
    """A voice of about 150 Hz, where untrained weights would make noise alone."""
    import torch

    with torch.no_grad():
        hift.f0_predictor.classifier.bias.fill_(150.0)


def _let_it_end(llm: Any, version: int) -> None:
    """Scores so flat that utterances differ, and among what is no speech one id that ends them."""
    import torch

    first = SPEECH_TOKENS[version]
    with torch.no_grad():
        decoder = llm.llm_decoder
        decoder.weight.normal_(0, 0.3 * decoder.in_features**-0.5)
        decoder.weight[first:] = 0.0
        if version < 3:
            decoder.bias.zero_()
            decoder.bias[first:] = -50.0
            decoder.bias[first] = ENDS_BY
            return
        # v3 has no bias: the first dimension of every hidden state is given one value, which no layer adds to.
        qwen = llm.llm.model
        for embeddings in (qwen.get_input_embeddings(), llm.speech_embedding):
            embeddings.weight[:, 0] = 4.0
        for layer in qwen.model.layers:
            layer.self_attn.o_proj.weight[0] = 0.0
            layer.mlp.down_proj.weight[0] = 0.0
        decoder.weight[:, 0] = 0.0
        decoder.weight[first:, 0] = -20.0
        decoder.weight[first + 1, 0] = ENDS_BY / 2.5


def make_qwen(path: Path, size: dict[str, int], words: int) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {
        word: index for index, word in enumerate([*letters, *(f"<unused{i}>" for i in range(words - len(letters)))])
    }
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(MARKS))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=MARKS[0], pad_token=MARKS[0])
    fast.save_pretrained(path)
    config = Qwen2Config(
        vocab_size=words + 400,
        hidden_size=size["hidden"],
        num_hidden_layers=size["layers"],
        num_attention_heads=size["heads"],
        num_key_value_heads=size["kv"],
        intermediate_size=size["inner"],
        tie_word_embeddings=True,
    )
    published: Any = Qwen2ForCausalLM(config)
    published.to(torch.bfloat16).save_pretrained(path)


def write_onnx(path: Path, version: int) -> None:
    """Stand-ins with the inputs and outputs of the speaker model and of the speech tokenizer, which hear the clip."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(version)

    def save(name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> None:
        held = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
        graph = helper.make_graph(nodes, name, inputs, outputs, held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, str(path / name))

    make, value = helper.make_node, helper.make_tensor_value_info
    save(
        "campplus.onnx",
        [
            make("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=0),
            make("MatMul", ["mean", "weight"], ["output"]),
        ],
        [value("input", TensorProto.FLOAT, ["B", "T", 80])],
        [value("output", TensorProto.FLOAT, ["B", 192])],
        {"weight": rng.normal(size=(80, 192)).astype(np.float32)},
    )
    frames = 2 if version == 1 else 4
    save(
        f"speech_tokenizer_v{version}.onnx",
        [
            make("AveragePool", ["feats"], ["pooled"], kernel_shape=[frames], strides=[frames]),
            make("Mul", ["pooled", "weight"], ["weighed"]),
            make("ReduceMean", ["weighed"], ["summed"], axes=[1], keepdims=0),
            make("Abs", ["summed"], ["positive"]),
            make("Mul", ["positive", "scale"], ["scaled"]),
            make("Cast", ["scaled"], ["whole"], to=TensorProto.INT64),
            make("Mod", ["whole", "count"], ["indices"]),
        ],
        [value("feats", TensorProto.FLOAT, [1, 128, "T"]), value("feats_length", TensorProto.INT32, [1])],
        [value("indices", TensorProto.INT64, [1, "N"])],
        {
            "weight": rng.normal(size=(1, 128, 1)).astype(np.float32),
            "scale": np.float32(1e5),
            "count": np.int64(SPEECH_TOKENS[version]),
        },
    )


def make_bank(path: Path, voices: int = 3, rate: int = 16000) -> Path:
    """A bank of humming voices, in the format of `duplexgen.pipeline.speech.recorded`."""
    (path / "clips").mkdir(parents=True)
    rows = []
    for index in range(voices):
        name = f"voice{index}"
        seconds = np.arange(round((3.0 + 0.4 * index) * rate)) / rate
        pitch_hz = 110.0 * 2 ** (index / 4)
        samples = sum(np.sin(2 * np.pi * pitch_hz * k * seconds) / k for k in range(1, 12)) * 0.1
        samples *= 0.6 + 0.4 * np.sin(2 * np.pi * 3.0 * seconds)
        file = path / "clips" / f"{name}.wav"
        soundfile.write(file, samples, rate, subtype="PCM_16")
        rows.append(
            {
                "name": name,
                "languages": ["en", "zh"],
                "sex": "female" if index % 2 else "male",
                "split": "eval" if index == voices - 1 and voices > 2 else "train",
                "file": f"clips/{name}.wav",
                "text": "The river runs slowly past the old mill.",
                "duration_s": len(samples) / rate,
                "dnsmos": 3.5,
                "license": "CC0-1.0",
                "provenance": "made by a test",
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
        )
    (path / "bank.json").write_text(json.dumps({"format_version": 1, "voices": rows}))
    return path
