"""Rows in packs: each once, none too long, and the same packs each time."""

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dataset.dialogues import DIALOGUES
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.training.data import Batches, Row, TrainingData
from duplexgen.training.packing import PackedData, first_fit


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(50, 120), st.integers(0, 99))
def test_each_row_is_in_one_pack_that_holds_it(lengths: list[int], limit: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(lengths))
    packs = first_fit(np.array(lengths, np.int32), order, limit)
    assert sorted(place for pack in packs for place in pack) == list(range(len(lengths)))
    sums = [sum(lengths[place] for place in pack) for pack in packs]
    assert all(0 < total <= limit for total in sums)
    for later, pack in enumerate(packs):
        assert all(lengths[pack[0]] + total > limit for total in sums[:later]), "an earlier pack had room"


def test_packs_hold_the_rows_of_their_data(data_sets: Callable[[str], Dataset]) -> None:
    folders = [data_sets("turn_taking").path, data_sets("interruption").path]
    data = TrainingData(folders, DIALOGUES)
    packed = PackedData(data, 2 * data.longest, seed=1)
    rows = [row for groups in data.groups for group in groups for row in data.read(group)]
    packs = [pack for groups in packed.groups for group in groups for pack in packed.read(group)]
    assert [pack.number for pack in packs] == list(range(packed.num_rows))
    assert packed.num_rows < len(rows) == data.num_rows
    assert sorted(map(_key, rows)) == sorted(key for pack in packs for key in _keys(pack))
    assert packed.packs == PackedData(TrainingData(folders, DIALOGUES), 2 * data.longest, seed=1).packs
    batches = Batches(packed, seed=1, batch_size=2, shuffle_rows=100)
    epoch = [pack.number for batch in islice(batches.from_step(0), batches.steps_per_epoch) for pack in batch]
    assert sorted(epoch) == list(range(packed.num_rows))


def _key(row: Row) -> tuple[str, bytes]:
    return row.dialogue_id, row.sequences[0].tobytes()


def _keys(pack: Row) -> list[tuple[str, bytes]]:
    """What `_key` gives for the rows of a pack."""
    ends = np.cumsum(pack.parts)[:-1]
    ids = (part.tobytes() for part in np.split(pack.sequences[0], ends))
    return list(zip(pack.dialogue_id.split(" + "), ids, strict=True))


def test_one_stream_is_not_packed(data_sets: Callable[[str], Dataset]) -> None:
    with pytest.raises(UserError, match=r"pack_columns is for layouts of parallel streams, .* layout bayling"):
        PackedData(TrainingData([data_sets("turn_taking").path], DIALOGUES), 10_000, seed=1).check()
