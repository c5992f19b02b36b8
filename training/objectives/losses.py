"""The paper's losses (BayLing-Duplex section 2.2), as sums that add up over micro-batches and devices."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..recipe import Weights
from ..sequences import SequenceFormat

HEARD = 0  # of the kinds of positions, the one that nobody predicts


@dataclass(frozen=True)
class Targets:
    """The positions of a padded batch that are trained: text and assistant, the same in all rows."""

    positions: Tensor  # [kept], ascending; each is predicted from the position before it
    ids: Tensor  # [rows, kept]
    kinds: Tensor  # [rows, kept], index into the format's kinds
    inside: Tensor  # bool [rows, kept]; False where padded
    weights: Tensor  # ω, float32 [rows, kept]; 0 where padded


def weight_by_kind(weights: Weights, sequence_format: SequenceFormat) -> Tensor:
    """ω of each of the format's kinds, float32 [kinds]; 0 of what is heard, 1 of what the recipe does not know."""
    said = weights.model_dump()
    return torch.tensor([0.0, *(said.get(kind, 1.0) for kind in sequence_format.kinds[HEARD + 1 :])])


def make_targets(ids: Tensor, num_ids: Tensor, sequence_format: SequenceFormat, by_kind: Tensor) -> Targets:
    """Targets of sequences [rows, length], right-padded; num_ids [rows] are their own lengths.

    by_kind: ω of each of the format's kinds.
    """
    kinds = sequence_format.kinds_of(ids)
    positions = torch.nonzero((kinds[:, 1:] != HEARD).any(dim=0))[:, 0] + 1  # nothing comes before the first
    kept = kinds[:, positions].long()
    inside = (positions < num_ids[:, None]) & (kept != HEARD)
    return Targets(positions, ids[:, positions].long(), kept, inside, by_kind.to(ids.device)[kept] * inside)


def token_losses(network: nn.Module, ids: Tensor, targets: Targets) -> Tensor:
    """ℓ of each target (equation 4), float32 [rows, kept]. User positions have none, so they get no gradient.

    Rows are padded on the right, where a causal model's earlier positions cannot see it: no mask is needed.
    """
    logits = network(input_ids=ids, logits_to_keep=targets.positions - 1, use_cache=False).logits
    flat = functional.cross_entropy(logits.flatten(0, 1).float(), targets.ids.flatten(), reduction="none")
    return flat.view_as(targets.ids)


def sft_loss(losses: Tensor, weights: Tensor, weight_total: Tensor | float) -> Tensor:
    """Equation 5, or a micro-batch's part of it: Σ ω ℓ / `weight_total`, the latter over the whole batch."""
    return (weights * losses).sum() / weight_total


def log_likelihoods(losses: Tensor, targets: Targets) -> Tensor:
    """log π of each row, [rows]: the sum over its text and assistant positions."""
    return -(losses * targets.inside).sum(dim=1)


def dpo_losses(policy: Tensor, reference: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Equation 7 of each pair, and the margin inside σ, both [pairs].

    policy, reference: log π and log π_ref of chosen and rejected sequences, [2, pairs].
    """
    chosen, rejected = policy - reference
    margins = beta * (chosen - rejected)
    return -functional.logsigmoid(margins), margins


def sums_by_kind(losses: Tensor, targets: Targets, kinds: int) -> Tensor:
    """Sum of the unweighted losses and number of positions, of each kind, [2, kinds]."""
    inside = targets.inside.flatten()
    by_kind = targets.kinds.flatten()
    sums = torch.zeros(2, kinds, device=losses.device)
    sums[0].index_add_(0, by_kind, losses.detach().flatten() * inside)
    sums[1].index_add_(0, by_kind, inside.float())
    return sums
