"""Groups utterances into batches that fit into memory, and splits one that does not."""

import logging
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ...errors import UserError, attempt

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
Cost = Callable[[int, int], int]  # of so many items, the longest of which has this length

LOG = logging.getLogger(__name__)
RESERVED = 2**30  # bytes of an actor on a GPU: CUDA itself, libraries, holes


class Batches:
    """Runs work in batches of items of similar length, whose cost stays within a budget."""

    def __init__(self, budget: int, most: int, cost: Cost = operator.mul) -> None:
        """most: items of a batch. An item that costs more than the budget is a batch of its own."""
        self.budget, self._most, self._cost = budget, most, cost
        self._is_known_short = False

    def run(
        self, work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], lengths: Sequence[int]
    ) -> list[Result]:
        """The result of each item, in order. Raises UserError for an item that does not fit into memory alone."""
        found: dict[int, Result] = {}
        waiting = self.groups(lengths, range(len(lengths)))
        while waiting:
            batch = waiting[0]
            results = attempt(partial(work, [items[index] for index in batch]))
            if results is None:
                self._halve(batch, lengths)
                waiting = self.groups(lengths, [index for batch in waiting for index in batch])
            else:
                found.update(zip(batch, results, strict=True))
                waiting = waiting[1:]
        return [found[index] for index in range(len(items))]

    def groups(self, lengths: Sequence[int], indices: Sequence[int]) -> list[list[int]]:
        """The items at these indices in batches, longest first."""
        groups: list[list[int]] = []
        for index in sorted(indices, key=lambda index: (-lengths[index], index)):
            rows = len(groups[-1]) + 1 if groups else 1
            if groups and rows <= self._most and self._cost(rows, lengths[groups[-1][0]]) <= self.budget:
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def _halve(self, batch: Sequence[int], lengths: Sequence[int]) -> None:
        """Take half of a batch that did not fit for the most that fits. It is said once."""
        if len(batch) == 1:
            raise UserError(
                "one utterance alone does not fit into the free memory of the GPU. Put fewer actors on a GPU (a larger "
                "speech.cosyvoice.num_gpus), or end other programs on it; committed partitions are safe."
            )
        longest, half = max(lengths[index] for index in batch), -(-len(batch) // 2)
        while half > 1 and self._cost(half, longest) == self._cost(len(batch), longest):
            half = -(-half // 2)  # padded to the same size, it would not fit either
        self.budget = min(self.budget, self._cost(half, longest))
        if not self._is_known_short:
            self._is_known_short = True
            LOG.warning(
                "out of memory with %d utterances together, going on with %d; a smaller batch_tokens, fewer actors on "
                "a GPU or no other programs on it avoid this",
                len(batch),
                half,
            )


def room(device: "torch.device", share: float) -> int:
    """Bytes for batches, beside the model that is loaded, in an actor with this share of a GPU.

    What is free at the moment does not count: the same actor on the same kind of GPU always has the same batches.
    """
    import torch

    whole = torch.cuda.get_device_properties(device).total_memory
    return max(0, int(whole * min(share, 1.0)) - torch.cuda.memory_allocated(device) - RESERVED)
