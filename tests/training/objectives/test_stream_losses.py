"""Losses over parallel streams, compared with the papers' equations in float64, cell by cell."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.layouts.streams import Streams
from duplexgen.pipeline.recipe.file import load
from duplexgen.training.batch import make_batch
from duplexgen.training.data import Row
from duplexgen.training.models.streams import StreamsForCausalLM
from duplexgen.training.objectives.dpo import DPO
from duplexgen.training.objectives.losses import make_targets, token_losses
from duplexgen.training.objectives.sft import SFT
from duplexgen.training.recipe import TRAINING_RECIPES, DPORecipe, SFTRecipe
from tests.layouts.streams import AUDIO_PAD, CODES, EPAD, PAD, WAIT, flm, moshi
from tests.training.streams import LLAMA, format_of, ids_of, network_of

CPU = torch.device("cpu")
MOSHI: dict[str, Any] = {"text_size": 207, "weights": "all", "final_norm": False, "norm_eps": 1e-8}
OF_MOSHI = {"semantic": 100, "acoustic": 1, "pad": 0.5, "epad": 0.5}
Cell = tuple[str, float]  # its kind, and its ℓ


def sft_of(layout: Streams, **keys: Any) -> SFT:
    recipe = {"name": "test", "model": {"config": LLAMA}, "data": ["x"]}
    optimization = {"learning_rate": 1e-3, "steps": 1}
    return SFT(SFTRecipe.model_validate(recipe | {"optimization": optimization} | keys), format_of(layout), CPU)


def rows_of(layout: Streams, *frames: int) -> list[Row]:
    return [Row(number, "", (ids_of(layout, count, number),)) for number, count in enumerate(frames)]


def minus_log_softmax(logits: Tensor, id_: int) -> float:
    scores = logits.detach().double().numpy()
    return float(np.log(np.exp(scores - scores.max()).sum()) + scores.max() - scores[id_])


def cells(network: StreamsForCausalLM, ids: NDArray[np.int32], codebooks: int) -> list[Cell]:
    """What a row's cells cost, one after another: the kinds follow from the ids alone."""
    found: list[Cell] = []
    whole = network(torch.from_numpy(ids).long()[None])
    special = {WAIT: "wait", PAD: "pad", EPAD: "epad"}
    for column in range(1, len(ids)):
        text, *codes = ids[column, : 1 + codebooks].tolist()
        found.append((special.get(text, "text"), minus_log_softmax(whole.text_logits[0, column - 1], text)))
        logits = network.depth(whole.hidden[:, column - 1], torch.tensor([codes]), torch.tensor([text]))[0]
        for codebook, code in enumerate(codes):
            if code != AUDIO_PAD:
                kind = "acoustic" if codebook else "semantic"
                found.append((kind, minus_log_softmax(logits[codebook], code)))
    return found


def expected_loss(found: Sequence[Cell], weights: dict[str, float], normalize: str) -> float:
    if normalize == "by_weight":
        return sum(weights[kind] * loss for kind, loss in found) / sum(weights[kind] for kind, _ in found)
    terms = 0.0
    for kind, weight in weights.items():
        if losses := [loss for own, loss in found if own == kind]:
            terms += weight * sum(losses) / len(losses)
    return terms


def loss_of(objective: SFT, network: StreamsForCausalLM, rows: Sequence[Row], micro: int) -> Tensor:
    totals = objective.totals(rows)
    micros = [rows[start : start + micro] for start in range(0, len(rows), micro)]
    return torch.stack([objective.loss(network, part, totals)[0] for part in micros]).sum()


def outputs_of(module: torch.nn.Module) -> list[Any]:
    """What a module gives from now on, with its gradient after a backward pass."""
    seen: list[Any] = []

    def keep(_: torch.nn.Module, __: Any, output: Tensor) -> None:
        output.retain_grad()
        seen.append(output)

    module.register_forward_hook(keep)
    return seen


@pytest.mark.parametrize("normalize", ["by_kind", "by_weight"])
@pytest.mark.parametrize("codebooks", [1, 2, 3])
@pytest.mark.parametrize("delay", [0, 1, 2])
def test_flms_loss_is_equation_3(normalize: str, codebooks: int, delay: int) -> None:
    """With the paper's weights, and also as a mean that weighs each cell."""
    layout = flm(codebooks=codebooks, delay=delay)
    network, rows = network_of(layout), rows_of(layout, 14, 9, 20)
    found = [cell for row in rows for cell in cells(network, row.sequences[0], codebooks)]
    weights = {"text": 1.0, "wait": 0.01, "semantic": 1.0, "acoustic": 0.5}
    objective = sft_of(layout, normalize=normalize)
    expected = expected_loss(found, weights, normalize)
    for micro in (1, 2, 3):
        assert loss_of(objective, network, rows, micro).item() == pytest.approx(expected, rel=1e-5)


