"""TRL trains on exports, with the weights of BayLing-Duplex and with its DPO (trl is in the extras dev and clients)."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset as Rows
from datasets import load_dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.training.recipe import Weights
from tests.exports.conftest import DIALOGUES, Export, Sets
from tests.offline import no_network  # noqa: F401
from tests.training.conftest import TINY

trl = pytest.importorskip("trl", reason="trl is in the extras dev and clients")
from duplexgen.training.clients.trl import DPOTrainer, PreferenceCollator, SFTTrainer, TokenWeights  # noqa: E402

SETTINGS: dict[str, Any] = {
    "max_steps": 2,
    "logging_steps": 1,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "save_strategy": "no",
    "disable_tqdm": True,
    "max_length": None,
    "per_device_train_batch_size": DIALOGUES,
}
PAPER = {"silence": 0.1, "assistant": 10.0, "pad": 1.0, "epad": 10.0, "text": 1.0, "audio": 1.0}


pytestmark = pytest.mark.usefixtures("no_network")


def rows_of(export: Path, cache: Path) -> Rows:
    return load_dataset(str(export), split="train", cache_dir=str(cache))


def model_over(tokenizer: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {name: size for name, size in TINY.items() if name != "model_type"}
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    return LlamaForCausalLM(LlamaConfig(**sizes, **ids, vocab_size=len(tokenizer)))


def losses(model: LlamaForCausalLM, dataset: Dataset, ids: list[int]) -> dict[str, np.ndarray]:
    """ℓ of each target of a row, by the name of its kind, from the data set itself."""
    with torch.no_grad():
        scores = model(torch.tensor([ids])).logits.double().log_softmax(-1)[0, :-1]
    each = -scores.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()
    kinds = dataset.layout.kinds({"input_ids": ids})[1:]
    return {name: each[kinds == index] for index, name in enumerate(dataset.layout.KINDS) if name != "user"}


def equation_5(model: LlamaForCausalLM, dataset: Dataset, omega: dict[str, float]) -> float:
    found = [losses(model, dataset, row["input_ids"]) for row in dataset.rows(["input_ids"])]
    above = sum(omega[kind] * each.sum() for row in found for kind, each in row.items())
    return float(above / sum(omega[kind] * len(each) for row in found for kind, each in row.items()))


def trained(export: Path, cache: Path, model: LlamaForCausalLM, weights: TokenWeights, **settings: Any) -> Any:
    trainer = SFTTrainer(
        model=model,
        args=trl.SFTConfig(str(cache / "out"), learning_rate=1e-2, **SETTINGS | settings),
        train_dataset=rows_of(export, cache),
        processing_class=AutoTokenizer.from_pretrained(export / "vocabulary"),
        token_weights=weights,
    )
    trainer.train()
    return trainer


def test_rows_are_those_of_the_data_set(exports: Export, sets: Sets, tmp_path: Path) -> None:
    dataset, rows = sets("bayling"), rows_of(exports("trl", "bayling"), tmp_path)
    given = [*dataset.rows(["dialogue_id", "input_ids"])]
    assert rows["dialogue_id"][:] == [row["dialogue_id"] for row in given]
    assert rows["input_ids"][:] == [row["input_ids"] for row in given]
    for row in rows:
        heard = np.arange(len(row["input_ids"])) % 25 < 10
        assert np.array_equal(row["labels"], np.where(heard, -100, row["input_ids"]))


def test_sft_with_the_weights_of_the_paper(exports: Export, sets: Sets, tmp_path: Path) -> None:
    export, dataset = exports("trl", "bayling"), sets("bayling")
    assert Weights().model_dump().items() >= PAPER.items()
    model = model_over(AutoTokenizer.from_pretrained(export / "vocabulary"))
    expected = equation_5(model, dataset, PAPER)
    unweighted = equation_5(model, dataset, dict.fromkeys(PAPER, 1.0))
    trainer = trained(export, tmp_path, model, TokenWeights.read(export))
    batch = next(iter(trainer.get_train_dataloader()))
    assert (batch["attention_mask"] == 0).any(), "something is padded, and nothing is cut"
    first, second = (entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
    assert first == pytest.approx(expected, rel=1e-4) and first != pytest.approx(unweighted, rel=1e-4)
    assert math.isfinite(second) and second < first


def test_own_weights_over_micro_batches(exports: Export, sets: Sets, tmp_path: Path) -> None:
    """Σ ω is that of the whole step, as equation 5 has it, however many micro-batches it is taken in."""
    export, dataset = exports("trl", "bayling"), sets("bayling")
    tokenizer = AutoTokenizer.from_pretrained(export / "vocabulary")
    weights = PAPER | {"audio": 3.0, "text": 0.0}
    trainer = trained(
        export,
        tmp_path,
        model_over(tokenizer),
        TokenWeights.read(export, weights),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=3,
        max_steps=1,
    )
    (first,) = (entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
    assert first == pytest.approx(equation_5(model_over(tokenizer), dataset, weights), rel=1e-4)


def log_likelihood(model: LlamaForCausalLM, dataset: Dataset, ids: list[int]) -> float:
    return -float(sum(each.sum() for each in losses(model, dataset, ids).values()))


def test_dpo_without_the_users_ids(exports: Export, sets: Sets, tmp_path: Path) -> None:
    export, pairs, dialogues = exports("trl", "pairs"), sets("pairs"), sets("bayling")
    given = [*pairs.rows(["dialogue_id", "chosen_input_ids", "rejected_input_ids"])]
    rows = rows_of(export, tmp_path)
    assert rows["dialogue_id"][:] == [row["dialogue_id"] for row in given] and not any(rows["prompt_ids"][:])
    tokenizer = AutoTokenizer.from_pretrained(export / "vocabulary")
    model = model_over(tokenizer)
    expected = {}
    for side in ("chosen", "rejected"):
        assert rows[f"{side}_ids"][:] == [row[f"{side}_input_ids"] for row in given]
        expected[side] = [log_likelihood(model, dialogues, ids) for ids in rows[f"{side}_ids"]]
    trainer = DPOTrainer(
        model=model,
        ref_model=model_over(tokenizer),
        args=trl.DPOConfig(str(tmp_path / "out"), learning_rate=1e-4, **SETTINGS),
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=PreferenceCollator.read(export),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert set(batch["input_ids"][batch["attention_mask"] == 0].tolist()) <= {tokenizer.pad_token_id}
    trainer.train()
    first, second = (entry for entry in trainer.state.log_history if "loss" in entry)
    assert first["loss"] == pytest.approx(math.log(2), rel=1e-3), "policy and reference are one model before a step"
    assert second["loss"] < first["loss"]
    for side, values in expected.items():
        assert first[f"logps/{side}"] == pytest.approx(sum(values) / len(values), rel=1e-3), "the user is not counted"
