"""Which rows make a batch, and that no row is lost or repeated."""

import json
import shutil
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from duplexgen.pipeline.dataset.dialogues import DIALOGUES
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.layouts.stream_ids import StreamVocabulary
from duplexgen.training.data import Batches, TrainingData
from tests.dataset.test_verify import rewrite, seal


@pytest.fixture(scope="module")
def many(data_sets):
    """Two data sets: 12 and 4 rows."""
    takes = {"timing": {"scenario": "turn_taking", "takes": 3}}
    return [data_sets("turn_taking", name="taken", **takes).path, data_sets("interruption").path]


def numbers(batches):
    return [[row.number for row in batch] for batch in batches]


def test_an_epoch_has_every_row_once(many):
    data = TrainingData(many, DIALOGUES)
    batches = Batches(data, seed=1, batch_size=3, shuffle_rows=5)
    assert data.num_rows == 16
    assert batches.steps_per_epoch == 6
    epoch = numbers(islice(batches.from_step(0), 6))
    assert sorted(row for batch in epoch for row in batch) == list(range(16))
    following = numbers(islice(batches.from_step(6), 6))
    assert sorted(row for batch in following for row in batch) == list(range(16))
    assert following != epoch


def test_rows_are_what_the_shards_hold(many):
    data = TrainingData(many, DIALOGUES)
    rows = {row.number: row for batch in islice(Batches(data, 1, 4, 100).from_step(0), 4) for row in batch}
    expected = [row for folder in many for row in Dataset(folder).rows(["dialogue_id", "input_ids"])]
    for number, row in enumerate(expected):
        assert rows[number].dialogue_id == row["dialogue_id"]
        assert rows[number].sequences[0].tolist() == row["input_ids"]


def test_a_batch_may_be_larger_than_what_is_shuffled_together(many):
    batches = Batches(TrainingData(many, DIALOGUES), seed=1, batch_size=6, shuffle_rows=1)
    epoch = numbers(islice(batches.from_step(0), batches.steps_per_epoch))
    assert sorted(row for batch in epoch for row in batch) == list(range(16))


@pytest.mark.parametrize("step", [1, 4, 6, 9])
def test_from_any_step_the_same_batches_follow(many, step):
    batches = Batches(TrainingData(many, DIALOGUES), seed=7, batch_size=3, shuffle_rows=5, mix="equal")
    alone = numbers(islice(batches.from_step(0), 12))
    assert numbers(islice(batches.from_step(step), 12 - step)) == alone[step:]


def test_equal_mix_takes_as_many_of_each(many):
    batches = Batches(TrainingData(many, DIALOGUES), seed=1, batch_size=4, shuffle_rows=100, mix="equal")
    assert batches.steps_per_epoch == 2
    epochs = [np.concatenate(numbers(islice(batches.from_step(2 * epoch), 2))) for epoch in range(6)]
    for rows in epochs:
        assert sorted(rows[rows >= 12]) == [12, 13, 14, 15]
        assert len(set(rows[rows < 12])) == 4
    assert len(set(np.concatenate(epochs))) > 8, "other rows in other epochs"


def test_rows_of_a_batch_are_of_similar_length(many):
    data = TrainingData(many, DIALOGUES)
    row_batches = list(islice(Batches(data, 1, 4, 100).from_step(0), 4))
    lengths = {row.number: len(row.sequences[0]) for batch in row_batches for row in batch}
    batches = numbers(row_batches)
    ranges = sorted((min(lengths[row] for row in batch), max(lengths[row] for row in batch)) for batch in batches)
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))


def test_sets_of_another_vocabulary_do_not_mix(many, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(many[1], other)
    described = json.loads((other / "vocabulary.json").read_text())
    described["layout"]["ast_offset"] = 0
    (other / "vocabulary.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"layout of their vocabulary\.json"):
        _ = TrainingData([many[0], other], DIALOGUES).format


@pytest.mark.parametrize("file", ["manifest.json", "vocabulary.json", "data/train-00000-of-00001.parquet"])
def test_a_flipped_byte_stops_training_before_it_starts(many, tmp_path, file):
    damaged = tmp_path / "damaged"
    shutil.copytree(many[1], damaged)
    content = bytearray((damaged / file).read_bytes())
    place = content.rindex(b'"') - 1 if file.endswith("json") else len(content) // 2
    content[place] ^= 1
    (damaged / file).write_bytes(bytes(content))
    with pytest.raises(UserError, match="is not what was built"):
        TrainingData([damaged], DIALOGUES).check()


def test_an_unfinished_set_is_refused(tmp_path):
    (tmp_path / "vocabulary.json").write_text("{}")
    with pytest.raises(UserError, match="no finished data set"):
        TrainingData([tmp_path], DIALOGUES).check()


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["files"][0].update(path="../../etc/passwd"),
        lambda manifest: manifest.update(recipe=None),
        lambda manifest: manifest["statistics"].update(turns=[[]]),
        lambda manifest: manifest["recipe"].update(seed=manifest["recipe"]["seed"] + 1),
    ],
)
def test_a_manifest_that_nobody_wrote_stops_training_before_it_starts(many, tmp_path, change):
    damaged = tmp_path / "damaged"
    shutil.copytree(many[1], damaged)
    seal(damaged, change)
    with pytest.raises(UserError, match="is not what was built"):
        TrainingData([damaged], DIALOGUES).check()


@pytest.mark.parametrize("id_", [-1, 2**31 - 1, None])
def test_ids_that_are_none_of_the_vocabulary_stop_training(many, tmp_path, id_):
    damaged = tmp_path / "damaged"
    shutil.copytree(many[1], damaged)
    rewrite(damaged, lambda rows: rows[0]["input_ids"].__setitem__(3, id_))
    data = TrainingData([damaged], DIALOGUES)
    data.check()
    with pytest.raises(UserError, match=r"a row has no ids in input_ids, or one outside 0 … \d+\."):
        list(islice(Batches(data, 0, 1, 100).from_step(0), data.num_rows))


@pytest.mark.parametrize("stream", ["speak", "listen"])
@pytest.mark.parametrize("pad", [None, 2100])
@pytest.mark.parametrize("which", ["start", "between", "next"])
def test_an_id_that_is_no_code_stops_training(data_sets, tmp_path, stream, pad, which):
    """A loss over codes has no place for it, so nobody may learn it as another one: what a depth transformer starts
    from, an id between the codes and a larger `audio_pad`, and one after them all."""
    layout = {"name": "flm", "audio_pad": pad}
    damaged = Path(
        shutil.copytree(data_sets("turn_taking", name=f"flm_{pad}", layout=layout).path, tmp_path / "damaged")
    )
    vocabulary = TrainingData([damaged], DIALOGUES).format.vocabulary
    assert isinstance(vocabulary, StreamVocabulary)
    audio = vocabulary.audio
    id_ = {"start": audio.start, "between": audio.pad - 1, "next": vocabulary.audio_size}[which]
    is_code = id_ < audio.codes  # without a larger pad, the last code is before it
    number = 1 if stream == "speak" else 1 + audio.codebooks
    rewrite(damaged, lambda rows: rows[0]["streams"][number].__setitem__(5, id_))
    data = TrainingData([damaged], DIALOGUES)
    data.check()
    rows = Batches(data, 0, 1, 100).from_step(0)
    if is_code:
        assert len(list(islice(rows, data.num_rows))) == data.num_rows
        return
    held = rf"0 … \d+ for text, and 0 … {audio.codes - 1} or {audio.pad} for codes\."
    with pytest.raises(UserError, match=f"a row has no ids in streams, or one outside {held}"):
        list(islice(rows, data.num_rows))
