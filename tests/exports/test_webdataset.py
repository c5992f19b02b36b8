"""WebDataset reads an export (webdataset is in the extra `test`)."""

import io

import numpy as np
import pytest
import soundfile

from tests.exports.conftest import DIALOGUES, Export, Sets
from tests.exports.heard import samples_of

webdataset = pytest.importorskip("webdataset", reason="webdataset is in the extra test")


@pytest.mark.parametrize("name", ["bayling", "moshi", "silent"])
def test_dialogues(exports: Export, sets: Sets, name: str) -> None:
    url = str(exports("webdataset", name) / "train-{000000..000002}.tar")
    samples = [*webdataset.WebDataset(url, shardshuffle=False).decode()]
    dataset = sets(name)
    for number, (sample, row) in enumerate(zip(samples, dataset.rows(), strict=True)):
        assert sample["__key__"] == f"{number:08d}"
        about = sample["json"]
        assert about.pop("sample_rate") == dataset.sample_rate
        assert about == {key: row[key] for key in about}, "the row itself"
        assert about.keys() >= {"dialogue_id", "scenario", "events"} and "audio" not in about
        ids = sample["ids.npy"]
        assert ids.dtype == np.int32 and np.array_equal(ids, row[dataset.layout.IDS])
        assert ("flac" in sample) == (name != "silent")
        if name != "silent":
            heard, rate = soundfile.read(io.BytesIO(sample["flac"]), dtype="int16")
            assert np.array_equal(heard.T, samples_of(row)) and rate == dataset.sample_rate
    assert len(samples) == DIALOGUES


def test_pairs(exports: Export, sets: Sets) -> None:
    url = str(exports("webdataset", "pairs") / "train-{000000..000000}.tar")
    samples = [*webdataset.WebDataset(url, shardshuffle=False).decode()]
    for sample, row in zip(samples, sets("pairs").rows(), strict=True):
        assert sample["json"]["dialogue_id"] == row["dialogue_id"] and sample["json"]["mistake"] == row["mistake"]
        for side in ("chosen", "rejected"):
            assert np.array_equal(sample[f"{side}.npy"], row[f"{side}_input_ids"])
