"""What training takes, as it is reckoned, beside what torch allocates and computes."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from duplexgen.training.memory import Memory, Sizes, memory, operations
from duplexgen.training.recipe import SFTRecipe
from tests.training.objectives.test_sft import sft_recipe

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_hidden_layers": 3,
    "vocab_size": 90,
}
GLM: dict[str, Any] = LLAMA | {"model_type": "glm", "pad_token_id": 0, "eos_token_id": 0}
ROWS, LENGTH = 2, 100


def network_of(config: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    from_config: Any = AutoModelForCausalLM.from_config
    return from_config(AutoConfig.for_model(**config)).train()


def recipe_of(**optimization: Any) -> SFTRecipe:
    recipe: SFTRecipe = sft_recipe("data", micro_batch_size=ROWS, **optimization)
    return recipe


def reckoned(network: Any, devices: int = 1, **optimization: Any) -> Memory:
    return memory(Sizes.of(network), recipe_of(**optimization), LENGTH, devices)


def run(network: Any) -> Tensor:
    loss: Tensor = network(input_ids=torch.ones(ROWS, LENGTH, dtype=torch.long), use_cache=False).logits.float().mean()
    return loss


def test_weights_gradients_and_the_figures_of_adamw_are_what_torch_allocates() -> None:
    network = network_of(LLAMA)
    optimizer = torch.optim.AdamW(network.parameters())
    run(network).backward()
    optimizer.step()
    weights = list(network.parameters())
    figures = [value for state in optimizer.state.values() for value in state.values() if value.dim()]
    need = reckoned(network)
    assert need.weights == sum(weight.nbytes for weight in weights)
    assert need.gradients == sum(weight.grad.nbytes for weight in weights)
    assert need.optimizer == sum(figure.nbytes for figure in figures)


def kept_bytes(config: dict[str, Any], precision: str, flow: str, checkpointing: bool) -> int:
    """Bytes of all that a forward pass keeps for the gradients, without weights."""
    network = network_of(config).to(torch.bfloat16 if flow == "bf16" else torch.float32)
    if checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    own = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
    shapes = {
        shape for weight in network.parameters() for shape in (weight.shape, weight.shape[::-1])
    }  # of copies in bf16
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if (place := tensor.untyped_storage().data_ptr()) not in own and tensor.shape not in shapes:
            kept[place] = tensor  # it stays, so that no other tensor gets its place
        return tensor

    half = torch.autocast("cpu", torch.bfloat16, enabled=precision != flow)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), half:
        loss = run(network)
    assert loss.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("config", [LLAMA, GLM], ids=["llama", "glm"])
@pytest.mark.parametrize(("precision", "flow"), [("fp32", "fp32"), ("bf16", "bf16"), ("bf16", "fp32")])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_of_a_layer_are_about_what_torch_keeps(
    config: dict[str, Any], precision: str, flow: str, checkpointing: bool
) -> None:
    """Of further layers: what stands before and after the first is of another kind."""
    few, many = ({**config, "num_hidden_layers": layers} for layers in (1, 3))
    kept = kept_bytes(many, precision, flow, checkpointing) - kept_bytes(few, precision, flow, checkpointing)
    divided = {"sharded": True, "precision": precision} if flow == "bf16" else {"precision": precision}
    settings = divided | {"gradient_checkpointing": checkpointing}
    need = [reckoned(network_of(one), devices=2 if flow == "bf16" else 1, **settings) for one in (few, many)]
    assert need[1].activations - need[0].activations == pytest.approx(kept, rel=0.2)


def test_a_divided_model_takes_less_of_each_device() -> None:
    sizes = Sizes.of(network_of(LLAMA))
    whole, parts = (memory(sizes, recipe_of(sharded=sharded), LENGTH, 8) for sharded in (False, True))
    for name in ("weights", "gradients", "optimizer"):
        assert getattr(parts, name) == getattr(whole, name) / 8
    assert memory(sizes, recipe_of(sharded=True), LENGTH, 1) == memory(sizes, recipe_of(), LENGTH, 1)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_operations_are_those_that_torch_counts(checkpointing: bool) -> None:
    network = network_of(LLAMA)
    if checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    recipe = recipe_of(gradient_checkpointing=checkpointing)
    without_attention = operations(Sizes.of(network), recipe, ROWS * LENGTH, mean_length=0)
    # Of a layer that is computed once more, torch leaves out the last product.
    assert without_attention == pytest.approx(counted(network), rel=0.1 if checkpointing else 0.01)
    if checkpointing:
        return
    with_attention = operations(Sizes.of(network), recipe, ROWS * LENGTH, LENGTH)
    # torch does not count its attention for processors; this one it counts, of all positions, not only earlier ones.
    attention = counted(network_of(LLAMA | {"attn_implementation": "eager"})) - counted(network)
    assert 2 * (with_attention - without_attention) == pytest.approx(attention, rel=0.01)


def counted(network: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        run(network).backward()
    return int(counter.get_total_flops())
