import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from duplexgen.pipeline.errors import UserError  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.batches import batches, halving  # noqa: E402


@given(st.lists(st.integers(1, 500), max_size=40), st.integers(1, 2000))
def test_every_item_once_within_the_budget_among_its_like(lengths, budget):
    made = batches(lengths, budget)
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
    flat = [lengths[index] for batch in made for index in batch]
    assert flat == sorted(flat, reverse=True)


def test_batches_are_filled():
    assert [len(batch) for batch in batches([10] * 20, 64)] == [6, 6, 6, 2]


def test_halves_until_it_fits():
    seen = []

    def run(items):
        seen.append(len(items))
        if len(items) > 2:
            raise torch.OutOfMemoryError
        return [item * 10 for item in items]

    assert halving(run, [1, 2, 3, 4, 5, 6, 7]) == [10, 20, 30, 40, 50, 60, 70]
    assert max(seen) == 7


def test_what_does_not_fit_alone_stops_the_command():
    def run(items):
        if 3 in items:
            raise torch.OutOfMemoryError
        return list(items)

    with pytest.raises(UserError, match="one utterance alone"):
        halving(run, [1, 2, 3, 4])


def test_other_errors_are_raised():
    def run(items):
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        halving(run, [1, 2])
