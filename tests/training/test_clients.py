"""Other programs train two steps on a data set, which they read from its folder with the tokenizer of `vocabulary/`.

TRL is in the extra `dev`. LLaMA-Factory needs other versions of packages: it is in the environment of `make parts`.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset as Rows
from datasets import load_dataset
from torch import Tensor
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.pairs import build as pairs
from duplexgen.pipeline.show.progress import Display
from tests.offline import no_network  # noqa: F401
from tests.pairs.conftest import pairs_recipe
from tests.training.conftest import TINY

Sets = Callable[[str], Dataset]
USER, BLOCK = 10, 25  # the user's ids at the start of a block, and all its ids
IGNORED = -100
SETTINGS: dict[str, Any] = {
    "max_steps": 2,
    "logging_steps": 1,
    "learning_rate": 1e-2,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "save_strategy": "no",
    "disable_tqdm": True,
}


pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(scope="module")
def folder(data_sets: Sets) -> Path:
    return data_sets("turn_taking").path


@pytest.fixture(scope="module")
def pairs_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    new_folder = tmp_path_factory.mktemp("client_pairs")
    pairs.build(pairs_recipe(), folder, new_folder / "pairs", new_folder / "work", Display())
    return new_folder / "pairs"


def rows_of(folder: Path, columns: list[str], cache: Path) -> Rows:
    return load_dataset(str(folder), split="train", cache_dir=str(cache)).select_columns(columns)


def pairs_of(folder: Path, cache: Path) -> Rows:
    """Pairs, under TRL's names."""
    sides = ("chosen", "rejected")
    rows = rows_of(folder, [f"{side}_input_ids" for side in sides], cache)
    return rows.rename_columns({f"{side}_input_ids": f"{side}_ids" for side in sides})


