"""Stage II: direct preference optimization on timing pairs, with an SFT term (BayLing-Duplex section 2.2)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...pipeline.dataset.schema import SIDES
from ...pipeline.errors import UserError, enough_memory
from ...pipeline.pairs.kind import PREFERENCES
from ...pipeline.show.progress import Display
from ...pipeline.storage.atomic import atomic_path
from ..batch import make_batch
from ..data import Batches, Row, TrainingData
from ..devices import explained_kernels, start_device
from ..live.modes import can_talk
from ..loop import LESS_MEMORY, Loop, Micro, make_accelerator, put_on_devices
from ..models.heads import allow_pieces
from ..models.lora import adapt, new_ids
from ..models.model import ABOUT, DuplexModel, load_model, model_files
from ..models.networks import check_length
from ..recipe import DPORecipe
from ..run import open_run
from ..sequences import SequenceFormat
from .losses import (
    Targets,
    count_by_kind,
    dpo_losses,
    log_likelihoods,
    make_targets,
    scale_by_kind,
    sums_by_kind,
    token_losses,
    weight_by_kind,
    weighted_loss,
)

REFERENCE = "reference.parquet"


class DPO:
    """Equation 6 over a batch of pairs: the mean of equation 7, and λ_ftx times the SFT loss of the chosen sides."""

    def __init__(self, recipe: DPORecipe, sequence_format: SequenceFormat, device: torch.device) -> None:
        self.preference = recipe.preference
        self.format = sequence_format
        self.normalize = recipe.normalize
        self.names = ("dpo", "ftx", "margin", "accuracy", *sequence_format.kinds[1:])
        self.by_kind = weight_by_kind(recipe.weights, sequence_format)
        self.device = device
        self.reference = torch.empty(0, 2)  # log π_ref of both sides, by the number of the row

    def totals(self, rows: Sequence[Row]) -> Tensor:
        """The number of pairs, and how many targets of each kind the chosen sides have, [1 + kinds]."""
        return torch.cat([torch.tensor([float(len(rows))]), count_by_kind(rows, self.format)])

    def loss(self, network: nn.Module, rows: Micro, totals: Tensor) -> tuple[Tensor, Tensor]:
        losses, targets = self.pair_losses(network, rows)
        policy = log_likelihoods(losses, targets).view(2, -1)
        reference = torch.stack([self.reference[row.number] if row else torch.zeros(2) for row in rows], dim=1)
        is_pair = torch.tensor([row is not None for row in rows], device=self.device)
        dpo, margins = dpo_losses(policy, reference.to(self.device), self.preference.beta)
        dpo = dpo * is_pair
        chosen = _first_half(targets)
        scale = scale_by_kind(self.by_kind, totals[1:].cpu(), self.normalize)
        ftx = weighted_loss(losses[: len(rows)], chosen, scale)
        loss = dpo.sum() / totals[0] + self.preference.ftx * ftx
        figures = (dpo.sum(), ftx * totals[0], (margins * is_pair).sum(), ((margins > 0) & is_pair).sum())
        sums = torch.stack([figure.detach().float() for figure in figures])
        per_pair = torch.stack([sums, is_pair.sum().expand(len(sums)).float()])
        per_kind = sums_by_kind(losses[: len(rows)].detach(), chosen, len(self.by_kind))[:, 1:]
        return loss, torch.cat([per_pair, per_kind], dim=1)

    def pair_losses(self, network: nn.Module, rows: Micro) -> tuple[Tensor, Targets]:
        """ℓ of both sides of each pair, [2 · pairs, targets, …]: first all chosen sides, then all rejected ones."""
        sequences = [None if row is None else row.sequences[side] for side in range(len(SIDES)) for row in rows]
        batch = make_batch(sequences, [()] * len(sequences), self.format, self.device)
        targets = make_targets(batch, self.format)
        return token_losses(network, batch, targets), targets


def _first_half(targets: Targets) -> Targets:
    half = len(targets.ids) // 2
    per_row = (targets.ids, targets.kinds, targets.inside)
    return Targets(targets.positions, *(values[:half] for values in per_row))


def train_dpo(recipe: DPORecipe, out: Path, display: Display) -> None:
    """Train a model in `out` from a model of `train_sft`, the reference, or continue a run that was stopped.

    Raises UserError if the pairs are damaged or of data sets that the model was not trained on, or if `out` holds
    another run.
    """
    data = TrainingData(recipe.data_folders, PREFERENCES, [f"{side}_" for side in SIDES])
    start = Path(recipe.model).expanduser()
    model = load_model(start, start_device(recipe.optimization.sharded))
    with display.waiting("comparing checksums"):
        data.check()
    check_origin(data, model)
    accelerator = make_accelerator(out, recipe.optimization)
    objective = DPO(recipe, data.format, accelerator.device)
    provenance = [*data.provenance(), *model_files(recipe.model)]
    with open_run(out, recipe, provenance, data.tokens, accelerator) as run:
        if run.is_finished:
            display.already_trained(out)
            return
        check_length(model.network, data.longest, "the longest pair")
        settings = recipe.optimization
        batches = Batches(data, recipe.seed, settings.batch_size, settings.shuffle_rows, recipe.mix)
        network = model.network
        merge = None
        if recipe.lora:
            merge = adapt(network, recipe.lora, new_ids(data.format), recipe.seed, settings.precision)
        allow_pieces(network, settings.micro_batch_size * len(SIDES) * data.longest)
        network = put_on_devices(network, accelerator, settings)
        loop = Loop(out, settings, batches, accelerator)
        objective.reference = _reference(out / REFERENCE, objective, loop, network, display)
        torch.manual_seed(recipe.seed)  # for models with dropout
        loop.run(network, objective, display)
        run.finish(network, data.folders[0], merge)
        display.trained(out, can_talk(data.format))


def check_origin(data: TrainingData, model: DuplexModel) -> None:
    """Raise UserError unless the pairs were made of data sets that the model was trained on."""
    if data.format.described.unlike(model.format.described):
        raise UserError(
            f"the pairs in {data.folders[0]} have another vocabulary or layout than the model. "
            "Make pairs of the data set that it was trained on, with `duplexgen dpo-pairs`."
        )
    known = _trained_on(model)
    for folder, manifest in zip(data.folders, data.manifests, strict=True):
        assert manifest.source, "they are pairs"
        if manifest.source.manifest_sha256 not in known:
            raise UserError(
                f"the pairs in {folder} are of the data set {manifest.source.recipe.name!r}, and the model was not "
                "trained on it. Make pairs of a data set that it was trained on, or train a model on this one."
            )


def _reference(path: Path, objective: DPO, loop: Loop, network: PreTrainedModel, display: Display) -> Tensor:
    """log π_ref of both sides of each pair, [pairs, 2]: computed once, before the first step; NaN if never needed.

    It is stored at `path`, under the names of the pairs' columns of ids.
    """
    accelerator, columns = loop.accelerator, loop.batches.data.columns
    if not path.exists():
        computed = _compute_reference(objective, loop, network, display)
        if accelerator.is_main_process:
            values = {name: computed[:, index].double().numpy() for index, name in enumerate(columns)}
            with atomic_path(path) as file:
                pq.write_table(pa.table(values), file)
        accelerator.wait_for_everyone()
    table = pq.read_table(path)
    return torch.from_numpy(np.stack([table[name].to_numpy() for name in columns], axis=1)).float()


@torch.no_grad()
def _compute_reference(objective: DPO, loop: Loop, network: PreTrainedModel, display: Display) -> Tensor:
    """log π_ref, computed in the batches of training: rounding is the same, so the first margins are nearly zero."""
    network.eval()  # type: ignore[no-untyped-call]
    pairs = loop.batches.data.num_rows
    sums, counts = torch.zeros(pairs, 2), torch.zeros(pairs, 1)
    with display.counting("reference", min(pairs, loop.steps * loop.optimization.batch_size)) as report:
        for micro in loop.each_row_once():
            with enough_memory(LESS_MEMORY), explained_kernels():
                losses, targets = objective.pair_losses(network, micro)
            values = log_likelihoods(losses, targets).view(2, -1).T.cpu()
            for row, value in zip(micro, values, strict=True):
                if row is not None:
                    sums[row.number], counts[row.number] = value, 1
            report(int(counts.sum()) * loop.accelerator.num_processes)
    return (loop.sum(sums) / loop.sum(counts)).cpu()


def _trained_on(model: DuplexModel) -> set[str]:
    """Checksums of the manifests of the data sets that a model was trained on; raises UserError if it does not say."""
    data = model.about.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise UserError(
            f"the model's {ABOUT} does not say which data sets it was trained on: it is damaged. Copy the model again."
        )
    return {str(item.get("manifest_sha256")) for item in data}
