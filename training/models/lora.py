"""Training few weights instead of all: low-rank changes of linear layers (LoRA, arXiv 2106.09685), by peft.

What is new to a language model is trained whole: the rows of the embedding and of the head that are for states and
codes, and all of a model of parallel streams but its backbone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ...pipeline.errors import UserError
from ...pipeline.layouts.shared import SharedVocabulary
from ..devices import DTYPES
from ..recipe import Lora, Precision
from ..sequences import SequenceFormat
from .streams import StreamsForCausalLM


def adapt(network: PreTrainedModel, lora: Lora, new: list[int], seed: int, precision: Precision) -> Callable[[], None]:
    """Freeze a network, in the precision it computes in, and add the weights that are trained, in fp32.

    new: ids whose rows in the embedding and the head are trained whole, as `new_ids` gives them.
    Returns what makes it a plain network again: it adds the changes to the weights, in fp32 and on the processor.
    Raises UserError if peft is not installed, or if the model has no such layers.
    """
    try:
        from peft import LoraConfig, LoraModel
    except ImportError as error:
        raise UserError(f"`lora` needs the package peft ({error}): pip install 'duplexgen[train]'") from error
    adapted = network.backbone if isinstance(network, StreamsForCausalLM) else network
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules=lora.targets or "all-linear",
        trainable_token_indices=dict.fromkeys(_tables(adapted), new) if new else None,
    )
    torch.manual_seed(seed)
    try:
        tuner = LoraModel(adapted, config, "default")
    except ValueError as error:
        raise UserError(
            f"lora.targets: {error} Expected names of linear layers of the model, such as q_proj."
        ) from error
    for weight in adapted.parameters():
        if not weight.requires_grad:
            weight.data = weight.data.to(DTYPES[precision])

    def merge() -> None:
        nn.Module.to(network, "cpu", torch.float32)
        tuner.merge_and_unload()

    return merge


def new_ids(sequence_format: SequenceFormat) -> list[int]:
    """Ids of the text head that are no text, ascending: states, and codes of layouts that have them in one sequence."""
    vocabulary = sequence_format.vocabulary
    no_text = np.flatnonzero(~vocabulary.is_text(np.arange(sequence_format.size))).tolist()
    # One state is a text token of GLM's.
    states = vocabulary.state.values() if isinstance(vocabulary, SharedVocabulary) else ()
    return sorted({*no_text, *states})


def _tables(network: PreTrainedModel) -> list[str]:
    """Names of the embedding and of the head; only of the embedding if they share their weights."""
    embedding: Any = network.get_input_embeddings()
    head: Any = network.get_output_embeddings()  # type: ignore[no-untyped-call]
    tables = [embedding] if head.weight is embedding.weight else [embedding, head]
    return [name for table in tables for name, module in network.named_modules() if module is table]
