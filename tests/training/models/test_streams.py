"""A model of parallel streams: equation 1, steps with a cache, packs, what runs and what gets gradients, its files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from duplexgen.pipeline.errors import UserError
from duplexgen.training.models.networks import check_fits
from duplexgen.training.models.start import start_from_config
from duplexgen.training.models.streams import StreamsForCausalLM, check_packing
from duplexgen.training.recipe import Depth
from tests.layouts.streams import flm, moshi
from tests.training.streams import BACKBONE, DEPTH, LLAMA, format_of, ids_of, network_of

MOSHI: dict[str, Any] = {"text_size": 207, "weights": "all", "final_norm": False, "norm_eps": 1e-8}
GEMMA: dict[str, Any] = {"model_type": "gemma2", "head_dim": 16, "num_key_value_heads": 1, "sliding_window": 4}
BACKBONES: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "tied": LLAMA | {"tie_word_embeddings": True},
    "qwen3": BACKBONE | {"model_type": "qwen3", "head_dim": 16, "num_key_value_heads": 1},
    "gemma2": BACKBONE | GEMMA,  # a window, and capped logits
    "granite": BACKBONE | {"model_type": "granite", "logits_scaling": 3.0},
    "gpt2": BACKBONE | {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2},
}
OPT = BACKBONE | {"model_type": "opt", "ffn_dim": 48, "word_embed_proj_dim": 16}  # its head reads no hidden_size


def tensor(seed: int, frames: int = 14, rows: int = 2) -> Tensor:
    """Ids of rows of flm, [rows, T, S]."""
    return torch.stack([torch.from_numpy(ids_of(flm(), frames, seed + row)).long() for row in range(rows)])


def test_the_embeddings_of_all_streams_are_summed() -> None:
    network, ids = network_of(flm()), tensor(0)
    tables = [network.get_input_embeddings(), *network.audio]
    assert len(tables) == 5
    embedded = torch.stack([table(ids[..., stream]) for stream, table in enumerate(tables)])
    torch.testing.assert_close(network.embed(ids), embedded.sum(dim=0))


@pytest.mark.parametrize("backbone", [*BACKBONES.values(), OPT], ids=[*BACKBONES, "opt"])
def test_steps_with_a_cache_give_what_the_whole_pass_gives(backbone: dict[str, Any]) -> None:
    network, ids = network_of(flm(), backbone), tensor(0)
    whole = network(ids)
    hidden, logits, cache = [], [], None
    for column in range(ids.shape[1]):
        step = network(ids[:, column : column + 1], past_key_values=cache, use_cache=True)
        cache = step.past_key_values
        hidden.append(step.hidden)
        logits.append(step.text_logits)
    torch.testing.assert_close(torch.cat(hidden, dim=1), whole.hidden, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.cat(logits, dim=1), whole.text_logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_the_head_gives_the_text_from_the_hidden_state(backbone: dict[str, Any]) -> None:
    """The depth model reads what the head reads, whatever the class does behind its head."""
    network, ids = network_of(flm(), backbone), tensor(0)
    output = network(ids)
    plain = network.backbone(inputs_embeds=network.embed(ids), output_hidden_states=True)
    torch.testing.assert_close(output.hidden, plain.hidden_states[-1])
    torch.testing.assert_close(output.text_logits, plain.logits)


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_rows_of_a_pack_do_not_see_each_other(backbone: dict[str, Any]) -> None:
    network = network_of(flm(), backbone)
    first, second = tensor(0, 12, rows=1), tensor(7, 9, rows=1)
    positions = torch.cat([torch.arange(first.shape[1]), torch.arange(second.shape[1])])[None]
    packed = network(torch.cat([first, second], dim=1), position_ids=positions).hidden
    apart = torch.cat([network(first).hidden, network(second).hidden], dim=1)
    torch.testing.assert_close(packed, apart, atol=1e-5, rtol=1e-4)
    check_packing(network)


def test_a_class_that_lets_rows_of_a_pack_see_each_other_is_refused() -> None:
    with pytest.raises(UserError, match=r"see each other in the model's class, OPTForCausalLM"):
        check_packing(network_of(flm(), OPT))


def test_the_depth_transformer_runs_over_columns_to_learn_alone() -> None:
    network, ids = network_of(flm()).train(), tensor(0)
    seen: list[int] = []
    network.depth.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    targets = torch.tensor([2, 5, 6])
    speaks = torch.tensor([[True, False, True], [False, False, True]])
    losses = network(ids, targets, speaks).losses
    assert seen == [3]
    assert losses.shape == (2, 3, 3)
    assert ((losses[..., 1:] != 0).all(dim=2) == speaks).all()
    everywhere = network(ids, targets, torch.ones_like(speaks)).losses
    torch.testing.assert_close(
        losses, everywhere * torch.cat([torch.ones(2, 3, 1), speaks[..., None].expand(2, 3, 2)], 2)
    )


def test_a_device_with_nothing_to_speak_has_gradients_to_share() -> None:
    """Several devices wait for the gradient of each weight."""
    network, ids = network_of(flm()).train(), tensor(0)
    targets = torch.tensor([2, 5])
    network(ids, targets, torch.zeros(2, 2, dtype=torch.bool)).losses.sum().backward()
    of_depth = [weight.grad for weight in network.depth.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in of_depth)
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_recomputed_activations_give_the_same_gradients(backbone: dict[str, Any]) -> None:
    network, ids = network_of(flm(), backbone).train(), tensor(0)
    targets, found = torch.arange(1, ids.shape[1]), []
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for recomputed in (False, True):
        if recomputed:
            network.gradient_checkpointing_enable()
            assert network.depth.gradient_checkpointing
        network.zero_grad()
        network(ids, targets, torch.ones(2, len(targets), dtype=torch.bool)).losses.mean().backward()
        found.append({name: weight.grad for name, weight in network.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, msg=name)


@pytest.mark.parametrize("tied", [False, True])
def test_a_saved_model_is_the_one_that_is_loaded(tmp_path: Path, tied: bool) -> None:
    network, ids = network_of(moshi(), LLAMA | {"tie_word_embeddings": tied}, **MOSHI), tensor(0)
    network.save_pretrained(tmp_path)
    from_pretrained: Any = AutoModelForCausalLM.from_pretrained
    loaded, info = from_pretrained(tmp_path, trust_remote_code=False, output_loading_info=True)
    assert not any(info.values())
    assert loaded.depth.shape == network.depth.shape
    assert torch.equal(loaded(ids).text_logits, network(ids).text_logits)
    half = from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}
    codes = half.depth.generate(half(ids).hidden[:, -1], ids[:, -1, 0], lambda logits, _: logits.argmax(-1))
    assert codes.shape == (2, 2)


@pytest.mark.parametrize("tied", [False, True])
def test_a_model_around_a_backbone_leaves_it_as_it_is(tied: bool) -> None:
    torch.manual_seed(5)
    config = AutoConfig.for_model(**LLAMA, vocab_size=207, tie_word_embeddings=tied)
    from_config: Any = AutoModelForCausalLM.from_config
    backbone = from_config(config)
    backbone.resize_token_embeddings(220)
    before = {name: weight.clone() for name, weight in backbone.state_dict().items()}
    network = StreamsForCausalLM.around(backbone, dict(network_of(flm()).config.depth))
    assert all(torch.equal(weight, before[name]) for name, weight in network.backbone.state_dict().items())
    own = [weight for name, weight in network.named_parameters() if not name.startswith("backbone.")]
    assert all(weight.device.type == "cpu" and weight.isfinite().all() for weight in own)
    state = network.state_dict()
    for name in ("audio.0.weight", "audio.3.weight", "depth.heads.weight"):
        assert state[name].std().item() == pytest.approx(0.02, rel=0.15), name
    assert (state["depth.norm.weight"] == 1).all()


def test_a_model_from_a_configuration_fits_the_vocabulary() -> None:
    network = start_from_config(LLAMA, format_of(moshi()), seed=1, depth=Depth(**DEPTH, reads_text=True, weights="all"))
    assert isinstance(network, StreamsForCausalLM)
    shape = network.depth.shape
    assert (shape.codebooks, shape.codes, shape.audio_size, shape.text_size) == (2, 100, 101, 207)
    assert network.config.get_text_config().pad_token_id == 206
    check_fits(network, format_of(moshi()), "here")


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        (flm(codebooks=3), "reads 5 ids per position, and the layout has 7"),
        (flm(), "101 rows for codes and 207 for text, and the vocabulary has 102 and 207"),
    ],
)
def test_data_of_another_shape_are_refused(layout: Any, says: str) -> None:
    network = start_from_config(LLAMA, format_of(moshi()), seed=1, depth=Depth(**DEPTH))
    with pytest.raises(UserError, match=says):
        check_fits(network, format_of(layout), "here")


def test_a_model_of_one_stream_is_refused() -> None:
    from_config: Any = AutoModelForCausalLM.from_config
    network = from_config(AutoConfig.for_model(**LLAMA, vocab_size=300))
    with pytest.raises(UserError, match="reads 1 ids per position, and the layout has 5"):
        check_fits(network, format_of(flm()), "here")