def tokenizer_of(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer = AutoTokenizer.from_pretrained(folder / "vocabulary")
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return tokenizer


def tiny(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    settings: dict[str, Any] = {name: size for name, size in TINY.items() if name != "model_type"}
    settings |= {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    return LlamaForCausalLM(LlamaConfig(**settings, vocab_size=len(tokenizer)))


def labels(ids: list[int]) -> list[int]:
    """Labels: the user's positions do not count."""
    return [id_ if place % BLOCK >= USER else IGNORED for place, id_ in enumerate(ids)]


def log_likelihood(model: LlamaForCausalLM, ids: list[int]) -> tuple[float, int]:
    """The log-likelihood of the text and assistant ids of one sequence without padding, and their number."""
    with torch.no_grad():
        scores = model(torch.tensor([ids])).logits.log_softmax(-1)[0, :-1]
    counted = torch.tensor(labels(ids)[1:]) != IGNORED
    return scores.gather(1, torch.tensor(ids[1:])[:, None])[counted].sum().item(), int(counted.sum())


def check_batch(batch: dict[str, Tensor], sequences: list[list[int]], end: int) -> None:
    """A batch is these sequences in some order, padded on the right; neither the user nor padding counts."""
    assert min(map(len, sequences)) < batch["input_ids"].shape[1], "something is padded"
    rows = []
    for ids, mask, targets in zip(batch["input_ids"], batch["attention_mask"].bool(), batch["labels"], strict=True):
        rows.append(ids[mask].tolist())
        assert targets[mask].tolist() == labels(rows[-1])
        assert set(ids[~mask].tolist()) <= {end} and set(targets[~mask].tolist()) <= {IGNORED}
        assert end not in rows[-1]
    assert sorted(rows) == sorted(sequences)


def check_steps(trainer: Trainer, expected_loss: float) -> None:
    first, second = (entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
    assert first == pytest.approx(expected_loss, rel=1e-3)
    assert math.isfinite(second) and second < first


def mean_loss(model: LlamaForCausalLM, sequences: list[list[int]]) -> float:
    sums = [log_likelihood(model, ids) for ids in sequences]
    return -sum(value for value, _ in sums) / sum(count for _, count in sums)


def test_sft_of_trl(folder: Path, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="trl is in the extras dev and clients")
    tokenizer = tokenizer_of(folder)
    model = tiny(tokenizer)
    rows = rows_of(folder, ["dialogue_id", "input_ids"], tmp_path)
    expected = mean_loss(model, rows["input_ids"][:])
    trainer = trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(str(tmp_path), per_device_train_batch_size=len(rows), max_length=None, **SETTINGS),
        train_dataset=rows.map(lambda row: {"labels": labels(row["input_ids"])}),
        processing_class=tokenizer,
    )
    check_batch(next(iter(trainer.get_train_dataloader())), rows["input_ids"][:], tokenizer.pad_token_id)
    trainer.train()
    check_steps(trainer, expected)


def test_dpo_of_trl(pairs_folder: Path, tmp_path: Path) -> None:
    """TRL's trainer tokenizes text and counts the user's ids; here it is made to do neither."""
    trl = pytest.importorskip("trl", reason="trl is in the extras dev and clients")
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    class Collator(DataCollatorForPreference):
        def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
            batch: dict[str, Tensor] = super().__call__(*args, **kwargs)
            batch["completion_mask"] *= torch.arange(batch["completion_mask"].shape[1]) % BLOCK >= USER
            return batch

    class DPOTrainer(trl.DPOTrainer):  # type: ignore[misc, name-defined]
        def _prepare_dataset(self, dataset: Rows, *_: object) -> Rows:
            return dataset

    tokenizer = tokenizer_of(pairs_folder)
    model = tiny(tokenizer)
    rows = pairs_of(pairs_folder, tmp_path)
    expected = {side: [log_likelihood(model, ids)[0] for ids in rows[f"{side}_ids"]] for side in ("chosen", "rejected")}
    trainer = DPOTrainer(
        model=model,
        ref_model=tiny(tokenizer),
        args=trl.DPOConfig(
            str(tmp_path),
            per_device_train_batch_size=len(rows),
            max_length=None,
            **(SETTINGS | {"learning_rate": 1e-4}),
        ),
        train_dataset=rows.map(lambda row: {"prompt_ids": []}),
        processing_class=tokenizer,
        data_collator=Collator(pad_token_id=tokenizer.pad_token_id),
    )
    trainer.train()
    first, second = (entry for entry in trainer.state.log_history if "loss" in entry)
    assert first["loss"] == pytest.approx(math.log(2), rel=1e-3), "policy and reference are one model before a step"
    assert second["loss"] < first["loss"]
    for side, values in expected.items():
        assert first[f"logps/{side}"] == pytest.approx(sum(values) / len(values), rel=1e-3), "the user is not counted"


def tokenized(ids: list[int], side: str = "") -> dict[str, list[int]]:
    """Columns as LLaMA-Factory's collators take them."""
    return {f"{side}input_ids": ids, f"{side}attention_mask": [1] * len(ids), f"{side}labels": labels(ids)}


NO_MEDIA = {"images": None, "videos": None, "audios": None}


def test_sft_with_the_collator_of_llama_factory(folder: Path, tmp_path: Path) -> None:
    collators = pytest.importorskip("llamafactory.data.collator", reason="llamafactory is installed by `make parts`")
    from llamafactory.data.template import TEMPLATES

    tokenizer = tokenizer_of(folder)
    model = tiny(tokenizer)
    rows = rows_of(folder, ["input_ids"], tmp_path)
    expected = mean_loss(model, rows["input_ids"][:])
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            str(tmp_path), per_device_train_batch_size=len(rows), remove_unused_columns=False, **SETTINGS
        ),
        train_dataset=rows.map(lambda row: tokenized(row["input_ids"])),
        data_collator=collators.MultiModalDataCollatorForSeq2Seq(
            tokenizer, model=model, label_pad_token_id=IGNORED, template=TEMPLATES["empty"]
        ),
    )
    check_batch(next(iter(trainer.get_train_dataloader())), rows["input_ids"][:], tokenizer.pad_token_id)
    trainer.train()
    check_steps(trainer, expected)


def test_pairs_in_the_collator_of_llama_factory(pairs_folder: Path, tmp_path: Path) -> None:
    collators = pytest.importorskip("llamafactory.data.collator", reason="llamafactory is installed by `make parts`")
    from llamafactory.data.template import TEMPLATES

    tokenizer = tokenizer_of(pairs_folder)
    rows = pairs_of(pairs_folder, tmp_path)
    collator = collators.PairwiseDataCollatorWithPadding(
        tokenizer, label_pad_token_id=IGNORED, template=TEMPLATES["empty"], pad_to_multiple_of=64
    )
    features = [
        tokenized(row["chosen_ids"], "chosen_") | tokenized(row["rejected_ids"], "rejected_") | NO_MEDIA for row in rows
    ]
    batch = collator(features)
    check_batch(batch, [*rows["chosen_ids"], *rows["rejected_ids"]], tokenizer.pad_token_id)
    model = tiny(tokenizer)
    assert torch.isfinite(model(**batch).loss)
