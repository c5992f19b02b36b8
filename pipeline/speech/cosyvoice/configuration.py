"""Builds the parts of a model's YAML file that speaking needs, and runs nothing else of it.

These files name the classes to make and the functions to call (HyperPyYAML). A model folder is data, and data runs no
code of its own choice: only the modules of CosyVoice's models may be named.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from ...errors import UserError
from ...recipe.yaml_file import compose
from ...storage.paths import read_text
from .folder import QWEN, ModelFolder

PARTS = ("llm", "flow", "hift", "get_tokenizer", "feat_extractor", "allowed_special")
ALLOWED = re.compile(
    r"!(new|name):("
    r"cosyvoice\.(llm\.llm\.(?!HFBackbone)|flow\.|hifigan\.|transformer\.|tokenizer\.tokenizer\.|utils\.common\.)[\w.]+"
    r"|matcha\.utils\.audio\.mel_spectrogram|whisper\.tokenizer\.get_tokenizer|omegaconf\.DictConfig)"
)
PLAIN = "tag:yaml.org,2002:"


def build(folder: ModelFolder) -> dict[str, Any]:
    """The parts by their names: modules with random weights, functions. Raises UserError."""
    from hyperpyyaml import load_hyperpyyaml

    path = folder.path / folder.configuration
    text = only_parts(read_text(path), path)
    overrides = {"qwen_pretrain_path": str(folder.path / QWEN)} if folder.version > 1 else {}
    parts: dict[str, Any] = load_hyperpyyaml(text, overrides=overrides)
    return parts


def only_parts(text: str, path: Path) -> str:
    """The YAML of the parts and of the plain values they refer to. Raises UserError for a name that is not ALLOWED."""
    root = compose(text, path)
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{path}: expected a mapping")
    pairs = [(key, node) for key, node in root.value if isinstance(key, yaml.ScalarNode)]
    nodes = [(key, node) for key, node in pairs if key.value in PARTS or node.tag.startswith(PLAIN)]
    nodes = [(key, node) for key, node in nodes if key.value in PARTS or isinstance(node, yaml.ScalarNode)]
    if missing := sorted(set(PARTS) - {key.value for key, _ in nodes}):
        raise UserError(f"{path} lacks {', '.join(missing)}: expected the configuration of a published model")
    for _, node in nodes:
        _check(node, path)
    return str(yaml.serialize(yaml.MappingNode(root.tag, nodes), Dumper=yaml.SafeDumper))


def _check(node: yaml.Node, path: Path) -> None:
    if not (node.tag.startswith(PLAIN) or node.tag == "!ref" or ALLOWED.fullmatch(node.tag)):
        line = node.start_mark.line + 1
        raise UserError(f"{path}, line {line}: {node.tag} is not a part of CosyVoice, and a model runs nothing else")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _check(key, path)
            _check(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check(item, path)
