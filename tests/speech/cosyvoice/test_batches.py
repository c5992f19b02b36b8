import logging

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from duplexgen.pipeline.errors import UserError  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.batches import Batches  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.decoding import SIZES, length_for, size_for  # noqa: E402

LENGTHS = st.lists(st.integers(1, 500), max_size=40)


@given(LENGTHS, st.integers(1, 2000), st.integers(1, 50))
def test_every_item_once_within_the_budget_among_its_like(lengths, budget, most):
    made = Batches(budget, most).groups(lengths, range(len(lengths)))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or (longest * len(batch) <= budget and len(batch) <= most)
    flat = [lengths[index] for batch in made for index in batch]
    assert flat == sorted(flat, reverse=True)


def test_batches_are_filled():
    assert [len(batch) for batch in Batches(64, 99).groups([10] * 20, range(20))] == [6, 6, 6, 2]
    assert [len(batch) for batch in Batches(64, 4).groups([10] * 20, range(20))] == [4] * 5


def test_a_batch_costs_what_it_is_padded_to():
    batches = Batches(16 * 512, 256, lambda rows, length: size_for(rows, SIZES) * length_for(length))
    assert [len(batch) for batch in batches.groups([300] * 40, range(40))] == [16, 16, 8]
    assert [len(batch) for batch in batches.groups([200] * 40, range(40))] == [16, 16, 8]  # 32 would be padded to 64


@given(LENGTHS, st.integers(1, 12), st.integers(1, 3000))
def test_halves_until_it_fits_and_tries_no_larger_one_again(lengths, fits, budget):
    sizes = []

    def work(items):
        sizes.append(len(items))
        if len(items) > fits:
            raise torch.OutOfMemoryError
        return [item * 10 for item in items]

    batches = Batches(budget, 99, lambda rows, _: rows * 100)
    items = list(range(len(lengths)))
    assert batches.run(work, items, lengths) == [item * 10 for item in items]
    sizes.clear()
    assert batches.run(work, items, lengths) == [item * 10 for item in items]
    assert all(size <= fits for size in sizes)


def test_a_batch_that_is_padded_to_the_size_that_did_not_fit_is_not_tried():
    sizes = []

    def work(items):
        sizes.append(len(items))
        if size_for(len(items), SIZES) > 1:
            raise torch.OutOfMemoryError
        return list(items)

    items = list(range(5))
    batches = Batches(10**6, 256, lambda rows, length: size_for(rows, SIZES) * length_for(length))
    assert batches.run(work, items, [100] * 5) == items
    assert sizes == [5, 4, 1, 1, 1, 1, 1]  # 5 are padded to 16; 3 and 2 would be padded to 4 again


def test_short_memory_is_said_once(caplog):
    def work(items):
        if len(items) > 2:
            raise torch.OutOfMemoryError
        return list(items)

    with caplog.at_level(logging.WARNING):
        batches = Batches(1000, 99)
        for _ in range(3):
            assert batches.run(work, [1, 2, 3, 4, 5, 6, 7], [1] * 7) == [1, 2, 3, 4, 5, 6, 7]
    assert caplog.text.count("out of memory with 7 utterances together, going on with 4") == 1
    assert len(caplog.records) == 1


def test_what_does_not_fit_alone_stops_the_command():
    def work(items):
        if 3 in items:
            raise torch.OutOfMemoryError
        return list(items)

    with pytest.raises(UserError, match="one utterance alone"):
        Batches(1000, 99).run(work, [1, 2, 3, 4], [1] * 4)


def test_other_errors_are_raised():
    def work(items):
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        Batches(1000, 99).run(work, [1, 2], [1, 1])
