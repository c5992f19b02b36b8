"""A trained model is a folder: the files of `save_pretrained`, the vocabulary of its sequences, and its origin."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from ...pipeline.dataset.reader import read_json
from ...pipeline.dataset.vocabulary import read_vocabulary
from ...pipeline.errors import UserError, enough_memory
from ...pipeline.kernels import leave_out_cudnn_attention
from ...pipeline.recipe.file import described
from ...pipeline.storage.atomic import file_sha256
from ...pipeline.storage.objects import Place
from ...pipeline.tokens.section import Tokens
from ...pipeline.tokens.speech.glm4voice import GLM4VoiceTokenizer
from ..devices import DTYPES, check_precision
from ..recipe import Precision
from ..sequences import SequenceFormat
from .networks import check_fits, outlined, pretrained
from .saving import saved

ABOUT = "training.json"
HALF = "In bf16 it takes half: use --precision bf16 with `talk`, and precision: bf16 in a recipe of `evaluate`."


@dataclass(frozen=True)
class DuplexModel:
    network: PreTrainedModel  # in eval mode
    format: SequenceFormat
    about: dict[str, Any]  # the training recipe, the data and their checksums


def load_model(
    folder: Path, device: str = "cpu", precision: Precision = "fp32", decoder: Path | None = None
) -> DuplexModel:
    """A model of `duplexgen train`.

    device: on `meta` it has no weights, and none are read.
    decoder: the folder of GLM-4-Voice's decoder; None: what the recipe of the data says. Raises UserError if the folder
    holds no model, or one that is damaged or too large, or if its speech tokenizer takes no decoder.
    """
    if device == "cuda":
        check_precision(precision, "precision: fp32, of `talk` by --precision")
    if not (folder / ABOUT).exists():
        raise UserError(f"{folder} is not a finished model of `duplexgen train`: it has no {ABOUT}.")
    about = read_json(folder / ABOUT)
    sequence_format = SequenceFormat.read(folder, _tokens(folder / ABOUT, about, decoder))
    network = outlined(str(folder)) if device == "meta" else pretrained(str(folder), DTYPES[precision], whole=True)
    check_fits(network, sequence_format, str(folder))
    leave_out_cudnn_attention()
    with enough_memory(f"for the model. {HALF}"):
        moved = nn.Module.to(network, device)  # the type of PreTrainedModel.to is lost in a wrapper
    return DuplexModel(moved.eval(), sequence_format, about)  # type: ignore[no-untyped-call]


def model_files(name: str) -> list[dict[str, str]]:
    """The checksums of a model's files, by their names; none if it is not a folder."""
    folder = Path(name).expanduser()
    files = [path for path in (folder / ABOUT, *sorted(folder.glob("*.safetensors"))) if path.is_file()]
    return [{path.name: file_sha256(path) for path in files}] if files else []


def _tokens(path: Path, about: dict[str, Any], decoder: Path | None) -> Tokens:
    """The section `tokens` of the data's recipe: where the tokenizers are. decoder: in place of that of the section."""
    try:
        tokens = Tokens.model_validate(about.get("tokens", {}))
    except ValidationError as error:
        raise UserError(f"{path} is damaged, or of another version: tokens: {described(error)}") from error
    if decoder is None:
        return tokens
    if tokens.speech_tokenizer != GLM4VoiceTokenizer.name or tokens.glm4voice is None:
        tokenizer = f"and the speech tokenizer of {path.parent} is {tokens.speech_tokenizer}"
        raise UserError(f"{decoder} is to decode codes of GLM-4-Voice, {tokenizer}. Name no decoder.")
    section = tokens.glm4voice.model_copy(update={"decoder": str(decoder)})
    return tokens.model_copy(update={"glm4voice": section})


def save_model(network: PreTrainedModel, weights: dict[str, torch.Tensor], data_set: Place, folder: Path) -> None:
    """Write a network and the vocabulary of its sequences into a new folder.

    weights: its whole state, also if it is sharded. data_set: its vocabulary is the network's.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    with saved(folder):
        network.save_pretrained(folder, state_dict=weights)
        for name, content in read_vocabulary(data_set).items():
            (folder / Path(name).name).write_bytes(content)