def test_moshis_loss_is_its_authors() -> None:
    """Their weights are 100 for codebook 0, and half for [PAD] and [EPAD]; and the loss is Σ ω ℓ / Σ ω."""
    layout = moshi()
    network, rows = network_of(layout, **MOSHI), rows_of(layout, 14, 20)
    found = [cell for row in rows for cell in cells(network, row.sequences[0], 2)]
    assert {kind for kind, _ in found} == {"text", "pad", "epad", "semantic", "acoustic"}
    expected = expected_loss(found, OF_MOSHI | {"text": 1.0}, "by_weight")
    assert loss_of(sft_of(layout, weights=OF_MOSHI), network, rows, 1).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("left_out", OF_MOSHI)
def test_a_weight_that_no_paper_means_for_a_layout_has_to_be_said(left_out: str) -> None:
    """Moshi's [EPAD] is not BayLing-Duplex's, which weighs 10, and its codebooks are not weighed as FLM-Audio's."""
    said = {kind: weight for kind, weight in OF_MOSHI.items() if kind != left_out}
    with pytest.raises(UserError, match=rf"the recipe has no weights of {left_out}: .* has the layout moshi\."):
        sft_of(moshi(), weights=said)
    with pytest.raises(UserError, match="no weights of acoustic, epad, pad, semantic: "):
        sft_of(moshi())
    sft_of(flm())


def test_the_recipe_that_ships_for_moshi_has_its_authors_loss() -> None:
    recipe, _ = load("moshi_sft_small", SFTRecipe, TRAINING_RECIPES)
    objective = SFT(recipe, format_of(moshi()), CPU)
    by_kind = dict(zip(moshi().KINDS, objective.by_kind.tolist(), strict=True))
    assert by_kind == OF_MOSHI | {"text": 1, "user": 0, "empty": 0}
    depth = recipe.model.depth
    assert depth is not None and recipe.normalize == "by_weight"
    assert (depth.reads_text, depth.weights, depth.final_norm, depth.norm_eps) == (True, "all", False, 1e-8)


def test_figures_are_the_means_of_each_kind() -> None:
    layout = flm()
    network, rows = network_of(layout), rows_of(layout, 14, 9)
    objective = sft_of(layout)
    sums, counts = objective.loss(network, [*rows, None], objective.totals(rows))[1].tolist()
    found = [cell for row in rows for cell in cells(network, row.sequences[0], 2)]
    for name, total, count in zip(objective.names, sums, counts, strict=True):
        losses = [loss for kind, loss in found if kind == name]
        assert count == len(losses), name
        assert total == pytest.approx(sum(losses), rel=1e-4), name


@pytest.mark.parametrize("format_", ["asr", "tts"])
@pytest.mark.parametrize("normalize", ["by_kind", "by_weight"])
def test_a_kind_without_cells_adds_nothing(normalize: str, format_: Any) -> None:
    """Of a batch of ASR style nothing is spoken; and a device may have no rows at all."""
    layout = flm(format_)
    row = ids_of(flm(), 14, 1)
    row[:, 1:3] = AUDIO_PAD if format_ == "asr" else row[:, 1:3]
    network, rows = network_of(layout), [Row(0, "", (row,))]
    found = cells(network, row, 2)
    assert ("semantic" in {kind for kind, _ in found}) == (format_ == "tts")
    objective = sft_of(layout, normalize=normalize)
    weights = {"text": 1.0, "wait": 0.01, "semantic": 1.0, "acoustic": 0.5}
    expected = expected_loss(found, weights, normalize)
    assert loss_of(objective, network, rows, 1).item() == pytest.approx(expected, rel=1e-5)
    nothing, sums = objective.loss(network, [None, None], objective.totals(rows))
    assert nothing.item() == 0 and not sums.any()
    nothing.backward()


