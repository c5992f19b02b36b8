"""How much memory and time a training takes, reckoned before it starts.

Bytes on one of D devices, for W weights of which T are trained, in fp32 (e = 4 bytes per number that is computed) or in
bf16 (e = 2). A divided model (`sharded`) has T / D where another one has T.

    weights        4 T, and e for each weight that `lora` leaves as it is
    gradients      4 T
    AdamW          8 T: the means of gradients and of their squares
    working copies bf16 that is not divided: 2 T, because autocast keeps a copy of each weight that is trained.
                   Divided: what is put together at a time, e per weight of two layers and of all that is no layer
                   (embedding, head, depth transformer), and the gradients of the largest of these, e + 4 per weight
    activations    per position and layer, what its gradients need: 2 · hidden · (4 + f + e) of its norms, of what is
                   normed, normed and scaled (f = 2 if what flows between layers is bf16: divided, or with `lora`; else
                   4), 2 · e · (queries + keys) of attention, and 4 · e · inner of its gated MLP. Under
                   gradient_checkpointing, that of one layer, computed once more, and f · hidden of each
    logits         (12 + e) per id of the head and position: the logits, and in fp32 they, their softmax, and its
                   gradients; of as many positions as heads.py computes at once. The same per code and codebook of
                   streams

What CUDA and its libraries take for themselves, some GB, is not in it.

Bytes of a machine's own memory while a model is loaded, in fp32: 4 W for each process on the machine. If the model is
divided, 4 W for the first process alone, which gives the others their parts. At the end the first process holds 4 W
again, to write the trained model.

Operations: a weight takes 2 per position forward, 2 for gradients of what flows, and 2 for its own, if it is trained;
gradient_checkpointing takes the first 2 twice. Attention takes 4 · layers · queries · (length / 2) per position
forward, and twice as many backward.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from .models.heads import LOGITS_BYTES
from .models.streams import StreamsForCausalLM
from .recipe import Common

FP32, BF16 = 4, 2  # bytes
LOSS_COPIES = 3  # tensors as large as the logits, in fp32


@dataclass(frozen=True)
class Stack:
    """Layers of one shape: attention, then a gated MLP."""

    layers: int
    hidden: int
    queries: int  # of all heads
    keys: int
    inner: int  # of the MLP
    steps: int = 1  # how often it runs per position: once per codebook in a depth transformer

    def kept(self, compute: int, flow: int) -> int:
        """Bytes that one layer keeps per position for its gradients. compute, flow: bytes per number."""
        norms = 2 * self.hidden * (FP32 + flow + compute)
        attention = 2 * compute * (self.queries + self.keys)
        mlp = 4 * compute * self.inner
        return self.steps * (norms + attention + mlp)

    def flow(self, flow: int) -> int:
        """Bytes between layers, per position and layer."""
        return self.steps * flow * self.hidden


@dataclass(frozen=True)
class Sizes:
    """What memory and time follow from."""

    weights: int
    trained: int
    layer: int  # weights of the largest part that is put together at a time
    rest: int  # weights of what is no layer
    embedding: int  # weights that are only looked up
    largest: int  # weights of a layer, of the embedding or of the head
    head: int  # ids
    codes: int  # of all codebooks of a column; 0: no streams
    stacks: tuple[Stack, ...]

    @classmethod
    def of(cls, network: PreTrainedModel) -> "Sizes":
        """Sizes of a network, which may be one without memory, on the device `meta`."""
        config: Any = network.config.get_text_config()
        names = set(network._no_split_modules or ())
        layers = [_count(module) for module in network.modules() if type(module).__name__ in names]
        embedding: Any = network.get_input_embeddings()
        weights, table = _count(network), embedding.weight.numel()
        tied = bool(config.tie_word_embeddings)
        depth = network.depth.shape if isinstance(network, StreamsForCausalLM) else None
        return cls(
            weights=weights,
            trained=sum(weight.numel() for weight in network.parameters() if weight.requires_grad),
            layer=max(layers, default=weights),
            rest=weights - sum(layers),
            embedding=0 if tied else table,
            largest=max([table, *layers]),
            head=embedding.weight.shape[0],
            codes=depth.codebooks * depth.codes if depth else 0,
            stacks=tuple(_stacks(config, network)),
        )


def _stacks(config: Any, network: PreTrainedModel) -> Iterator[Stack]:
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    keys = getattr(config, "num_key_value_heads", None) or heads
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    yield Stack(config.num_hidden_layers, config.hidden_size, heads * size, keys * size, inner)
    if isinstance(network, StreamsForCausalLM):
        shape = network.depth.shape
        sizes = (shape.hidden_size, shape.hidden_size, shape.hidden_size, shape.mlp_size)
        yield Stack(shape.num_layers, *sizes, steps=shape.codebooks)


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@dataclass(frozen=True)
class Memory:
    """Bytes on one device."""

    weights: float
    gradients: float
    optimizer: float
    copies: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return float(sum(vars(self).values()))


def memory(sizes: Sizes, recipe: Common, longest: int, devices: int, sides: int = 1) -> Memory:
    """The most that one of so many devices needs. longest: positions of a row. sides: sequences per row."""
    settings = recipe.optimization
    half = settings.precision == "bf16"
    divided = settings.sharded and devices > 1
    compute = BF16 if half else FP32
    flow = BF16 if half and (divided or recipe.lora) else FP32
    parts = devices if divided else 1
    frozen = sizes.weights - sizes.trained
    positions = settings.micro_batch_size * sides * longest
    of_layers = sum(stack.layers * stack.flow(flow) for stack in sizes.stacks)
    kept = [
        (1 if settings.gradient_checkpointing else stack.layers) * stack.kept(compute, flow) for stack in sizes.stacks
    ]
    at_once = min(positions, max(1, LOGITS_BYTES // (FP32 * sizes.head)))
    return Memory(
        weights=FP32 * sizes.trained / parts + compute * frozen,
        gradients=FP32 * sizes.trained / parts,
        optimizer=2 * FP32 * sizes.trained / parts,
        copies=_copies(sizes, compute, divided),
        activations=positions * (of_layers + max(kept) if settings.gradient_checkpointing else sum(kept)),
        logits=(LOSS_COPIES * FP32 + compute) * (at_once * sizes.head + positions * sizes.codes),
    )


def loading(sizes: Sizes, recipe: Common, processes: int) -> int:
    """Bytes of a machine's own memory that loading takes, if each of so many processes on it has a GPU."""
    return FP32 * sizes.weights * (1 if recipe.optimization.sharded else processes)


def _copies(sizes: Sizes, compute: int, divided: bool) -> int:
    if divided:
        return compute * (2 * sizes.layer + sizes.rest) + (compute + FP32) * sizes.largest
    return BF16 * sizes.trained if compute == BF16 else 0


def operations(sizes: Sizes, recipe: Common, positions: int, mean_length: float) -> float:
    """Floating-point operations of so many positions, in rows of this length."""
    forward = 2.0 * (sizes.weights - sizes.embedding)
    attention = sum(4 * stack.layers * stack.queries * stack.steps for stack in sizes.stacks[:1]) * mean_length / 2
    own = 2.0 * min(sizes.trained, sizes.weights - sizes.embedding)
    passes = 3 if recipe.optimization.gradient_checkpointing else 2
    return positions * (passes * forward + own + (passes + 1) * attention)
