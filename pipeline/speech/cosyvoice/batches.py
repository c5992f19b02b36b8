"""Which utterances are decoded together, and what happens if they do not fit."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from ...errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

LOG = logging.getLogger(__name__)


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first: items times the longest stay within the budget.

    Where lengths have two parts, a batch of the longest of each may take more than the budget, at most twice as much.

    One item that is longer than the budget makes a batch of its own.
    """
    made: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if made and lengths[made[-1][0]] * (len(made[-1]) + 1) <= budget:
            made[-1].append(index)
        else:
            made.append([index])
    return made


def halving(run: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]) -> list[Result]:
    """Run a batch; if memory is short, its halves, and so on. Raises UserError for one that does not fit alone."""
    import torch

    try:
        return list(run(items))
    except torch.OutOfMemoryError:
        pass  # outside of the handler, as the traceback keeps the tensors
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(items) == 1:
        raise UserError(
            "one utterance alone does not fit into what is left of the GPU's memory. Put fewer actors on a GPU (a "
            "larger speech.cosyvoice.num_gpus), or end what else runs on it; what was committed is safe."
        )
    half = len(items) // 2
    LOG.warning(
        "out of memory with %d utterances together, trying %d; a smaller batch_tokens avoids this", len(items), half
    )
    return halving(run, items[:half]) + halving(run, items[half:])
