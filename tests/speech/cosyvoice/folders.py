"""CosyVoice model folders with random weights, as they are published in everything but their size."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

SPEECH_TOKENS = {1: 4096, 2: 6561, 3: 6561}
RATE_HZ = {1: 22050, 2: 24000, 3: 24000}
NAMES = {1: "cosyvoice.yaml", 2: "cosyvoice2.yaml", 3: "cosyvoice3.yaml"}
MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|endofprompt|>")
QWEN_WORDS = 151643  # of Qwen2: the marks stand behind them, and v3's code knows the last one by its number, 151646
ENDS_BY = 1.5  # how much likelier than another token the end is, in the scores: or it would hardly ever come
TINY: dict[str, int] = {
    "hidden": 32,
    "layers": 2,
    "heads": 2,
    "kv": 1,
    "inner": 64,
    "channels": 32,
    "mid": 1,
    "base": 32,
}
TINY |= {"blocks": 1, "units": 64, "head": 16, "flow_blocks": 1, "flow_heads": 2, "f0": 32, "dit": 64, "depth": 2}
FULL: dict[str, int] = {"hidden": 896, "layers": 24, "heads": 14, "kv": 2, "inner": 4864, "channels": 256, "mid": 12}
FULL |= {
    "blocks": 6,
    "units": 2048,
    "head": 64,
    "flow_blocks": 4,
    "flow_heads": 8,
    "f0": 512,
    "dit": 1024,
    "depth": 22,
    "base": 512,
}

VALUES = """
__set_seed1: !apply:random.seed [1986]
__set_seed3: !apply:torch.manual_seed [1986]
sample_rate: {rate}
spk_embed_dim: 192
qwen_pretrain_path: ''
token_mel_ratio: 2
chunk_size: 25
"""
VOCODER = """
hift: !new:cosyvoice.hifigan.generator.{hift}
    in_channels: 80
    base_channels: {base}
    nb_harmonics: 8
    sampling_rate: !ref <sample_rate>
    nsf_alpha: 0.1
    nsf_sigma: 0.003
    nsf_voiced_threshold: 10
    upsample_rates: {up}
    upsample_kernel_sizes: {up_kernels}
    istft_params:
        n_fft: 16
        hop_len: 4
    resblock_kernel_sizes: [3, 7, 11]
    resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    source_resblock_kernel_sizes: {source_kernels}
    source_resblock_dilation_sizes: {source_dilations}
    lrelu_slope: 0.1
    audio_limit: 0.99
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.{f0_predictor}
        num_class: 1
        in_channels: 80
        cond_channels: {f0}
feat_extractor: !name:matcha.utils.audio.mel_spectrogram
    n_fft: {n_fft}
    num_mels: 80
    sampling_rate: !ref <sample_rate>
    hop_size: {hop}
    win_size: {n_fft}
    fmin: 0
    fmax: {fmax}
    center: False
allowed_special: 'all'
"""
SAMPLING = """
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: 0.8
        top_k: 25
        win_size: 10
        tau_r: 0.1
"""
CFM = """
    decoder: !new:cosyvoice.flow.flow_matching.{cfm}
        in_channels: 240
        n_spks: 1
        spk_emb_dim: 80
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: 0.7
                reg_loss_type: 'l1'
"""
V1 = """
llm: !new:cosyvoice.llm.llm.TransformerLM
    text_encoder_input_size: {hidden}
    llm_input_size: {hidden}
    llm_output_size: {hidden}
    text_token_size: 51866
    speech_token_size: 4096
    length_normalized_loss: True
    lsm_weight: 0
    spk_embed_dim: !ref <spk_embed_dim>
    text_encoder: !new:cosyvoice.transformer.encoder.ConformerEncoder
        input_size: {hidden}
        output_size: {hidden}
        attention_heads: {heads}
        linear_units: {units}
        num_blocks: {blocks}
        dropout_rate: 0.1
        positional_dropout_rate: 0.1
        attention_dropout_rate: 0.0
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        use_cnn_module: False
        macaron_style: False
        use_dynamic_chunk: False
        use_dynamic_left_chunk: False
        static_chunk_size: 1
    llm: !new:cosyvoice.transformer.encoder.TransformerEncoder
        input_size: {hidden}
        output_size: {hidden}
        attention_heads: {heads}
        linear_units: {units}
        num_blocks: {layers}
        dropout_rate: 0.1
        positional_dropout_rate: 0.1
        attention_dropout_rate: 0.0
        input_layer: 'linear_legacy'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        static_chunk_size: 1
{sampling}
flow: !new:cosyvoice.flow.flow.MaskedDiffWithXvec
    input_size: 512
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: 4096
    input_frame_rate: 50
    only_mask_loss: True
    encoder: !new:cosyvoice.transformer.encoder.ConformerEncoder
        output_size: 512
        attention_heads: {flow_heads}
        linear_units: {units}
        num_blocks: {blocks}
        dropout_rate: 0.1
        positional_dropout_rate: 0.1
        attention_dropout_rate: 0.1
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        input_size: 512
        use_cnn_module: False
        macaron_style: False
    length_regulator: !new:cosyvoice.flow.length_regulator.InterpolateRegulator
        channels: 80
        sampling_ratios: [1, 1, 1, 1]
{decoder}
        estimator: !new:cosyvoice.flow.decoder.ConditionalDecoder
            in_channels: 320
            out_channels: 80
            channels: [{channels}, {channels}]
            dropout: 0.0
            attention_head_dim: {head}
            n_blocks: {flow_blocks}
            num_mid_blocks: {mid}
            num_heads: {flow_heads}
            act_fn: 'gelu'
