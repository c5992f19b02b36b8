"""LLaMA-Factory (llamafactory 0.9.5, v0): what `tokenized_path` reads, as `DatasetDict.save_to_disk` writes it.

Its collators demand columns of images, videos and audios for pairs, which are null here. It has no weights of tokens.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from ..dataset.dialogues import DIALOGUES
from ..dataset.reader import Dataset
from ..storage.atomic import write_json
from . import card
from .exporter import BOTH_KINDS, Exporter, Row, Shard, Summary
from .labels import LAYOUTS, labels_of
from .tables import batched

FOLDER = "tokenized"
NO_MEDIA = ("images", "videos", "audios")
STATE: dict[str, Any] = {
    "_format_columns": None,
    "_format_kwargs": {},
    "_format_type": None,
    "_output_all_columns": False,
    "_split": "train",
}
"""state.json of `datasets`, beside its list of files."""


class LlamaFactory(Exporter):
    name: ClassVar[str] = "llama-factory"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = BOTH_KINDS
    needs: ClassVar[frozenset[str]] = LAYOUTS

    def write(self, shard: Shard, out: Path) -> Summary:
        file = out / FOLDER / "train" / f"data-{shard.number:05d}-of-{shard.of:05d}.arrow"
        file.parent.mkdir(parents=True)
        schema = _features(shard.dataset).arrow_schema
        sides = _sides(shard.dataset)
        with (
            file.open("wb") as sink,
            pa.ipc.new_stream(sink, schema) as stream,
            batched(schema, stream.write_table) as add,
        ):
            for _, row in shard.rows(["dialogue_id", *(f"{side}input_ids" for side in sides)]):
                columns = [_columns(shard.dataset, side, row[f"{side}input_ids"]) for side in sides]
                add({"dialogue_id": row["dialogue_id"], **{name: ids for one in columns for name, ids in one.items()}})
        return {"file": file.name}

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        from datasets import DatasetInfo

        train = out / FOLDER / "train"
        train.mkdir(parents=True)
        DatasetInfo(features=_features(dataset)).write_to_directory(str(train), pretty_print=True)
        files = [{"filename": summary["file"]} for summary in summaries]
        write_json(train / "state.json", STATE | {"_data_files": files, "_fingerprint": dataset.manifest.key})
        write_json(out / FOLDER / "dataset_dict.json", {"splits": ["train"]})
        card.copy_vocabulary(dataset, out)
        return {}


def _sides(dataset: Dataset) -> list[str]:
    return [""] if dataset.kind == DIALOGUES else ["chosen_", "rejected_"]


def _columns(dataset: Dataset, side: str, ids: list[int]) -> Row:
    return {
        f"{side}input_ids": ids,
        f"{side}attention_mask": [1] * len(ids),
        f"{side}labels": labels_of(dataset, ids),
    }


def _features(dataset: Dataset) -> Any:
    """`datasets.Features` of the columns."""
    from datasets import Features, List, Value

    types = {"input_ids": "int32", "attention_mask": "int8", "labels": "int32"}
    lists = {f"{side}{name}": List(Value(type_)) for side in _sides(dataset) for name, type_ in types.items()}
    media = {} if dataset.kind == DIALOGUES else dict.fromkeys(NO_MEDIA, Value("null"))
    return Features({"dialogue_id": Value("string"), **lists, **media})
