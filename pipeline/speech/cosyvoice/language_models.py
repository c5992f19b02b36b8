"""The language models of CosyVoice, many rows at once: embeddings in, scores of the next speech token out.

What stands before the speech is read in one pass. Each token after it is a step over a cache of a fixed length: the
same kernels on the same memory each time, so that a GPU can run a step as one graph. Rows are padded on the left, so
that all of them write to one place of the cache.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Cache:
    """Keys and values of a batch. A step changes them in place, and `at` is moved on by who calls it."""

    keys: "torch.Tensor"  # [layers, rows, heads, positions, numbers of a head]
    values: "torch.Tensor"  # likewise
    bias: "torch.Tensor"  # [rows, 1, 1, positions]: 0 where a row may look, else −inf
    start: "torch.Tensor"  # int64 [rows], the first position that is not padding
    at: "torch.Tensor"  # int64 [1], the position that is written next


@dataclass(frozen=True, slots=True)
class ReadRows:
    """What a pass over the beginning of rows gives."""

    scores: "torch.Tensor"  # f32 [rows, vocabulary], of the token that follows
    keys: "torch.Tensor"  # [layers, rows, heads, positions, numbers of a head]
    values: "torch.Tensor"  # likewise


class SpeechLM(Protocol):
    """Text and voice to speech tokens."""

    speech_tokens: int  # ids from here on are not speech: any of them ends the utterance
    positions: int  # of an utterance, prompt and text included: the model knows no more

    @property
    def cached_bytes(self) -> int:
        """Of keys and values, for a position of a row."""
        ...

    def prefix(
        self, text: list[int], prompt_text: list[int], prompt: "torch.Tensor", embedding: "torch.Tensor"
    ) -> "torch.Tensor":
        """What stands before the first token to decode, [positions, hidden].

        prompt: int64 [tokens], the voice's clip as speech tokens; embedding: f32 [192], of its speaker.
        """
        ...

    def read(self, inputs: "torch.Tensor", seen: "torch.Tensor") -> ReadRows:
        """inputs: [rows, positions, hidden]; seen: bool [rows, positions], False where a row is padded."""
        ...

    def step(self, tokens: "torch.Tensor", cache: Cache) -> "torch.Tensor":
        """Write a token of each row, int64 [rows], to the cache: scores of what follows, f32 [rows, vocabulary]."""
        ...


class QwenLM:
    """CosyVoice 2 and 3: Qwen2 with speech tokens beside its own embeddings."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._causal = model.llm.model  # Qwen2ForCausalLM
        # The head over Qwen's own vocabulary would be most of a step's work, and is never used.
        self._inner = self._causal.model
        self.speech_tokens = int(model.speech_token_size)
        self.positions = int(self._inner.config.max_position_embeddings)

    @property
    def cached_bytes(self) -> int:
        key = self._inner.layers[0].self_attn.k_proj.weight
        return int(2 * len(self._inner.layers) * key.shape[0] * key.element_size())

    def prefix(
        self, text: list[int], prompt_text: list[int], prompt: "torch.Tensor", embedding: "torch.Tensor"
    ) -> "torch.Tensor":
        import torch

        model = self._model
        marks = getattr(model, "llm_embedding", None)  # v2; v3 keeps its marks among the speech tokens
        start, task = (marks.weight[0], marks.weight[1]) if marks is not None else self._marks()
        written = self._causal.get_input_embeddings()(torch.tensor(prompt_text + text, device=start.device))
        return torch.cat([start[None], written, task[None], model.speech_embedding(prompt)])

    def _marks(self) -> tuple["torch.Tensor", "torch.Tensor"]:
        weight = self._model.speech_embedding.weight
        return weight[self._model.sos], weight[self._model.task_id]

    def read(self, inputs: "torch.Tensor", seen: "torch.Tensor") -> ReadRows:
        import torch

        # Positions as without padding: only their differences matter, but in half precision others round differently.
        positions = (seen.long().cumsum(dim=-1) - 1).clamp(min=0)
        out = self._inner(inputs_embeds=inputs, attention_mask=seen.long(), position_ids=positions, use_cache=True)
        layers = out.past_key_values.layers
        return ReadRows(
            self._model.llm_decoder(out.last_hidden_state[:, -1]).float(),
            torch.stack([layer.keys for layer in layers]),
            torch.stack([layer.values for layer in layers]),
        )

    def step(self, tokens: "torch.Tensor", cache: Cache) -> "torch.Tensor":
        hidden = self._model.speech_embedding(tokens)  # [rows, hidden]
        cos, sin = self._inner.rotary_emb(hidden[:, None], (cache.at - cache.start)[:, None])  # [rows, 1, of a head]
        for index, layer in enumerate(self._inner.layers):
            normal = _normal(layer.input_layernorm, hidden)
            hidden = hidden + _attend(layer.self_attn, normal, cos, sin, cache, index)
            hidden = hidden + layer.mlp(_normal(layer.post_attention_layernorm, hidden))
        scores: torch.Tensor = self._model.llm_decoder(_normal(self._inner.norm, hidden))
        return scores.float()


def _normal(norm: Any, hidden: "torch.Tensor") -> "torch.Tensor":
    """Qwen's norm as one kernel; its own module takes five."""
    import torch

    return torch.nn.functional.rms_norm(hidden, hidden.shape[-1:], norm.weight, norm.variance_epsilon)