get_tokenizer: !name:whisper.tokenizer.get_tokenizer
    multilingual: True
    num_languages: 100
    language: 'en'
    task: 'transcribe'
"""
QWEN_LLM = """
llm: !new:cosyvoice.llm.llm.{llm}
    llm_input_size: {hidden}
    llm_output_size: {hidden}
    speech_token_size: 6561
    length_normalized_loss: True
    lsm_weight: 0
    mix_ratio: [5, 15]
    llm: !new:cosyvoice.llm.llm.Qwen2Encoder
        pretrain_path: !ref <qwen_pretrain_path>
{sampling}
get_tokenizer: !name:cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer
    token_path: !ref <qwen_pretrain_path>
    skip_special_tokens: True
{tokenizer_version}
"""
V2 = """
flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithXvec
    input_size: 512
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: 6561
    input_frame_rate: 25
    only_mask_loss: True
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: 3
    encoder: !new:cosyvoice.transformer.upsample_encoder.UpsampleConformerEncoder
        output_size: 512
        attention_heads: {flow_heads}
        linear_units: {units}
        num_blocks: {blocks}
        dropout_rate: 0.1
        positional_dropout_rate: 0.1
        attention_dropout_rate: 0.1
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        input_size: 512
        use_cnn_module: False
        macaron_style: False
        static_chunk_size: !ref <chunk_size>
{decoder}
        estimator: !new:cosyvoice.flow.decoder.CausalConditionalDecoder
            in_channels: 320
            out_channels: 80
            channels: [{channels}]
            dropout: 0.0
            attention_head_dim: {head}
            n_blocks: {flow_blocks}
            num_mid_blocks: {mid}
            num_heads: {flow_heads}
            act_fn: 'gelu'
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: -1
"""
V3 = """
flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithDiT
    input_size: 80
    output_size: 80
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: 6561
    input_frame_rate: 25
    only_mask_loss: True
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: 3
    pre_lookahead_layer: !new:cosyvoice.transformer.upsample_encoder.PreLookaheadLayer
        in_channels: 80
        channels: {dit}
        pre_lookahead_len: 3
{decoder}
        estimator: !new:cosyvoice.flow.DiT.dit.DiT
            dim: {dit}
            depth: {depth}
            heads: {flow_heads}
            dim_head: {head}
            ff_mult: 2
            mel_dim: 80
            mu_dim: 80
            spk_dim: 80
            out_channels: 80
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: -1
"""


def configuration(version: int, size: dict[str, int]) -> str:
    """The YAML file, without what training needs."""
    old, new = version == 1, version == 3
    shared = {
        "rate": RATE_HZ[version],
        "hift": "CausalHiFTGenerator" if new else "HiFTGenerator",
        "f0_predictor": "CausalConvRNNF0Predictor" if new else "ConvRNNF0Predictor",
        "up": "[8, 8]" if old else "[8, 5, 3]",
        "up_kernels": "[16, 16]" if old else "[16, 11, 7]",
        "source_kernels": "[7, 11]" if old else "[7, 7, 11]",
        "source_dilations": "[[1, 3, 5], [1, 3, 5]]" if old else "[[1, 3, 5], [1, 3, 5], [1, 3, 5]]",
        "n_fft": 1024 if old else 1920,
        "hop": 256 if old else 480,
        "fmax": 8000 if version < 3 else "null",
        "llm": "CosyVoice3LM" if new else "Qwen2LM",
        "tokenizer_version": "    version: cosyvoice3" if new else "",
        "sampling": SAMPLING,
        "decoder": CFM.format(cfm="ConditionalCFM" if old else "CausalConditionalCFM"),
        **size,
    }
    # As published, the language model is made before the flow and the flow before the vocoder.
    text = VALUES + {1: V1, 2: QWEN_LLM + V2, 3: QWEN_LLM + V3}[version] + VOCODER
    return text.format(**shared)


def make_folder(path: Path, version: int, size: dict[str, int] | None = None, seed: int = 0) -> Path:
    """A model folder. Needs the CosyVoice code to be importable, as its weights are those of its modules."""
    import torch

    from pipeline.speech.cosyvoice.configuration import build
    from pipeline.speech.cosyvoice.folder import ModelFolder
    from pipeline.speech.cosyvoice.upstream import contained

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
        # v3 has no bias: the first dimension of every hidden state is made large and of one sign instead.
        llm.llm.model.get_input_embeddings().weight[:, 0] = 100.0
        llm.speech_embedding.weight[:, 0] = 100.0
        decoder.weight[:, 0] = 0.0
        decoder.weight[first:, 0] = -50.0 / decoder.in_features**0.5
        decoder.weight[first + 1, 0] = ENDS_BY / decoder.in_features**0.5


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
    """A bank of humming voices, in the format of `pipeline.speech.recorded`."""
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
