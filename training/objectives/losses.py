"""The papers' losses (BayLing-Duplex section 2.2, FLM-Audio section 3.1), as sums that add up over micro-batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor, nn
from torch.nn import functional

from ...pipeline.errors import UserError
from ..batch import Batch, kinds_of, learned_kinds
from ..data import Row
from ..models.heads import losses_at
from ..recipe import Normalization, Weights
from ..sequences import SequenceFormat


@dataclass(frozen=True)
class Targets:
    """What the model learns to predict of a batch, at positions that are the same in all rows.

    A position has `cells` ids to predict: 1, or with parallel streams 1 of text and 1 per codebook of the assistant's.
    """

    positions: Tensor  # [targets], ascending; each is predicted from the position before it
    ids: Tensor  # [rows, targets, cells]
    kinds: Tensor  # [rows, targets, cells], index into the format's kinds
    inside: Tensor  # bool [rows, targets, cells]; False for what no model learns, such as padding


def weight_by_kind(weights: Weights, sequence_format: SequenceFormat) -> Tensor:
    """ω of each of the format's kinds, float32 [kinds]: 0 if no model learns it, 1 for one that no recipe knows.

    Raises UserError if the recipe has to say a weight, and does not.
    """
    if missing := weights.missing(sequence_format.kinds):
        raise UserError(
            f"the recipe has no weights of {', '.join(missing)}: the defaults are for the layouts bayling and flm, and "
            f"the data set has the layout {sequence_format.layout.name}. Say them in the section `weights`; the recipe "
            "moshi_sft_small has those of Moshi's authors."
        )
    omega = weights.model_dump()
    known = torch.tensor([omega.get(kind, 1.0) for kind in sequence_format.kinds])
    return known * learned_kinds(sequence_format)


def scale_by_kind(by_kind: Tensor, counts: Tensor, normalize: Normalization) -> Tensor:
    """What an ℓ of each kind is multiplied by, so that the sum over a batch is its loss, [kinds].

    `by_weight` gives Σ ω ℓ / Σ ω (BayLing-Duplex, equation 5; Moshi), `by_kind` Σ ω mean(ℓ) over kinds (FLM-Audio,
    equation 3), where a kind without targets adds 0. by_kind: ω. counts: of the targets of the whole batch.
    """
    if normalize == "by_kind":
        return by_kind / counts.clamp(min=1)
    return by_kind / (by_kind * counts).sum()


def count_by_kind(rows: Sequence[Row], sequence_format: SequenceFormat) -> Tensor:
    """How many targets of each kind the first sides of rows have, float32 [kinds]."""
    counts = torch.zeros(len(sequence_format.kinds))
    for row in rows:
        kinds = kinds_of(row.sequences[0], row.parts, sequence_format)
        counts += torch.from_numpy(np.bincount(kinds.ravel(), minlength=len(counts)))
    return counts * learned_kinds(sequence_format)


def make_targets(batch: Batch, sequence_format: SequenceFormat) -> Targets:
    """Targets of a batch: every id that a model learns."""
    ids, kinds = batch.ids[..., : batch.predicted], batch.kinds[..., : batch.predicted]
    inside = learned_kinds(sequence_format).to(kinds.device)[kinds]
    positions = torch.nonzero(inside[:, 1:].any(dim=2).any(dim=0))[:, 0] + 1  # nothing comes before the first id
    if not len(positions):  # a device without rows
        positions = positions.new_ones(1)
    return Targets(positions, ids[:, positions], kinds[:, positions], inside[:, positions])


def token_losses(network: nn.Module, batch: Batch, targets: Targets) -> Tensor:
    """ℓ of each target (equation 4), float32 [rows, targets, cells]; of any value for what no model learns.

    No mask is needed: padding is on the right, where the earlier positions of a causal model cannot see it.
    """
    if batch.has_streams:
        speaks = targets.inside[..., 1:].any(dim=2)
        output = network(input_ids=batch.ids, targets=targets.positions, speaks=speaks, position_ids=batch.position_ids)
        losses: Tensor = output.losses
        return losses
    head = extract_model_from_parallel(network).get_output_embeddings()
    with losses_at(head, targets.ids[..., 0]) as losses_of:
        logits = network(input_ids=batch.ids[..., 0], logits_to_keep=targets.positions - 1, use_cache=False).logits
    return losses_of(logits)[..., None]


def weighted_loss(losses: Tensor, targets: Targets, scale: Tensor) -> Tensor:
    """A loss, or a micro-batch's part of it: the sum of `losses`, each times `scale` [kinds] of its kind."""
    return (scale.to(losses.device)[targets.kinds] * targets.inside * losses).sum()


def log_likelihoods(losses: Tensor, targets: Targets) -> Tensor:
    """log π of each row, [rows]: the sum over its targets."""
    return -(losses * targets.inside).flatten(1).sum(dim=1)


def dpo_losses(policy: Tensor, reference: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Equation 7 of each pair, and the margin inside σ, both [pairs].

    policy, reference: log π and log π_ref of chosen and rejected sequences, [2, pairs].
    """
    chosen, rejected = policy - reference
    margins = beta * (chosen - rejected)
    return -functional.logsigmoid(margins), margins


def sums_by_kind(losses: Tensor, targets: Targets, kinds: int) -> Tensor:
    """For each kind, the sum of the unweighted losses and the number of targets, [2, kinds]."""
    inside = targets.inside.flatten()
    by_kind = targets.kinds.flatten()
    sums = torch.zeros(2, kinds, device=losses.device)
    sums[0].index_add_(0, by_kind, losses.detach().flatten() * inside)
    sums[1].index_add_(0, by_kind, inside.float())
    return sums
