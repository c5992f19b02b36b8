"""The paper's losses (BayLing-Duplex section 2.2), as sums that add up over micro-batches and devices."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..recipe import Weights
from ..sequences import SequenceFormat

USER_KIND = 0  # of the kinds of positions: what the model hears, and never predicts


@dataclass(frozen=True)
class Targets:
    """The positions of a padded batch that the model learns to predict: the assistant's, the same in all rows."""

    positions: Tensor  # [targets], ascending; each is predicted from the position before it
    ids: Tensor  # [rows, targets]
    kinds: Tensor  # [rows, targets], index into the format's kinds
    inside: Tensor  # bool [rows, targets]; False in the padding
    weights: Tensor  # ω, float32 [rows, targets]; 0 in the padding


def weight_by_kind(weights: Weights, sequence_format: SequenceFormat) -> Tensor:
    """ω of each of the format's kinds, float32 [kinds]: 0 for the user's, 1 for one that the recipe does not know."""
    omega = weights.model_dump()
    return torch.tensor([0.0, *(omega.get(kind, 1.0) for kind in sequence_format.kinds[USER_KIND + 1 :])])


def make_targets(ids: Tensor, num_ids: Tensor, sequence_format: SequenceFormat, by_kind: Tensor) -> Targets:
    """Targets of sequences [rows, length], padded on the right.

    num_ids: [rows], their lengths without padding. by_kind: ω of each of the format's kinds.
    """
    kinds = sequence_format.kinds_of(ids)
    positions = torch.nonzero((kinds[:, 1:] != USER_KIND).any(dim=0))[:, 0] + 1  # nothing comes before the first id
    of_targets = kinds[:, positions].long()
    inside = (positions < num_ids[:, None]) & (of_targets != USER_KIND)
    weights = by_kind.to(ids.device)[of_targets] * inside
    return Targets(positions, ids[:, positions].long(), of_targets, inside, weights)


def token_losses(network: nn.Module, ids: Tensor, targets: Targets) -> Tensor:
    """ℓ of each target (equation 4), float32 [rows, targets]. The user's positions have none, so they get no gradient.

    No mask is needed: padding is on the right, where the earlier positions of a causal model cannot see it.
    """
    logits = network(input_ids=ids, logits_to_keep=targets.positions - 1, use_cache=False).logits
    flat = functional.cross_entropy(logits.flatten(0, 1).float(), targets.ids.flatten(), reduction="none")
    return flat.view_as(targets.ids)


def sft_loss(losses: Tensor, weights: Tensor, weight_total: Tensor | float) -> Tensor:
    """Equation 5, or a micro-batch's part of it: Σ ω ℓ / weight_total. weight_total: Σ ω over the whole batch."""
    return (weights * losses).sum() / weight_total


def log_likelihoods(losses: Tensor, targets: Targets) -> Tensor:
    """log π of each row, [rows]: the sum over its targets."""
    return -(losses * targets.inside).sum(dim=1)


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
