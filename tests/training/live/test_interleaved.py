"""Sampling block by block: the cache, the ids that each slot allows, and random numbers of each dialogue."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.layouts.shared import SharedVocabulary
from duplexgen.pipeline.randomness import generator
from duplexgen.training.live.modes import check_length, mode_of
from duplexgen.training.live.stream import USUAL, Sampling, choose
from duplexgen.training.models.model import DuplexModel

N, M = 10, 5
BLOCKS = 6


def user_codes(dialogue: int) -> np.ndarray:
    """Codes that a user may say, [BLOCKS, N], of codebook 0."""
    return generator(0, str(dialogue), "user").integers(0, 2048, (BLOCKS, N)).astype(np.int16)


def vocabulary(model: DuplexModel) -> SharedVocabulary:
    assert isinstance(model.format.vocabulary, SharedVocabulary)
    return model.format.vocabulary


def run(model: DuplexModel, dialogues: list[int], sampling: Sampling = USUAL) -> np.ndarray:
    """Whole sequences [dialogues, BLOCKS * 25]."""
    stream = mode_of(model.format).stream(model, [str(dialogue) for dialogue in dialogues], sampling)
    blocks = []
    for block in range(BLOCKS):
        codes = np.stack([user_codes(dialogue)[block] for dialogue in dialogues])
        said = stream.step(codes[:, np.newaxis])
        blocks += [vocabulary(model).audio_ids(codes), said.text_ids, vocabulary(model).audio_ids(said.codes[:, 0])]
    return np.concatenate(blocks, axis=1)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_the_cache_gives_the_logits_of_the_full_pass(model: DuplexModel, temperature: float) -> None:
    logits = []
    hook = model.network.register_forward_hook(lambda module, given, out: logits.append(out.logits[:, -1]))
    sequences = torch.from_numpy(run(model, [1, 2, 3], Sampling(temperature))).long()
    hook.remove()
    with torch.inference_mode():
        full = model.network(input_ids=sequences).logits
    slots = torch.arange(sequences.shape[1]) % 25
    sampled = (slots >= N).nonzero().squeeze(1)
    cached = torch.stack(logits, dim=1)
    torch.testing.assert_close(cached, full[:, sampled - 1], rtol=0, atol=1e-5)
    assert full.std() > 0.05  # the tolerance is small against what is compared


def test_every_slot_holds_only_what_it_may(model: DuplexModel) -> None:
    blocks = run(model, list(range(8)), Sampling(5.0)).reshape(8, BLOCKS, 25)  # hot: everything allowed comes
    text = blocks[:, :, N : N + M]
    states = list(vocabulary(model).state.values())
    assert (vocabulary(model).is_text(text) | np.isin(text, states)).all()
    assert vocabulary(model).is_audio(blocks[:, :, N + M :]).all()
    assert (blocks[:, :, :N] == vocabulary(model).audio_ids(np.stack([user_codes(d) for d in range(8)]))).all()


def test_a_dialogue_says_in_a_batch_what_it_says_alone(model: DuplexModel) -> None:
    together = run(model, list(range(8)))
    for dialogue in (0, 3, 7):
        assert (run(model, [dialogue])[0] == together[dialogue]).all()


def test_only_seed_and_id_decide_what_is_drawn(model: DuplexModel) -> None:
    first = run(model, [1])
    torch.manual_seed(5)
    assert (run(model, [1]) == first).all()
    assert (run(model, [1], Sampling(seed=1)) != first).any()
    assert (run(model, [1], Sampling(0.0)) == run(model, [1], Sampling(0.0, seed=1))).all()


def test_choices_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.0, 0.3, 0.2]])).expand(20_000, 4)
    uniforms = torch.from_numpy(generator(0, "choices", "test").random(20_000))
    shares = torch.bincount(choose(logits, Sampling(1.0), uniforms), minlength=4) / 20_000
    assert shares.tolist() == pytest.approx([0.5, 0, 0.3, 0.2], abs=0.015)
    sharper = torch.bincount(choose(logits, Sampling(0.5), uniforms), minlength=4) / 20_000
    squares = np.square([0.5, 0, 0.3, 0.2])
    assert sharper.tolist() == pytest.approx(squares / squares.sum(), abs=0.015)


def test_choices_at_the_ends_of_the_unit_interval() -> None:
    logits = torch.log(torch.tensor([[0.0, 0.4, 0.6, 0.0]])).expand(2, 4)
    assert choose(logits, Sampling(1.0), torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)).tolist() == [1, 2]


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=8),
    st.floats(0.001, 1.0),
    st.floats(0, 1, exclude_max=True),
)
def test_only_the_likeliest_are_chosen(scores: list[int], top_p: float, uniform: float) -> None:
    """Of ids that are equally likely, the first ones."""
    logits, uniforms = torch.tensor([scores], dtype=torch.float32), torch.tensor([uniform], dtype=torch.float64)
    probabilities = torch.softmax(logits[0].double(), dim=0).tolist()
    order = sorted(range(len(scores)), key=lambda id_: -probabilities[id_])
    before = [sum(probabilities[id_] for id_ in order[:place]) for place in range(len(order))]
    assume(all(abs(mass - top_p) > 1e-9 for mass in before))
    nucleus = {id_ for id_, mass in zip(order, before, strict=True) if mass < top_p} | {order[0]}
    chosen = int(choose(logits, Sampling(1.0, top_p=top_p), uniforms))
    assert chosen in nucleus
    allowed = torch.full_like(logits, -torch.inf)
    allowed[0, list(nucleus)] = logits[0, list(nucleus)]
    ends = torch.softmax(allowed[0].double(), dim=0).cumsum(dim=0).tolist()
    assume(all(abs(end - uniform) > 1e-9 for end in ends))  # else rounding decides
    assert chosen == int(choose(allowed, Sampling(1.0), uniforms)), "in their proportions"


def test_a_small_top_p_takes_the_likeliest(model: DuplexModel) -> None:
    assert (run(model, [1], Sampling(5.0, top_p=1e-9)) == run(model, [1], Sampling(0.0))).all()
    assert (run(model, [1], Sampling(5.0, top_p=1.0)) == run(model, [1], Sampling(5.0))).all()


def test_a_dialogue_longer_than_the_model_is_refused_before_it_starts(model: DuplexModel) -> None:
    check_length(model, 60)
    with pytest.raises(UserError, match=r"48\.8 s takes 1525 positions and the model has 1500, enough for 48\.0 s"):
        check_length(model, 61)


def test_a_model_that_gives_no_numbers_is_refused(model: DuplexModel) -> None:
    stream = mode_of(model.format).stream(model, ["a"])
    hook = model.network.lm_head.register_forward_hook(lambda module, given, logits: torch.full_like(logits, torch.nan))
    with pytest.raises(UserError, match="not finite"):
        stream.step(user_codes(0)[np.newaxis, :1])
    hook.remove()
