"""Data sets for a training loop of your own: the rows as tensors, with labels, weights and kinds, and a collator.

    rows = TorchRows([Path("out/turn_taking")], weights={"silence": 0.1})
    for batch in DataLoader(rows, batch_size=8, shuffle=True, collate_fn=collate): ...

An item is one row. Its tensors have the shape of its ids: [length], or [length, streams] of parallel streams. Pairs
have each tensor twice, as `chosen_` and `rejected_`. Labels are not shifted: a model predicts each of them from the
positions before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from ..pipeline.dataset import reader
from ..pipeline.dataset.dialogues import DIALOGUES
from ..pipeline.dataset.schema import SIDES
from ..pipeline.exports.labels import IGNORED
from ..pipeline.storage.objects import Place
from .batch import USER_KIND, learned_kinds
from .data import Batches, Row, RowGroup, TrainingData
from .objectives.losses import weight_by_kind
from .recipe import Weights

KEPT_GROUPS = 8
Item = dict[str, Any]
PADDING = {"input_ids": 0, "labels": IGNORED, "weights": 0.0, "kinds": USER_KIND}


class Items:
    """Rows of data sets of one kind and one vocabulary, as items."""

    def __init__(
        self, folders: Sequence[Place], *, labels: bool = True, weights: Mapping[str, float] | None = None
    ) -> None:
        """weights: ω by kind, where it is not that of the papers (`training.recipe.Weights`); {}: theirs; None: no
        item has weights.

        Raises UserError if a folder is no finished data set, or if they do not go together.
        """
        kind = reader.Dataset(folders[0]).kind
        prefixes = ("",) if kind == DIALOGUES else tuple(f"{side}_" for side in SIDES)
        self.data = TrainingData(list(folders), kind, prefixes)
        self.data.check()
        self.format = self.data.format
        self._labels = labels
        self._learned = learned_kinds(self.format)
        omega = None if weights is None else Weights.model_validate(dict(weights))
        self._omega = None if omega is None else weight_by_kind(omega, self.format)

    def item(self, row: Row) -> Item:
        item: Item = {"dialogue_id": row.dialogue_id}
        for prefix, sequence in zip(self.data.sides, row.sequences, strict=True):
            ids = torch.from_numpy(sequence.astype(np.int64))
            kinds = self.format.kinds_of(ids).long()
            item[f"{prefix}input_ids"], item[f"{prefix}kinds"] = ids, kinds
            if self._labels:
                item[f"{prefix}labels"] = torch.where(self._learned[kinds], ids, IGNORED)
            if self._omega is not None:
                item[f"{prefix}weights"] = self._omega[kinds]
        return item


class TorchRows(Items, Dataset[Item]):
    """Map-style: any row at any time. It reads a whole row group for a row, and keeps the last few."""

    def __init__(self, folders: Sequence[Place], **items: Any) -> None:
        """items: as of `Items`."""
        super().__init__(folders, **items)
        self._kept: dict[int, list[Row]] = {}

    def __len__(self) -> int:
        return self.data.num_rows

    def __getitem__(self, number: int) -> Item:
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number} of {len(self)}")
        number %= len(self)
        index = int(np.searchsorted(self._starts, number, side="right")) - 1
        return self.item(self._rows(index)[number - self._starts[index]])

    def _rows(self, index: int) -> list[Row]:
        """Of a row group."""
        if index not in self._kept:
            if len(self._kept) == KEPT_GROUPS:
                del self._kept[next(iter(self._kept))]
            self._kept[index] = self.data.read(self._groups[index])
        return self._kept[index]

    @cached_property
    def _groups(self) -> list[RowGroup]:
        return [group for groups in self.data.groups for group in groups if len(group.lengths)]

    @cached_property
    def _starts(self) -> list[int]:
        return [group.first_row for group in self._groups]


class TorchStream(Items, IterableDataset[Item]):
    """Every row once, in an order that the seed and the epoch decide; memory holds `shuffle_rows` rows.

    The workers of a `DataLoader`, and the processes of `torch.distributed`, share the row groups out among them.
    """

    def __init__(self, folders: Sequence[Place], *, seed: int = 0, shuffle_rows: int = 4096, **items: Any) -> None:
        """items: as of `Items`."""
        super().__init__(folders, **items)
        self.seed, self.shuffle_rows, self.epoch = seed, shuffle_rows, 0

    def set_epoch(self, epoch: int) -> None:
        """Take another order. Call it before the epoch, in all processes."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Item]:
        rank, processes = _process()
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        part = _Part(self.data, rank * workers + number, processes * workers)
        batches = Batches(part, self.seed, 1, self.shuffle_rows)
        if steps := batches.steps_per_epoch:
            for (row,) in islice(batches.from_step(self.epoch * steps), steps):
                yield self.item(row)


@dataclass(frozen=True)
class _Part:
    """Every n-th row group (`data.Rows`)."""

    data: TrainingData
    number: int
    of: int

    @property
    def columns(self) -> list[str]:
        return self.data.columns

    @cached_property
    def groups(self) -> list[list[RowGroup]]:
        numbered = enumerate(group for groups in self.data.groups for group in groups)
        own = {group.first_row for number, group in numbered if number % self.of == self.number}
        return [[group for group in groups if group.first_row in own] for groups in self.data.groups]

    @property
    def num_rows(self) -> int:
        return sum(len(group.lengths) for groups in self.groups for group in groups)

    def read(self, group: RowGroup) -> list[Row]:
        return self.data.read(group)


def collate(items: Sequence[Item]) -> Item:
    """Items as a batch: [rows, length] or [rows, length, streams], padded on the right, with `attention_mask`.

    Padding has the label -100 and the weight 0. Sequences of both sides of pairs are padded to one length.
    """
    names = [name for name in items[0] if isinstance(items[0][name], Tensor)]
    length = max(len(item[name]) for item in items for name in names)
    batch: Item = {"dialogue_id": [item["dialogue_id"] for item in items]}
    for name in names:
        padding = PADDING[name.split("_", 1)[1] if name.startswith(tuple(f"{side}_" for side in SIDES)) else name]
        rows = [item[name] for item in items]
        batch[name] = rows[0].new_full((len(rows), length, *rows[0].shape[1:]), padding)
        for into, row in zip(batch[name], rows, strict=True):
            into[: len(row)] = row
        if name.endswith("input_ids"):
            ends = torch.tensor([len(row) for row in rows])
            batch[name.replace("input_ids", "attention_mask")] = (torch.arange(length) < ends[:, None]).long()
    return batch


def _process() -> tuple[int, int]:
    """The number of this process of `torch.distributed`, and how many there are."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()
