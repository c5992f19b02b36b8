"""The losses, compared with the paper's equations in float64."""

import math

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from duplexgen.training.batch import make_batch
from duplexgen.training.data import Row
from duplexgen.training.models.start import start_from_config
from duplexgen.training.objectives.losses import (
    count_by_kind,
    dpo_losses,
    log_likelihoods,
    make_targets,
    scale_by_kind,
    sums_by_kind,
    token_losses,
    weight_by_kind,
    weighted_loss,
)
from duplexgen.training.recipe import Weights
from duplexgen.training.sequences import SequenceFormat
from tests.training.conftest import TINY

N, M = 10, 5


@pytest.fixture(scope="module")
def sequence_format(data_sets):
    return SequenceFormat.read(data_sets("turn_taking").path)


@pytest.fixture(scope="module")
def sequences(data_sets):
    """Two real sequences of different lengths."""
    rows = sorted(data_sets("turn_taking").rows(["input_ids"]), key=lambda row: len(row["input_ids"]))
    return [rows[0]["input_ids"], rows[-1]["input_ids"]]


@pytest.fixture
def network(sequence_format) -> PreTrainedModel:
    return start_from_config(TINY, sequence_format, seed=3)


def batch(sequences, sequence_format):
    arrays = [np.array(sequence, np.int32) for sequence in sequences]
    return make_batch(arrays, [()] * len(arrays), sequence_format, torch.device("cpu"))


def by_hand(logits, sequence, state, weights):
    """Equation 4 and the weights of equation 5, position by position, in float64: [(weight, loss)]."""
    omega = {
        state["silence"]: weights.silence,
        state["assistant"]: weights.assistant,
        state["pad"]: weights.pad,
        state["epad"]: weights.epad,
    }
    terms = []
    for position, id_ in enumerate(sequence):
        slot = position % (2 * N + M)
        if slot < N:  # the user's
            continue
        scores = logits[position - 1].astype(np.float64)
        loss = np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[id_]
        terms.append((omega.get(id_, weights.text) if slot < N + M else weights.audio, loss))
    return terms


@pytest.mark.parametrize("weights", [Weights(), Weights(silence=1, assistant=1, epad=1), Weights(audio=0.3, pad=2)])
def test_sft_loss_is_equation_5(network, sequence_format, sequences, weights):
    padded = batch(sequences, sequence_format)
    targets = make_targets(padded, sequence_format)
    losses = token_losses(network, padded, targets)
    rows = [Row(0, "", (np.array(sequence, np.int32),)) for sequence in sequences]
    counts = count_by_kind(rows, sequence_format)
    scale = scale_by_kind(weight_by_kind(weights, sequence_format), counts, "by_weight")
    loss = weighted_loss(losses, targets, scale)

    logits = network(padded.ids[..., 0]).logits.detach().numpy()
    terms = [
        term
        for row, sequence in enumerate(sequences)
        for term in by_hand(logits[row], sequence, sequence_format.vocabulary.state, weights)
    ]
    expected = sum(weight * loss for weight, loss in terms) / sum(weight for weight, _ in terms)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_log_likelihoods_and_dpo_are_equation_7(network, sequence_format, sequences):
    padded = batch(sequences, sequence_format)
    targets = make_targets(padded, sequence_format)
    likelihoods = log_likelihoods(token_losses(network, padded, targets), targets)
    logits = network(padded.ids[..., 0]).logits.detach().numpy()
    weights = Weights()
    expected = [
        -sum(loss for _, loss in by_hand(logits[row], sequence, sequence_format.vocabulary.state, weights))
        for row, sequence in enumerate(sequences)
    ]
    assert likelihoods.tolist() == pytest.approx(expected, rel=1e-5)

    rng = np.random.default_rng(0)
    policy, reference = rng.normal(-900, 5, (2, 6)), rng.normal(-900, 5, (2, 6))
    for beta in (0.1, 0.5):
        losses, margins = dpo_losses(torch.tensor(policy), torch.tensor(reference), beta)
        for pair in range(6):
            margin = beta * ((policy[0, pair] - reference[0, pair]) - (policy[1, pair] - reference[1, pair]))
            assert float(margins[pair]) == pytest.approx(margin)
            assert float(losses[pair]) == pytest.approx(-math.log(1 / (1 + math.exp(-margin))), rel=1e-9)


def test_user_positions_get_no_gradient(sequence_format, sequences):
    padded = batch(sequences, sequence_format)
    ids = padded.ids[..., 0]
    targets = make_targets(padded, sequence_format)
    slots = targets.positions % (2 * N + M)
    assert slots.min() == N
    assert len(targets.positions) == ids.shape[1] * (N + M) // (2 * N + M)

    logits = torch.randn(*ids.shape, sequence_format.size, requires_grad=True)

    class Fixed(torch.nn.Module):
        def get_output_embeddings(self):
            return torch.nn.Linear(1, sequence_format.size)

        def forward(self, input_ids, logits_to_keep, use_cache):
            return type("Output", (), {"logits": logits[:, logits_to_keep]})

    scale = weight_by_kind(Weights(), sequence_format)
    weighted_loss(token_losses(Fixed(), padded, targets), targets, scale).backward()
    touched = logits.grad.abs().sum(dim=2) > 0  # at the position before the one predicted
    position = torch.arange(ids.shape[1])
    predicts_user = (position + 1) % (2 * N + M) < N
    assert not touched[:, predicts_user].any()
    shorter = len(sequences[0])
    assert touched[0, : shorter - 1][~predicts_user[: shorter - 1]].all()
    assert not touched[0, shorter - 1 :].any(), "padding has no loss"


def test_sums_by_kind_tell_the_kinds_apart(network, sequence_format, sequences):
    padded = batch(sequences, sequence_format)
    targets = make_targets(padded, sequence_format)
    losses = token_losses(network, padded, targets)
    sums = sums_by_kind(losses, targets, len(sequence_format.kinds))
    logits = network(padded.ids[..., 0]).logits.detach().numpy()
    state = sequence_format.vocabulary.state
    for kind, column in zip(sequence_format.kinds, sums.T.tolist(), strict=True):
        expected = [
            loss
            for row, sequence in enumerate(sequences)
            for (_, loss), (position, id_) in zip(
                by_hand(logits[row], sequence, state, Weights()),
                [(p, i) for p, i in enumerate(sequence) if p % 25 >= N],
                strict=True,
            )
            if kind == next((name for name in state if state[name] == id_), "text" if position % 25 < 15 else "audio")
        ]
        assert column[1] == len(expected)
        assert column[0] == pytest.approx(sum(expected), rel=1e-4, abs=1e-6)
