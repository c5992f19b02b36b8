"""Groups utterances into batches, and splits a batch that does not fit into memory."""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from ...errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

LOG = logging.getLogger(__name__)


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first: items times the longest stay within the budget.

    A length may have two parts that are padded one by one (what a model reads and what it writes): such a batch may
    take up to twice the budget. An item that is longer than the budget is a batch of its own.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def halving(run: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]) -> list[Result]:
    """Run a batch; if memory is short, its halves, and so on. Raises UserError for one that does not fit alone."""
    import torch

    try:
        return list(run(items))
    except torch.OutOfMemoryError:
        pass  # the rest is outside of the handler, whose traceback keeps the tensors
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(items) == 1:
        raise UserError(
            "one utterance alone does not fit into the free memory of the GPU. Put fewer actors on a GPU (a larger "
            "speech.cosyvoice.num_gpus), or end other programs on it; committed partitions are safe."
        )
    half = len(items) // 2
    LOG.warning(
        "out of memory with %d utterances together, trying %d; a smaller batch_tokens avoids this", len(items), half
    )
    return halving(run, items[:half]) + halving(run, items[half:])
