"""WebDataset (webdataset 1.0.2): a tar file per shard, and per row a key without dots.

train-000000.tar    00000000.flac  00000000.ids.npy  00000000.json    pairs: .chosen.npy  .rejected.npy  .json
"""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..dataset.dialogues import DIALOGUES
from ..dataset.reader import Dataset
from . import card
from .exporter import BOTH_KINDS, Exporter, Shard, Summary
from .tars import tar

CODES = ("user_codes", "assistant_codes", "assistant_uncut_codes")


class WebDataset(Exporter):
    name: ClassVar[str] = "webdataset"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = BOTH_KINDS
    needs: ClassVar[frozenset[str]] = frozenset()

    def write(self, shard: Shard, out: Path) -> Summary:
        dataset = shard.dataset
        arrays = _arrays(dataset)
        names = [name for name in dataset.columns.names if name not in CODES]
        with tar(out / f"train-{shard.number:06d}.tar") as file:
            for number, row in shard.rows(names):
                key = f"{number:08d}"
                if audio := (row.pop("audio", None) or {}).get("bytes"):
                    file.add(f"{key}.flac", audio)
                for name, column in arrays.items():
                    file.add(f"{key}.{name}.npy", _npy(row.pop(column)))
                about = {"sample_rate": dataset.sample_rate} | row
                file.add(f"{key}.json", json.dumps(about, ensure_ascii=False).encode())
        return {}

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        card.copy_vocabulary(dataset, out)
        return {}


def _arrays(dataset: Dataset) -> dict[str, str]:
    """The columns that are written as arrays of int32, by the name in the tar file."""
    ids = dataset.layout.IDS
    if dataset.kind == DIALOGUES:
        return {"ids": ids}
    return {side: f"{side}_{ids}" for side in ("chosen", "rejected")}


def _npy(ids: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(ids, np.int32), allow_pickle=False)
    return buffer.getvalue()
