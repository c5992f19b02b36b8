"""Configurations of the three versions as they are published, at any size."""

SPEECH_TOKENS = {1: 4096, 2: 6561, 3: 6561}
RATE_HZ = {1: 22050, 2: 24000, 3: 24000}
NAMES = {1: "cosyvoice.yaml", 2: "cosyvoice2.yaml", 3: "cosyvoice3.yaml"}
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
