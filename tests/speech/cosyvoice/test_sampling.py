import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from duplexgen.pipeline.errors import UserError  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.sampling import Sampling, sample, sampling_of  # noqa: E402
from tests.speech.cosyvoice.reference import drawing  # noqa: E402

WORDS = 50


def rows(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.normal(0, 2, (count, WORDS)).astype(np.float32))
    history = torch.from_numpy(rng.integers(-1, 6, (count, 10)))
    return (
        scores.sort(descending=True)[0][:, rng.permutation(WORDS)],
        history,
        torch.from_numpy(rng.random((count, 2), dtype=np.float32)),
    )


def test_draws_what_the_package_draws(code, monkeypatch):
    from cosyvoice.utils.common import ras_sampling

    sampling = sampling_of(ras_sampling)
    scores, history, draws = rows(400)
    again = 0
    for score, past, draw in zip(scores, history, draws, strict=True):
        before = [token for token in past.tolist() if token >= 0]
        with drawing(monkeypatch, draw) as used:
            expected = int(ras_sampling(score.clone(), before, 25))
        again += len(used) == 2
        assert int(sample(score[None], past[None], draw[None], sampling)) == expected
    assert 20 < again < 380  # both ways were taken


@pytest.mark.parametrize("excluded", [False, True])
def test_frequencies_are_those_of_the_nucleus(excluded):
    scores = torch.log(torch.tensor([[0.5, 0.25, 0.15, 0.1]])).expand(20000, 4)
    draws = torch.from_numpy(np.random.default_rng(1).random((20000, 2), dtype=np.float32))
    nothing = torch.full((20000, 10), -1)
    drawn = sample(scores, nothing, draws, Sampling(top_p=0.7, top_k=3, repeats_excluded=excluded))
    shares = torch.bincount(drawn, minlength=4) / 20000
    assert torch.allclose(shares, torch.tensor([2 / 3, 1 / 3, 0.0, 0.0]), atol=0.012)


def test_a_repeated_token_is_drawn_again_from_all():
    scores = torch.log(torch.tensor([[0.97, 0.01, 0.01, 0.01]])).expand(20000, 4)
    draws = torch.from_numpy(np.random.default_rng(2).random((20000, 2), dtype=np.float32))
    history = torch.full((20000, 10), -1)
    history[:, 3] = 0
    anything = torch.bincount(sample(scores, history, draws, Sampling()), minlength=4) / 20000
    assert torch.allclose(anything, torch.tensor([0.97, 0.01, 0.01, 0.01]), atol=0.005)
    others = torch.bincount(sample(scores, history, draws, Sampling(repeats_excluded=True)), minlength=4) / 20000
    assert torch.allclose(others, torch.tensor([0.0, 1 / 3, 1 / 3, 1 / 3]), atol=0.012)


def test_a_row_knows_nothing_of_the_others():
    scores, history, draws = rows(16)
    together = sample(scores, history, draws, Sampling())
    alone = [int(sample(scores[i, None], history[i, None], draws[i, None], Sampling())) for i in range(16)]
    assert together.tolist() == alone


def test_what_may_not_be_drawn_never_is():
    scores = torch.full((2, 5), -torch.inf)
    scores[:, 2] = 0.0
    draws = torch.tensor([[0.0, 0.0], [np.nextafter(np.float32(1), np.float32(0))] * 2])
    assert sample(scores, torch.full((2, 10), -1), draws, Sampling()).tolist() == [2, 2]
    assert sample(scores, torch.full((2, 10), 2), draws, Sampling()).tolist() == [2, 2]


def test_another_sampling_is_refused():
    with pytest.raises(UserError, match="ras_sampling"):
        sampling_of(max)
