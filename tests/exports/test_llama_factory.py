"""What LLaMA-Factory does with `tokenized_path`: `datasets.load_from_disk`, and the base class of its collator.

Its own collators read the export where they are installed, in the environment of `make parts`.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import DatasetDict, load_from_disk
from transformers import AutoTokenizer, DataCollatorForSeq2Seq

from tests.exports.conftest import Export, Sets

BLOCK, USER, IGNORED = 25, 10, -100


def loaded(export: Path) -> Any:
    found = load_from_disk(str(export / "tokenized"))
    assert isinstance(found, DatasetDict) and list(found) == ["train"]
    return found["train"]


def labels(ids: list[int]) -> list[int]:
    return [id_ if place % BLOCK >= USER else IGNORED for place, id_ in enumerate(ids)]


def check(batch: Any, sequences: list[list[int]], pad: int) -> None:
    """A batch has these sequences, padded on the right; neither the user nor padding counts."""
    assert batch["input_ids"].shape[0] == len(sequences)
    for ids, mask, targets, given in zip(
        batch["input_ids"], batch["attention_mask"].bool(), batch["labels"], sequences, strict=True
    ):
        assert ids[mask].tolist() == given and targets[mask].tolist() == labels(given)
        assert set(ids[~mask].tolist()) <= {pad} and set(targets[~mask].tolist()) <= {IGNORED}


def test_rows(exports: Export, sets: Sets) -> None:
    export = exports("llama-factory", "bayling")
    rows, given = loaded(export), [*sets("bayling").rows(["dialogue_id", "input_ids"])]
    assert rows["dialogue_id"][:] == [row["dialogue_id"] for row in given]
    tokenizer = AutoTokenizer.from_pretrained(export / "vocabulary")
    collator = DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED)
    batch = collator([{name: row[name] for name in ("input_ids", "attention_mask", "labels")} for row in rows])
    check(batch, [row["input_ids"] for row in given], tokenizer.pad_token_id)


def test_pairs(exports: Export, sets: Sets) -> None:
    """As its `PairwiseDataCollatorWithPadding` does: all chosen sides, and then all rejected ones, in one batch."""
    export = exports("llama-factory", "pairs")
    rows, given = loaded(export), [*sets("pairs").rows(["chosen_input_ids", "rejected_input_ids"])]
    assert {rows[0][name] for name in ("images", "videos", "audios")} == {None}
    tokenizer = AutoTokenizer.from_pretrained(export / "vocabulary")
    names = ("input_ids", "attention_mask", "labels")
    features = [{name: row[f"{side}_{name}"] for name in names} for side in ("chosen", "rejected") for row in rows]
    batch = DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED)(features)
    sides = [row[f"{side}_input_ids"] for side in ("chosen", "rejected") for row in given]
    check(batch, sides, tokenizer.pad_token_id)


def test_its_own_collators(exports: Export, sets: Sets) -> None:
    collators = pytest.importorskip("llamafactory.data.collator", reason="llamafactory is installed by `make parts`")
    from llamafactory.data.template import TEMPLATES

    export = exports("llama-factory", "bayling")
    tokenizer = AutoTokenizer.from_pretrained(export / "vocabulary")
    settings: dict[str, Any] = {"label_pad_token_id": IGNORED, "template": TEMPLATES["empty"]}
    rows = [{name: value for name, value in row.items() if name != "dialogue_id"} for row in loaded(export)]
    batch = collators.MultiModalDataCollatorForSeq2Seq(tokenizer, **settings)(rows)
    check(batch, [row["input_ids"] for row in sets("bayling").rows(["input_ids"])], tokenizer.pad_token_id)
    batch = collators.PairwiseDataCollatorWithPadding(tokenizer, **settings)(
        [*loaded(exports("llama-factory", "pairs"))]
    )
    given = [*sets("pairs").rows(["chosen_input_ids", "rejected_input_ids"])]
    sides = [row[f"{side}_input_ids"] for side in ("chosen", "rejected") for row in given]
    check(batch, sides, tokenizer.pad_token_id)
    assert batch["input_ids"].dtype == torch.long
