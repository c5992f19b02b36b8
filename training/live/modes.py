"""How models listen and speak, by their layout. To make models of a layout talk, write a `Mode` and put it here."""

from collections.abc import Callable
from typing import Any

from ...pipeline.errors import UserError
from ...pipeline.layouts.bayling import Bayling
from ...pipeline.layouts.flm import FLM
from ...pipeline.layouts.moshi import Moshi
from ...pipeline.tokens.tokenizers import SPEECH_TOKENIZERS
from ..models.model import DuplexModel
from ..models.networks import max_positions
from ..sequences import SequenceFormat
from .interleaved import Interleaved
from .parallel import Parallel
from .stream import Mode

MODES: dict[str, Callable[[Any], Mode]] = {Bayling.name: Interleaved, FLM.name: Parallel, Moshi.name: Parallel}


def mode_of(sequence_format: SequenceFormat) -> Mode:
    """Raises UserError if models of this layout cannot talk."""
    name = sequence_format.layout.name
    if name not in MODES:
        raise UserError(
            f"the model has the layout {name}, and `talk` and `evaluate` know only {', '.join(MODES)}. "
            "Use a model that was trained on a data set of one of these layouts."
        )
    return MODES[name](sequence_format.layout)


def can_talk(sequence_format: SequenceFormat) -> bool:
    """Whether `talk` and `evaluate` take such a model: they know its layout, and its speech tokenizer decodes."""
    name = sequence_format.described.speech_tokenizer.name
    decodes = name in SPEECH_TOKENIZERS and SPEECH_TOKENIZERS[name](sequence_format.tokens).decodes
    return decodes and sequence_format.layout.name in MODES


def check_length(model: DuplexModel, blocks: int) -> None:
    """Raise UserError if a dialogue of so many blocks takes more positions than the model has."""
    positions, mode = max_positions(model.network), mode_of(model.format)
    block_s = model.format.block_samples / model.format.sample_rate
    if positions is not None and (taken := mode.positions(blocks)) > positions:
        most = next(fitting for fitting in range(blocks, -1, -1) if mode.positions(fitting) <= positions)
        raise UserError(
            f"a dialogue of {blocks * block_s:.1f} s takes {taken} positions and the model has {positions}, enough for "
            f"{most * block_s:.1f} s. Use a shorter recording, or a model with more positions "
            "(max_position_embeddings)."
        )