@pytest.mark.parametrize("normalize", ["by_kind", "by_weight"])
def test_a_pack_costs_what_its_rows_cost_apart(normalize: str) -> None:
    """Loss and gradients, beside a shorter pack that is padded."""
    layout = flm()
    network, rows = network_of(layout), rows_of(layout, 14, 9, 20, 6)
    packs = [
        Row(number, "", (np.concatenate(own),), tuple(map(len, own)))
        for number, own in enumerate([[row.sequences[0] for row in part] for part in (rows[:3], rows[3:])])
    ]
    objective = sft_of(layout, normalize=normalize)
    assert torch.equal(objective.totals(packs), objective.totals(rows))
    found = []
    for sequences in (rows, packs):
        network.zero_grad()
        loss = loss_of(objective, network, sequences, 2)
        loss.backward()
        found.append((loss.item(), [weight.grad for weight in network.parameters()]))
    (apart, gradients), (packed, of_packs) = found
    assert packed == pytest.approx(apart, rel=1e-6)
    for one, other in zip(gradients, of_packs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_what_the_model_hears_or_does_not_say_gets_no_gradient() -> None:
    """Logits predict text and speak codes from column 1 on, and learn nothing where there is no code or padding."""
    layout = flm(delay=2)
    network, rows, objective = network_of(layout), rows_of(layout, 14, 9), sft_of(layout)
    seen = [outputs_of(module) for module in (network.get_output_embeddings(), network.depth)]
    loss_of(objective, network, rows, 2).backward()
    has_text, has_code = (logits.grad.any(dim=-1) for (logits,) in seen)
    lengths = [len(row.sequences[0]) for row in rows]
    assert lengths == [17, 12]
    assert torch.equal(has_text, torch.arange(1, 17) < torch.tensor(lengths)[:, None]), "the second row is padded"
    spoken = np.concatenate([row.sequences[0][1:, 1:3] != AUDIO_PAD for row in rows])
    assert spoken[:, 0].all() and (~spoken[:, 1]).sum() == 4, "the second codebook starts two columns later"
    assert torch.equal(has_code, torch.from_numpy(spoken))


@pytest.mark.parametrize(("column", "counts"), [(-1, False), (-2, True), (0, True)])
def test_what_is_heard_counts_for_what_is_said_after_it(column: int, counts: bool) -> None:
    layout = flm()
    network, rows, objective = network_of(layout), rows_of(layout, 14), sft_of(layout)
    loss = loss_of(objective, network, rows, 1)
    rows[0].sequences[0][column, 3:] = (rows[0].sequences[0][column, 3:] + 1) % CODES
    assert (loss_of(objective, network, rows, 1).item() != loss.item()) == counts


def test_log_likelihoods_of_pairs_are_sums_over_what_is_said() -> None:
    """Equation 7, with log π of text and codes together; weights do not shape it."""
    layout = flm()
    network = network_of(layout)
    keys: dict[str, Any] = {"name": "dpo", "model": "x", "data": ["x"], "weights": {"semantic": 7}}
    recipe = DPORecipe.model_validate(keys | {"optimization": {"learning_rate": 1e-3, "steps": 1}})
    objective = DPO(recipe, format_of(layout), CPU)
    rows = [
        Row(0, "", (ids_of(layout, 14, 1), ids_of(layout, 14, 2))),
        Row(1, "", (ids_of(layout, 9, 3), ids_of(layout, 9, 4))),
    ]
    sides = [[-sum(loss for _, loss in cells(network, row.sequences[side], 2)) for row in rows] for side in (0, 1)]
    objective.reference = torch.tensor([[-90.0, -91.0], [-60.0, -70.0]])
    loss, sums = objective.loss(network, rows, objective.totals(rows))
    margins = 0.5 * ((np.array(sides[0]) - [-90, -60]) - (np.array(sides[1]) - [-91, -70]))
    dpo = np.log1p(np.exp(-margins)).mean()
    chosen = [cell for row in rows for cell in cells(network, row.sequences[0], 2)]
    ftx = expected_loss(chosen, {"text": 1.0, "wait": 0.01, "semantic": 7.0, "acoustic": 0.5}, "by_weight")
    assert loss.item() == pytest.approx(dpo + 0.5 * ftx, rel=1e-5)
    assert (sums[0] / sums[1])[objective.names.index("margin")].item() == pytest.approx(margins.mean(), rel=1e-4)


def test_losses_in_half_precision_are_near_and_in_float32() -> None:
    layout = flm()
    network, sequence_format = network_of(layout), format_of(layout)
    batch = make_batch([ids_of(layout, 14, 1)], [()], sequence_format, CPU)
    targets = make_targets(batch, sequence_format)
    whole = token_losses(network, batch, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = token_losses(network, batch, targets)
    assert half.dtype == torch.float32
    assert not torch.equal(half, whole)
    torch.testing.assert_close(half, whole, atol=0.1, rtol=0.05)
