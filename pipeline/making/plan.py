"""The plan of a data set: which row stands in which partition, decided before any work."""

from dataclasses import dataclass
from typing import Any

from ..storage.partitions import PartitionFolder

SOURCE = "source"
"""The ledger's name for the rows of the sources."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Partitions 0 … num_partitions - 1 of the folder hold the dialogues as their sources have them."""

    folder: PartitionFolder
    key: str
    num_partitions: int
    sources: dict[str, Any]  # fingerprints, by the source's name
    shape: dict[str, Any]  # the key is its hash

    @property
    def partitions(self) -> range:
        return range(self.num_partitions)
