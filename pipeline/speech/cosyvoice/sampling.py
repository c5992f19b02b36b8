"""Repetition-aware sampling (VALL-E 2, section 3.3) of many rows at once, as CosyVoice's `ras_sampling` does it of one.

Every row uses exactly two uniform draws per step, whether it needs them or not: its tokens cannot depend on how often
another row, or the same row in another batch, had to draw again.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import UserError

if TYPE_CHECKING:
    import torch

NUCLEUS, AGAIN = 0, 1  # the two draws of a step
NONE = -1  # stands in a history before the first token


@dataclass(frozen=True, slots=True)
class Sampling:
    """The parameters of CosyVoice's `ras_sampling`, and which of its two forms the code at hand has."""

    top_p: float = 0.8
    top_k: int = 25
    window: int = 10  # tokens looked back on
    tolerated: float = 0.1  # share of the window that the token may fill
    repeats_excluded: bool = False  # the second draw leaves out the token that is repeated (since March 2026)


def sampling_of(function: Callable[..., Any]) -> Sampling:
    """What the `sampling` of a model's configuration does. Raises UserError if it is not `ras_sampling`."""
    arguments: dict[str, Any] = {}
    plain = function
    while isinstance(plain, functools.partial):
        arguments = {**plain.keywords, **arguments}
        plain = plain.func
    name = getattr(plain, "__name__", str(plain))
    if name != "ras_sampling":
        raise UserError(f"the model samples with {name!r}; only ras_sampling is known. Use a published model folder.")
    defaults = {key: parameter.default for key, parameter in inspect.signature(plain).parameters.items()}
    value = {**defaults, **arguments}
    return Sampling(value["top_p"], value["top_k"], value["win_size"], value["tau_r"], _excludes_repeats(plain))


def _excludes_repeats(function: Callable[..., Any]) -> bool:
    """Whether the second draw leaves out the first token; only a call tells, neither name nor version does."""
    import torch

    scores = torch.tensor([50.0, 0.0])
    with torch.random.fork_rng(devices=[]):
        function(scores, [0], 25)
    return not bool(torch.isfinite(scores[0]))


def sample(
    scores: "torch.Tensor", history: "torch.Tensor", draws: "torch.Tensor", sampling: Sampling
) -> "torch.Tensor":
    """One token per row, int64 [rows].

    scores: f32 [rows, vocabulary], logits or their logarithms; −inf for what may not be drawn.
    history: int64 [rows, up to `window`], the last tokens of each row, NONE where there is none yet.
    draws: f32 [rows, 2], uniform in [0, 1).
    """
    import torch

    probabilities = scores.softmax(dim=-1)
    ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
    ordered, tokens = ordered[:, : sampling.top_k], tokens[:, : sampling.top_k]
    before = ordered.cumsum(dim=-1).roll(1, dims=-1)
    before[:, 0] = 0.0
    ordered = ordered.masked_fill(before >= sampling.top_p, 0.0)
    token = tokens.gather(1, _at(ordered, draws[:, NUCLEUS]))  # [rows, 1]
    repeated = (history == token).sum(dim=-1, keepdim=True) >= sampling.window * sampling.tolerated
    if sampling.repeats_excluded:
        probabilities = probabilities.scatter(1, token, 0.0)
    return torch.where(repeated, _at(probabilities, draws[:, AGAIN]), token).squeeze(1)


def _at(weights: "torch.Tensor", draws: "torch.Tensor") -> "torch.Tensor":
    """The index that a uniform draw falls on, int64 [rows, 1]; weights f32 [rows, choices] need not sum to one."""
    import torch

    cumulative = weights.cumsum(dim=-1)
    index = torch.searchsorted(cumulative, (draws[:, None] * cumulative[:, -1:]), right=True)
    last = (weights > 0).int().cumsum(dim=-1).argmax(dim=-1, keepdim=True)  # rounding may lead past the last weight
    return torch.minimum(index, last)
