"""TRL (trl 1.16): rows for `SFTTrainer`, pairs for `DPOTrainer`.

`SFTTrainer` takes a row with `input_ids` as it is, and keeps its `labels`. `DPOTrainer` tokenizes text whatever it is
given, and its collator counts the user's ids, so `duplexgen.training.clients.trl` has a trainer and a collator that do
not. It also has an `SFTTrainer` with the weights of BayLing-Duplex, because TRL's has none.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from ..dataset.dialogues import DIALOGUES
from ..dataset.reader import Dataset
from . import card
from .exporter import BOTH_KINDS, Exporter, Shard, Summary
from .labels import LAYOUTS, labels_of
from .tables import parquet

IDS = pa.list_(pa.int32())
SFT = pa.schema([("dialogue_id", pa.string()), ("input_ids", IDS), ("labels", IDS)])
DPO = pa.schema([("dialogue_id", pa.string()), ("prompt_ids", IDS), ("chosen_ids", IDS), ("rejected_ids", IDS)])


class TRL(Exporter):
    name: ClassVar[str] = "trl"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = BOTH_KINDS
    needs: ClassVar[frozenset[str]] = LAYOUTS

    def write(self, shard: Shard, out: Path) -> Summary:
        file = out / f"data/train-{shard.number:05d}-of-{shard.of:05d}.parquet"
        if shard.dataset.kind == DIALOGUES:
            with parquet(file, SFT) as add:
                for _, row in shard.rows(["dialogue_id", "input_ids"]):
                    add(row | {"labels": labels_of(shard.dataset, row["input_ids"])})
            return {}
        with parquet(file, DPO) as add:
            for _, row in shard.rows(["dialogue_id", "chosen_input_ids", "rejected_input_ids"]):
                sides = {f"{side}_ids": row[f"{side}_input_ids"] for side in ("chosen", "rejected")}
                add({"dialogue_id": row["dialogue_id"], "prompt_ids": [], **sides})
        return {}

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        card.copy_vocabulary(dataset, out)
        return {"configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}]}
