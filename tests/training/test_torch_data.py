"""Data sets for a training loop of one's own, as such a loop uses them."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from duplexgen.pipeline.dataset.dialogues import DIALOGUES
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.exports.labels import IGNORED
from duplexgen.pipeline.pairs.build import build as build_pairs
from duplexgen.pipeline.recipe.file import load
from duplexgen.pipeline.show.progress import Display
from duplexgen.training.data import TrainingData
from duplexgen.training.models.model import load_model
from duplexgen.training.objectives.sft import SFT
from duplexgen.training.recipe import TRAINING_RECIPES, SFTRecipe
from duplexgen.training.torch_data import TorchRows, TorchStream, collate
from tests.pairs.conftest import pairs_recipe

DataSets = Callable[..., Dataset]


@pytest.fixture(scope="module")
def folders(data_sets: DataSets) -> list[Path]:
    return [data_sets("turn_taking").path, data_sets("interruption").path]


def items(rows: TorchRows) -> list[dict[str, Any]]:
    return [rows[number] for number in range(len(rows))]


def test_an_item_is_a_row(folders: list[Path]) -> None:
    rows = TorchRows(folders, weights={"silence": 0.25})
    expected = [row for folder in folders for row in Dataset(folder).rows(["dialogue_id", "input_ids"])]
    assert len(rows) == len(expected)
    for number, row in enumerate(expected):
        item = rows[number]
        assert (item["dialogue_id"], item["input_ids"].tolist()) == (row["dialogue_id"], row["input_ids"])
        is_users = torch.arange(len(item["input_ids"])) % 25 < 10
        assert torch.equal(item["labels"], torch.where(is_users, IGNORED, item["input_ids"]))
        silence = rows.format.kinds.index("silence")
        assert (item["weights"][item["kinds"] == silence] == 0.25).all() and (item["weights"][is_users] == 0).all()
    assert rows[-1]["dialogue_id"] == expected[-1]["dialogue_id"]
    with pytest.raises(IndexError, match=f"row {len(rows)} of"):
        rows[len(rows)]
    assert {*TorchRows(folders, labels=False)[0]} == {"dialogue_id", "input_ids", "kinds"}


def test_the_loss_of_a_loop_of_ones_own_is_that_of_train(folders: list[Path], model_folder: Path) -> None:
    """Equation 5 over a batch, with the weights of the paper."""
    network = load_model(model_folder).network
    data = TrainingData(folders, DIALOGUES)
    objective = SFT(load("sft_small", SFTRecipe, TRAINING_RECIPES)[0], data.format, torch.device("cpu"))
    rows = [row for groups in data.groups for group in groups for row in data.read(group)]
    with torch.no_grad():
        ours = objective.loss(network, rows, objective.totals(rows))[0]
        batch = collate(items(TorchRows(folders, weights={})))
        logits = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        labels, weights = batch["labels"][:, 1:], batch["weights"][:, 1:]
        losses = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        theirs = (weights * losses).sum() / weights.sum()
    assert float(theirs) == pytest.approx(float(ours), rel=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_has_every_row_once(folders: list[Path], workers: int) -> None:
    expected = sorted(row["dialogue_id"] for folder in folders for row in Dataset(folder).rows(["dialogue_id"]))
    stream = TorchStream(folders, seed=3, shuffle_rows=4)

    def epoch(number: int) -> list[str]:
        stream.set_epoch(number)
        loader = DataLoader(stream, batch_size=3, collate_fn=collate, num_workers=workers)
        return [name for batch in loader for name in batch["dialogue_id"]]

    first, second = epoch(0), epoch(1)
    assert sorted(first) == sorted(second) == expected
    assert epoch(0) == first != second


def test_pairs(folders: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    build_pairs(pairs_recipe(), folders[0], out, tmp_path / "work", Display())
    rows = [*Dataset(out).rows(["chosen_input_ids", "rejected_input_ids"])]
    batch = collate(items(TorchRows([out])))
    for side in ("chosen", "rejected"):
        for row, ids, mask in zip(rows, batch[f"{side}_input_ids"], batch[f"{side}_attention_mask"], strict=True):
            assert ids[mask.bool()].tolist() == row[f"{side}_input_ids"] and not ids[~mask.bool()].any()
    assert batch["chosen_labels"].shape == batch["rejected_labels"].shape


def test_parallel_streams(data_sets: DataSets) -> None:
    layout: dict[str, Any] = {"name": "flm", "format": "response_tts"}
    dataset = data_sets("turn_taking", name="streams", layout=layout)
    rows = TorchRows([dataset.path], weights={})
    expected = next(dataset.rows([dataset.layout.IDS]))[dataset.layout.IDS]
    item = pickle.loads(pickle.dumps(rows))[0]
    assert item["input_ids"].T.tolist() == expected
    own = 1 + len(expected) // 2
    assert (item["labels"][:, own:] == IGNORED).all() and (item["labels"][:, 0] != IGNORED).any()
    batch = collate([rows[0], rows[1]])
    assert batch["labels"].shape == batch["input_ids"].shape == (2, batch["attention_mask"].shape[1], len(expected))
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
