"""The depth transformer: predicts the Q codes of one column from one hidden state, codebook by codebook.

FLM-Audio section 2.1, Moshi section 3.4.2 (arXiv 2410.00037). Its settings make it exactly one of two public models:

| | `DepthGPT` (cofe-ai/flm-audio) | the depformer of `LMModel` (kyutai-labs/moshi) |
|---|---|---|
| first input | one learned vector (the embedding of `audio_start`) | the embedding of the column's text token |
| weights per codebook | of the MLPs | of the MLPs and of attention |
| embedding of positions | yes: attention is the same for all codebooks | no: its weights tell the codebooks apart |
| norm before the heads | yes | no |

The first two are choices. Positions follow from the second. The last, `norm_eps` and the sizes are there because the
public weights are of no use without them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ..recipe import PerCodebook

Cache = list[tuple[Tensor, Tensor]]  # per block: keys and values of the codebooks so far, [N, heads, codebooks, size]


@dataclass(frozen=True)
class DepthShape:
    """Sizes and switches of a depth transformer; the defaults are those of FLM-Audio."""

    input_size: int  # H, of the hidden state
    codebooks: int  # Q
    codes: int  # that can be predicted, per codebook: rows of each head
    audio_size: int  # codes that can be read, with those that pad: rows of each embedding
    text_size: int | None = None  # rows of the embedding of text tokens; None: it does not see the text token
    weights: PerCodebook = "mlp"  # which of a block's weights each codebook has of its own
    hidden_size: int = 1024
    intermediate_size: int | None = None  # of the MLPs; None: 8/3 of hidden_size
    num_layers: int = 6
    num_heads: int = 16
    final_norm: bool = True
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"the depth model's hidden_size {self.hidden_size} is no multiple of its num_heads {self.num_heads}"
            )

    @property
    def mlp_size(self) -> int:
        return self.intermediate_size or 8 * self.hidden_size // 3


class LinearPerCodebook(nn.Module):
    """A linear layer without bias, with weights per codebook or the same for all."""

    def __init__(self, count: int, in_size: int, out_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, out_size, in_size))  # count: Q, or 1 if all share it

    def forward(self, x: Tensor, first: int) -> Tensor:
        """[N, q, in] to [N, q, out], for the codebooks first, first + 1, …"""
        if len(self.weight) == 1:
            return functional.linear(x, self.weight[0])
        return torch.einsum("nqi,qoi->nqo", x, self.weight[first : first + x.shape[1]])


class Block(nn.Module):
    """Causal attention over codebooks, then a gated MLP (SwiGLU), each on a normed input and added to it."""

    def __init__(self, shape: DepthShape) -> None:
        super().__init__()
        size = shape.hidden_size
        of_attention = shape.codebooks if shape.weights == "all" else 1
        of_mlp = 1 if shape.weights == "shared" else shape.codebooks
        self.num_heads = shape.num_heads
        self.attention_norm = nn.RMSNorm(size, eps=shape.norm_eps)
        self.query_key_value = LinearPerCodebook(of_attention, size, 3 * size)
        self.attention_out = LinearPerCodebook(of_attention, size, size)
        self.mlp_norm = nn.RMSNorm(size, eps=shape.norm_eps)
        self.gate_and_up = LinearPerCodebook(of_mlp, size, 2 * shape.mlp_size)
        self.down = LinearPerCodebook(of_mlp, shape.mlp_size, size)

    def forward(self, x: Tensor, first: int, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """x: [N, q, hidden]; returns the same shape, and keys and values of all codebooks so far."""
        mixed, keys, values = self._attend(self.attention_norm(x), first, past)
        x = x + mixed
        gate, up = self.gate_and_up(self.mlp_norm(x), first).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * up, first), keys, values

    def _attend(self, x: Tensor, first: int, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        rows, length, size = x.shape
        parts = self.query_key_value(x, first).view(rows, length, 3, self.num_heads, size // self.num_heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=length > 1)
        return self.attention_out(mixed.transpose(1, 2).reshape(rows, length, size), first), keys, values


class DepthTransformer(nn.Module):
    """Predicts the codes of a column in turn: code i from the hidden state, the text token and codes 0 … i-1."""

    gradient_checkpointing = False  # transformers sets it

    def __init__(self, shape: DepthShape) -> None:
        super().__init__()
        size, codebooks = shape.hidden_size, shape.codebooks
        self.shape = shape
        self.hidden_in = nn.Linear(shape.input_size, codebooks * size, bias=False)  # a projection per codebook
        tables = [nn.Embedding(shape.audio_size, size) for _ in range(codebooks - 1)]
        self.tables = nn.ModuleList([nn.Embedding(shape.text_size or 1, size), *tables])  # of what comes before a code
        self.positions = None if shape.weights == "all" else nn.Embedding(codebooks, size)
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.num_layers)])
        self.norm = nn.RMSNorm(size, eps=shape.norm_eps) if shape.final_norm else nn.Identity()
        self.heads = LinearPerCodebook(codebooks, size, shape.codes)

    def forward(self, hidden: Tensor, codes: Tensor, text: Tensor) -> Tensor:
        """Logits of all codes of each column, [N, Q, codes].

        hidden: [N, H], which predicts the column. codes: [N, Q], its codes, of which the last is not read. text: [N],
        its text tokens, which a model without `text_size` does not read.
        """
        before = torch.cat([self._first(text)[:, None], codes[:, :-1]], dim=1)
        return self._logits(hidden, before, 0, None)

    def step(self, hidden: Tensor, before: Tensor, index: int, cache: Cache) -> Tensor:
        """Logits of the code of codebook `index`, [N, codes].

        before: [N], what comes before it: the text token for codebook 0, else the code of codebook index - 1.
        cache: what the steps of this column have seen; codebook 0 starts it anew.
        """
        before = self._first(before) if index == 0 else before
        return self._logits(hidden, before[:, None], index, cache)[:, 0]

    @torch.no_grad()
    def generate(self, hidden: Tensor, text: Tensor, choose: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Codes of each column, [N, Q]. choose: gets the logits [N, codes] of a codebook and its number, gives [N]."""
        cache: Cache = []
        codes = [text]
        for index in range(self.shape.codebooks):
            codes.append(choose(self.step(hidden, codes[-1], index, cache), index))
        return torch.stack(codes[1:], dim=1)

    def _first(self, text: Tensor) -> Tensor:
        return torch.zeros_like(text) if self.shape.text_size is None else text

    def _logits(self, hidden: Tensor, before: Tensor, first: int, cache: Cache | None) -> Tensor:
        """[N, q, codes] for the codebooks first, first + 1, … before: [N, q]. cache: None keeps nothing."""
        codebooks = range(first, first + before.shape[1])
        weight = self.hidden_in.weight.view(self.shape.codebooks, self.shape.hidden_size, -1)[first : codebooks.stop]
        x = functional.linear(hidden, weight.flatten(0, 1)).view(len(hidden), len(codebooks), -1)
        x = x + torch.stack([self.tables[i](before[:, i - first]) for i in codebooks], dim=1)
        if self.positions is not None:
            x = x + self.positions.weight[first : codebooks.stop]
        for number, block in enumerate(self.blocks):
            if self.gradient_checkpointing and self.training:
                x = checkpoint(block, x, first, None, use_reentrant=False)[0]
                continue
            x, keys, values = block(x, first, cache[number] if cache and first else None)
            if cache is not None:
                cache[number : number + 1] = [(keys, values)]  # appended at codebook 0, replaced later
        logits: Tensor = self.heads(self.norm(x), first)
        return logits
