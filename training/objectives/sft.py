"""Stage I: supervised fine-tuning on data sets of `duplexgen build` (BayLing-Duplex section 2.2)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ...pipeline.dataset.dialogues import DIALOGUES
from ...pipeline.show.progress import Display
from ..data import Batches, Row, TrainingData
from ..loop import Loop, Micro, make_accelerator, padded_ids, put_on_devices
from ..models.model import check_fits, check_length, start_from_config, start_from_pretrained
from ..recipe import SFTRecipe
from ..run import open_run
from ..sequences import SequenceFormat
from .losses import make_targets, sft_loss, sums_by_kind, token_losses, weight_by_kind


class SFT:
    """Equation 5 over the targets of a batch: all positions but the user's."""

    def __init__(self, sequence_format: SequenceFormat, by_kind: Tensor, device: torch.device) -> None:
        self.format = sequence_format
        self.names = sequence_format.kinds[1:]
        self.by_kind = by_kind
        self.device = device

    def totals(self, rows: Sequence[Row]) -> Tensor:
        """Σ ω over the rows, [1]."""
        kinds_of_rows = (self.format.kinds_of(torch.tensor(row.sequences[0])) for row in rows)
        sums = [self.by_kind[kinds.long()].sum() for kinds in kinds_of_rows]
        return torch.stack([torch.zeros(()), *sums]).sum().view(1)

    def loss(self, network: nn.Module, rows: Micro, totals: Tensor) -> tuple[Tensor, Tensor]:
        ids, num_ids = padded_ids([None if row is None else row.sequences[0] for row in rows], self.device)
        targets = make_targets(ids, num_ids, self.format, self.by_kind)
        losses = token_losses(network, ids, targets)
        return sft_loss(losses, targets.weights, totals[0]), sums_by_kind(losses, targets, len(self.by_kind))[:, 1:]


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
    with open_run(out, recipe, data.provenance(), data.tokens, accelerator) as run:
        if run.is_finished:
            display.already_trained(out)
            return
        if recipe.model.pretrained is not None:
            network = start_from_pretrained(recipe.model.pretrained, data.folders[0], sequence_format, recipe.seed)
        else:
            network = start_from_config(recipe.model.config or {}, sequence_format, recipe.seed)
        check_fits(network, sequence_format, recipe.model.pretrained or "of model.config")
        check_length(network, data.longest, "the longest sequence")
        settings = recipe.optimization
        batches = Batches(data, recipe.seed, settings.batch_size, settings.shuffle_rows, recipe.mix)
        objective = SFT(sequence_format, weight_by_kind(recipe.weights, sequence_format), accelerator.device)
        if settings.gradient_checkpointing:
            network.gradient_checkpointing_enable()  # type: ignore[no-untyped-call]
        network = put_on_devices(network, accelerator)
        Loop(out, settings, batches, accelerator).run(network, objective, display)
        run.finish(network, data.folders[0])
        display.trained(out, sequence_format.can_talk)
