"""What config.yaml of GLM-4-Voice's decoder says, read without making anything of it.

The file names classes to make and functions to call (HyperPyYAML). A model's folder is data, and data runs no code: the
names of classes are compared with those of the published decoder, whose networks are `glm4voice_flow` and
`glm4voice_vocoder`, and sizes are read. The rest of the file is skipped.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ...errors import UserError
from ...recipe.yaml_file import compose
from ...storage.paths import read_text, shortened
from . import neural

PARTS = ("flow", "hift")
NEW, REFERENCE, YAML = "!new:", "!ref", "tag:yaml.org,2002:"
SCALARS = frozenset(f"{YAML}{name}" for name in ("str", "int", "float", "bool", "null"))
LARGEST_SIZE = 100_000
MOST_REPEATED = 100  # of anything that is repeated
GROUPS = 8  # of the estimator's norms
RATE = 22050  # Hz, of what the decoder says
TOKEN_SAMPLES = 1764  # at this rate: 80 ms

FLOW: dict[str, Any] = {  # of the published decoder, as are the sizes of VOCODER; SIZES may be others
    "flow": "cosyvoice.flow.flow.MaskedDiffWithXvec",
    "flow.output_size": 80,
    "flow.input_frame_rate": 12.5,
    "flow.encoder": "cosyvoice.transformer.encoder.BlockConformerEncoder",
    "flow.encoder.input_layer": "linear",
    "flow.encoder.pos_enc_layer_type": "rel_pos_espnet",
    "flow.encoder.selfattention_layer_type": "block_rel_selfattn",
    "flow.encoder.normalize_before": True,
    "flow.encoder.use_cnn_module": False,
    "flow.encoder.macaron_style": False,
    "flow.length_regulator": "cosyvoice.flow.length_regulator.InterpolateRegulator",
    "flow.length_regulator.channels": 80,
    "flow.length_regulator.sampling_ratios": [1, 1, 1, 1],
    "flow.decoder": "cosyvoice.flow.flow_matching.ConditionalCFM",
    "flow.decoder.spk_emb_dim": 80,
    "flow.decoder.cfm_params.content.t_scheduler": "cosine",
    "flow.decoder.cfm_params.content.inference_cfg_rate": 0.7,
    "flow.decoder.estimator": "cosyvoice.flow.decoder.ConditionalDecoder",
    "flow.decoder.estimator.in_channels": 320,
    "flow.decoder.estimator.out_channels": 80,
    "flow.decoder.estimator.act_fn": "gelu",
}
VOCODER: dict[str, Any] = {
    "hift": "cosyvoice.hifigan.generator.HiFTGenerator",
    "hift.in_channels": 80,
    "hift.nb_harmonics": 8,
    "hift.sampling_rate": RATE,
    "hift.nsf_alpha": 0.1,
    "hift.nsf_sigma": 0.003,
    "hift.nsf_voiced_threshold": 10,
    "hift.upsample_rates": [8, 8],
    "hift.upsample_kernel_sizes": [16, 16],
    "hift.istft_params.n_fft": 16,
    "hift.istft_params.hop_len": 4,
    "hift.resblock_kernel_sizes": [3, 7, 11],
    "hift.resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "hift.source_resblock_kernel_sizes": [7, 11],
    "hift.source_resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5]],
    "hift.lrelu_slope": 0.1,
    "hift.audio_limit": 0.99,
    "hift.f0_predictor": "cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor",
    "hift.f0_predictor.num_class": 1,
    "hift.f0_predictor.in_channels": 80,
}
UNSAID: dict[str, Any] = {  # by the published file, which leaves these as they are
    "flow.encoder.activation_type": "swish",
    "flow.encoder.key_bias": True,
    "flow.encoder.static_chunk_size": 0,
    "flow.encoder.use_dynamic_chunk": False,
}
SIZES = (
    "flow.vocab_size", "flow.input_size", "flow.spk_embed_dim", "flow.encoder.input_size", "flow.encoder.output_size",
    "flow.encoder.attention_heads", "flow.encoder.linear_units", "flow.encoder.block_size",
    "flow.decoder.estimator.attention_head_dim", "flow.decoder.estimator.num_heads",
    "hift.base_channels", "hift.f0_predictor.cond_channels",
)  # fmt: skip
REPEATED = ("flow.encoder.num_blocks", "flow.decoder.estimator.n_blocks", "flow.decoder.estimator.num_mid_blocks")
CHANNELS = "flow.decoder.estimator.channels"


def read(path: Path) -> dict[str, Any]:
    """Settings of the flow and the vocoder by dotted names (`flow.encoder.block_size`); `flow.encoder` is a class.

    Raises UserError if the file is missing, is no YAML, or has a tag where the published one has none.
    """
    root = compose(read_text(path), path)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    top = {key.value: node for key, node in pairs if isinstance(key, yaml.ScalarNode)}
    if missing := [part for part in PARTS if part not in top]:
        raise UserError(f"{path} lacks {' and '.join(missing)}: it is not the configuration of GLM-4-Voice's decoder")
    shared = {name: _scalar(node, path) for name, node in top.items() if node.tag in SCALARS}
    return {name: value for part in PARTS for name, value in _settings(part, top[part], shared, path)}


def mistakes(config: Mapping[str, Any], codebook_size: int, path: Path) -> list[str]:
    """Differences from the published decoder, and sizes of which no network can be made, in words."""
    wanted = FLOW | VOCODER | UNSAID | {"flow.vocab_size": codebook_size}
    if unlike := neural.unlike(UNSAID | dict(config), wanted, path):
        return unlike[:3]
    limits = dict.fromkeys(SIZES, LARGEST_SIZE) | dict.fromkeys(REPEATED, MOST_REPEATED)
    strange = [name for name, most in limits.items() if not _is_size(config.get(name), most)]
    if strange:
        return [f"{path} says {name} {config.get(name)!r}, expected 1 to {limits[name]:,}" for name in strange[:3]]
    channels = config.get(CHANNELS)
    if not isinstance(channels, list) or not 1 <= len(channels) <= MOST_REPEATED or not all(map(_norms, channels)):
        return [f"{path} says {CHANNELS} {shortened(repr(channels))}, expected a list of multiples of {GROUPS}"]
    heads = "flow.encoder.attention_heads"
    factors = {"flow.encoder.output_size": 2 * config[heads], "hift.base_channels": 4}
    return [
        f"{path} says {name} {config[name]}, expected a multiple of {factor}"
        for name, factor in factors.items()
        if config[name] % factor
    ]


def _is_size(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most


def _norms(channels: object) -> bool:
    return _is_size(channels, LARGEST_SIZE) and channels % GROUPS == 0  # type: ignore[operator]


def _settings(name: str, node: yaml.Node, shared: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    if node.tag == REFERENCE and isinstance(node, yaml.ScalarNode):
        referred = node.value.strip().removeprefix("<").removesuffix(">")
        yield name, shared.get(referred)
    elif isinstance(node, yaml.MappingNode):
        if node.tag.startswith(NEW):
            yield name, node.tag.removeprefix(NEW)
        elif node.tag != f"{YAML}map":
            _refuse(node, path)
        for key, value in node.value:
            yield from _settings(f"{name}.{key.value}", value, shared, path)
    else:
        yield name, _value(node, path)


def _value(node: yaml.Node, path: Path) -> Any:
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{YAML}seq":
        return [_value(item, path) for item in node.value]
    return _scalar(node, path)


def _scalar(node: yaml.Node, path: Path) -> Any:
    if not isinstance(node, yaml.ScalarNode) or node.tag not in SCALARS:
        _refuse(node, path)
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (ValueError, OverflowError, KeyError) as error:  # as a number that is none
        raise UserError(f"{path}, line {node.start_mark.line + 1}: {shortened(node.value)!r} is no value") from error


def _refuse(node: yaml.Node, path: Path) -> NoReturn:
    tag, line = shortened(node.tag.replace(YAML, "!!")), node.start_mark.line + 1
    raise UserError(f"{path}, line {line}: {tag} is no part of GLM-4-Voice's decoder, and a model runs nothing else")
