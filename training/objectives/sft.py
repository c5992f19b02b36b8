"""Stage I: supervised fine-tuning on data sets of `duplexgen build` (BayLing-Duplex section 2.2)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...pipeline.dataset.dialogues import DIALOGUES
from ...pipeline.show.progress import Display
from ..batch import make_batch
from ..data import Batches, Row, TrainingData
from ..devices import start_device
from ..live.modes import can_talk
from ..loop import Loop, Micro, make_accelerator, put_on_devices
from ..models.heads import allow_pieces
from ..models.lora import adapt, new_ids
from ..models.model import model_files
from ..models.networks import check_length
from ..models.start import start
from ..models.streams import StreamsForCausalLM, check_packing
from ..packing import PackedData
from ..recipe import Common, SFTRecipe
from ..run import open_run
from ..sequences import SequenceFormat
from .losses import (
    count_by_kind,
    make_targets,
    scale_by_kind,
    sums_by_kind,
    token_losses,
    weight_by_kind,
    weighted_loss,
)


class SFT:
    """The weighted loss over all that a model learns of a batch: equation 5, or FLM-Audio's equation 3."""

    def __init__(self, recipe: Common, sequence_format: SequenceFormat, device: torch.device) -> None:
        self.format = sequence_format
        self.names = sequence_format.kinds[1:]
        self.by_kind = weight_by_kind(recipe.weights, sequence_format)
        self.normalize = recipe.normalize
        self.device = device

    def totals(self, rows: Sequence[Row]) -> Tensor:
        """How many targets of each kind the rows have, [kinds]."""
        return count_by_kind(rows, self.format)

    def loss(self, network: nn.Module, rows: Micro, totals: Tensor) -> tuple[Tensor, Tensor]:
        sequences = [None if row is None else row.sequences[0] for row in rows]
        parts = [() if row is None else row.parts for row in rows]
        batch = make_batch(sequences, parts, self.format, self.device)
        targets = make_targets(batch, self.format)
        losses = token_losses(network, batch, targets)
        scale = scale_by_kind(self.by_kind, totals.cpu(), self.normalize)
        return weighted_loss(losses, targets, scale), sums_by_kind(losses, targets, len(self.by_kind))[:, 1:]


def train_sft(recipe: SFTRecipe, out: Path, display: Display) -> None:
    """Train a model in `out`, or continue a run that was stopped.

    Raises UserError if the data sets are damaged or unfinished, if their formats differ or do not fit the model, or if
    `out` holds another run.
    """
    data = TrainingData(recipe.data_folders, DIALOGUES)
    with display.waiting("comparing checksums"):
        data.check()
    sequence_format = data.format
    accelerator = make_accelerator(out, recipe.optimization)
    objective = SFT(recipe, sequence_format, accelerator.device)
    frozen = model_files(recipe.model.pretrained) if recipe.lora and recipe.model.pretrained else []
    with open_run(out, recipe, [*data.provenance(), *frozen], data.tokens, accelerator) as run:
        if run.is_finished:
            display.already_trained(out)
            return
        settings = recipe.optimization
        device = start_device(settings.sharded)
        network = start(recipe.model, data.folders[0], sequence_format, recipe.seed, device)
        check_length(network, data.longest, "the longest sequence")
        source = data if settings.pack_columns is None else _packed(data, settings.pack_columns, recipe.seed, network)
        batches = Batches(source, recipe.seed, settings.batch_size, settings.shuffle_rows, recipe.mix)
        merge = None
        if recipe.lora:
            merge = adapt(network, recipe.lora, new_ids(data.format), recipe.seed, settings.precision)
        allow_pieces(network, settings.micro_batch_size * source.longest)
        network = put_on_devices(network, accelerator, settings)
        Loop(out, settings, batches, accelerator).run(network, objective, display)
        run.finish(network, data.folders[0], merge)
        display.trained(out, can_talk(sequence_format))


def _packed(data: TrainingData, columns: int, seed: int, network: PreTrainedModel) -> PackedData:
    """Raises UserError if these data, or this model, cannot be packed."""
    packed = PackedData(data, columns, seed)
    packed.check()
    assert isinstance(network, StreamsForCausalLM), "it fits data of parallel streams"
    check_packing(network)
    return packed
