"""Networks of transformers: with the weights of their files or without, and whether they fit a vocabulary."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from ...pipeline.errors import UserError
from ...pipeline.layouts.stream_ids import StreamVocabulary
from ...pipeline.storage.model_files import check_numbers, read_json_object
from ..convert import chatglm
from ..recipe import Depth
from ..sequences import SequenceFormat
from .depth import DepthShape
from .streams import StreamsConfig, StreamsForCausalLM

CONFIG = "config.json"
ANOTHER = "They do not belong together. Use a model that was trained on such data."


def pretrained(name: str, dtype: torch.dtype, whole: bool = False) -> PreTrainedModel:
    """whole: every weight in the files must belong to the network, as in a folder that `train` has written."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    from_pretrained: Any = AutoModelForCausalLM.from_pretrained  # its type knows nothing of output_loading_info
    with _loading(name):
        network, info = from_pretrained(name, dtype=dtype, trust_remote_code=False, output_loading_info=True)
        if unlike := sorted({*info["missing_keys"], *(info["unexpected_keys"] if whole else ())}):
            raise ValueError(
                f"its weights are not those that {CONFIG} asks for, {len(unlike)} of them, such as {unlike[0]}"
            )
    loaded: PreTrainedModel = network
    return loaded


def outlined(name: str) -> PreTrainedModel:
    """The network of `pretrained` without its weights, on `meta`."""
    with _loading(name):
        return outline(AutoConfig.from_pretrained(name, trust_remote_code=False), None, None)


@contextmanager
def _loading(name: str) -> Iterator[None]:
    """Check the configuration of a model; in the block, turn any error of transformers into a UserError."""
    try:
        if (config := Path(name) / CONFIG).is_file():  # a model of the Hub is read by transformers alone
            check_numbers(described := read_json_object(config), config, infinite=True)
            if described.get("model_type") == chatglm.MODEL_TYPE:
                raise ValueError(
                    f"it has the names of ChatGLM. `duplexgen models convert glm-4-voice-9b {name} --out NEW_FOLDER` "
                    "writes GLM-4-Voice as transformers loads it"
                )
        yield
    except Exception as error:  # classes of transformers may raise any error for strange files
        raise UserError(
            f"the model {name} cannot be loaded: {error}. Expected a folder written by `duplexgen train`, or any "
            "causal language model that transformers has a class for: code that comes with a model is never run."
        ) from error


def outline(configuration: Any, sequence_format: SequenceFormat | None, depth: Depth | None) -> PreTrainedModel:
    """The model of a configuration, on `meta`, where it takes no memory.

    sequence_format: if it has parallel streams, the model gets them, too; None: the model stays as it is.
    """
    from_config: Any = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        network: PreTrainedModel = from_config(configuration, dtype=torch.float32)
        if sequence_format and sequence_format.streams > 1 and not isinstance(network, StreamsForCausalLM):
            shape = depth_shape(depth or Depth(), sequence_format, width_of(network))
            streams = StreamsConfig(text_config=configuration, depth=asdict(shape))
            network = from_config(streams, dtype=torch.float32)
    return network


def depth_shape(depth: Depth, sequence_format: SequenceFormat, width: int) -> DepthShape:
    """width: of the hidden state."""
    vocabulary = sequence_format.vocabulary
    assert isinstance(vocabulary, StreamVocabulary), "the layout has parallel streams"
    return DepthShape(
        input_size=width,
        codebooks=vocabulary.audio.codebooks,
        codes=vocabulary.audio.codes,
        audio_size=vocabulary.audio_size,
        text_size=sequence_format.size if depth.reads_text else None,
        **depth.model_dump(exclude={"reads_text"}),
    )


def width_of(network: PreTrainedModel) -> int:
    weight = network.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.shape[1]


def check_fits(network: PreTrainedModel, sequence_format: SequenceFormat, where: str) -> None:
    """Raise UserError unless every id of the vocabulary has a row in the embedding and in the head."""
    embedding, head = network.get_input_embeddings(), network.get_output_embeddings()  # type: ignore[no-untyped-call]
    for name, rows in (("embedding", rows_of(embedding)), ("head", rows_of(head))):
        if rows < sequence_format.size:
            raise UserError(
                f"the model {where} has {rows} rows in its {name}, but the vocabulary has {sequence_format.size} ids: "
                "they do not belong together. Use a model that was trained on this vocabulary."
            )
    streams, expected = _streams(network), sequence_format.streams
    if streams != expected:
        raise UserError(f"the model {where} reads {streams} ids per position, and the layout has {expected}. {ANOTHER}")
    if isinstance(network, StreamsForCausalLM):
        _check_codes(network.depth.shape, sequence_format, where)


def _streams(network: PreTrainedModel) -> int:
    return 1 + 2 * network.codebooks if isinstance(network, StreamsForCausalLM) else 1


def _check_codes(shape: DepthShape, sequence_format: SequenceFormat, where: str) -> None:
    """Raise UserError unless a depth transformer has a row for each id that it reads, and knows the same codes."""
    vocabulary = sequence_format.vocabulary
    assert isinstance(vocabulary, StreamVocabulary), "the layout has parallel streams"
    if shape.codes != vocabulary.audio.codes:
        raise UserError(
            f"the model {where} has codebooks of {shape.codes} codes, and the data {vocabulary.audio.codes}. {ANOTHER}"
        )
    rows, text_rows = shape.audio_size, shape.text_size or sequence_format.size
    if rows < vocabulary.audio_size or text_rows < sequence_format.size:
        raise UserError(
            f"the model {where} has {rows} rows for codes and {text_rows} for text, and the vocabulary has "
            f"{vocabulary.audio_size} and {sequence_format.size} ids. {ANOTHER}"
        )


def rows_of(module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return weight.shape[0]


def max_positions(network: PreTrainedModel) -> int | None:
    """How many positions the longest sequence of a model may have; None if its configuration does not say."""
    positions = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    return positions if isinstance(positions, int) else None


def check_length(network: PreTrainedModel, length: int, what: str) -> None:
    """Raise UserError if a sequence has more positions than the model allows. what: names it in the message."""
    limit = max_positions(network)
    if limit is not None and length > limit:
        raise UserError(
            f"{what} has {length} positions, but the model takes {limit} (max_position_embeddings of its "
            "configuration). Use a model that takes more, or shorter dialogues (rewriting.max_exchanges, "
            "max_reply_words)."
        )