def _attend(
    attention: Any, hidden: "torch.Tensor", cos: "torch.Tensor", sin: "torch.Tensor", cache: Cache, index: int
) -> "torch.Tensor":
    import torch

    rows, numbers = hidden.shape[0], attention.head_dim
    query, key, value = (
        projection(hidden).view(rows, -1, numbers)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    keys, values = cache.keys[index], cache.values[index]
    keys.index_copy_(2, cache.at, _turned(key, cos, sin)[:, :, None])
    values.index_copy_(2, cache.at, value[:, :, None])
    # The heads of queries that share keys stand where the positions of a longer text would: no key is repeated.
    query = _turned(query, cos, sin).view(rows, keys.shape[1], -1, numbers)
    bias = cache.bias.expand(rows, keys.shape[1], query.shape[2], keys.shape[2])
    heard = torch.nn.functional.scaled_dot_product_attention(
        query, keys, values, attn_mask=bias, scale=attention.scaling
    )
    attended: torch.Tensor = attention.o_proj(heard.reshape(rows, -1))
    return attended


def _turned(heads: "torch.Tensor", cos: "torch.Tensor", sin: "torch.Tensor") -> "torch.Tensor":
    """Rotary positions: heads [rows, heads, numbers]."""
    import torch

    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat([-second, first], dim=-1) * sin


class RelativeLM:
    """CosyVoice 1: a transformer with relative positions, so that padding on the left shifts nothing."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._encoder = model.llm
        self.speech_tokens = int(model.speech_token_size)
        self.positions = self._encoder.embed.pos_enc.pe.shape[1] // 2 + 1

    @property
    def cached_bytes(self) -> int:
        key = self._encoder.encoders[0].self_attn.linear_k.weight
        return int(2 * len(self._encoder.encoders) * key.shape[0] * key.element_size())

    def prefix(
        self, text: list[int], prompt_text: list[int], prompt: "torch.Tensor", embedding: "torch.Tensor"
    ) -> "torch.Tensor":
        import torch

        model = self._model
        marks = model.llm_embedding.weight
        ids = torch.tensor([prompt_text + text], device=marks.device)
        length = torch.tensor([ids.shape[1]], dtype=torch.int32, device=marks.device)
        written, _ = model.encode(model.text_embedding(ids), length)
        speaker = torch.nn.functional.normalize(embedding[None].to(marks), dim=1)
        parts = [
            marks[:1],
            model.spk_embed_affine_layer(speaker),
            written[0],
            marks[1:2],
            model.speech_embedding(prompt),
        ]
        return torch.cat(parts)

    def read(self, inputs: "torch.Tensor", seen: "torch.Tensor") -> ReadRows:
        import torch

        encoder, total = self._encoder, seen.shape[1]
        mask = seen[:, None, :] & torch.ones(total, total, dtype=torch.bool, device=seen.device).tril()
        hidden, positions, _ = encoder.embed(inputs, mask)
        cached = []
        for layer in encoder.encoders:
            hidden, _, kept, _ = layer(hidden, mask, positions)
            cached.append(kept)  # [rows, heads, positions, keys and values]
        keys, values = torch.stack(cached).chunk(2, dim=-1)
        return ReadRows(self._scores(hidden[:, -1]), keys, values)

    def _scores(self, hidden: "torch.Tensor") -> "torch.Tensor":
        if self._encoder.normalize_before:
            hidden = self._encoder.after_norm(hidden)
        scores: torch.Tensor = self._model.llm_decoder(hidden)
        return scores.float()

    def step(self, tokens: "torch.Tensor", cache: Cache) -> "torch.Tensor":
        import torch

        embed, total = self._encoder.embed, cache.keys.shape[3]
        hidden, _, _ = embed(self._model.speech_embedding(tokens)[:, None], None)  # [rows, 1, hidden]
        known = min(total, self.positions)
        distances = embed.position_encoding(offset=0, size=known)[:, :known]  # from `known` − 1 positions down to none
        place = (torch.arange(total, device=tokens.device) + (known - 1) - cache.at).clamp(0, known - 1)
        for index, layer in enumerate(self._encoder.encoders):
            attention = _Relative(layer.self_attn, distances, place, cache, index)
            hidden = _around(attention, layer.norm1, hidden, layer.normalize_before)
            hidden = _around(layer.feed_forward, layer.norm2, hidden, layer.normalize_before)
        return self._scores(hidden[:, 0])


def _around(work: Any, norm: Any, hidden: "torch.Tensor", norm_first: bool) -> "torch.Tensor":
    result: torch.Tensor = hidden + work(norm(hidden)) if norm_first else norm(hidden + work(hidden))
    return result


@dataclass(frozen=True, slots=True)
class _Relative:
    """Attention of one position of v1's model to all before it."""

    module: Any
    distances: "torch.Tensor"  # [1, positions, hidden], the encoding of distances, longest first
    place: "torch.Tensor"  # int64 [keys], where the distance to each of them stands
    cache: Cache
    index: int  # of the layer

    def __call__(self, hidden: "torch.Tensor") -> "torch.Tensor":
        import torch

        module, cache = self.module, self.cache
        query, key, value = module.forward_qkv(hidden, hidden, hidden)  # [rows, heads, 1, numbers]
        keys, values = cache.keys[self.index], cache.values[self.index]
        keys.index_copy_(2, cache.at, key)
        values.index_copy_(2, cache.at, value)
        far = module.linear_pos(self.distances).view(1, -1, module.h, module.d_k).transpose(1, 2)
        by_distance = (query + module.pos_bias_v[:, None]) @ far.transpose(-2, -1) / math.sqrt(module.d_k)
        bias = by_distance.index_select(-1, self.place) + cache.bias  # [rows, heads, 1, positions]
        heard = torch.nn.functional.scaled_dot_product_attention(
            query + module.pos_bias_u[:, None], keys, values, attn_mask=bias
        )
        attended: torch.Tensor = module.linear_out(heard.transpose(1, 2).flatten(2))
        return attended
