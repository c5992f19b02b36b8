"""Decoding as it is understood most easily: a cache that grows by a position a step, and no row is taken out.

The language models are run by the modules of transformers and of CosyVoice themselves, caches included.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from duplexgen.pipeline.speech.cosyvoice.decoding import DecodedRow, Row
from duplexgen.pipeline.speech.cosyvoice.language_models import QwenLM
from duplexgen.pipeline.speech.cosyvoice.sampling import NONE, Sampling, sample


@torch.inference_mode()
def decode(model: Any, rows: Sequence[Row], sampling: Sampling) -> list[DecodedRow]:
    width, longest = max(len(row.prefix) for row in rows), max(row.longest for row in rows)
    inputs = rows[0].prefix.new_zeros(len(rows), width, rows[0].prefix.shape[1])
    seen = torch.zeros(len(rows), width, dtype=torch.bool, device=inputs.device)
    draws = np.zeros((longest, len(rows), 2), dtype=np.float32)
    for index, row in enumerate(rows):
        inputs[index, width - len(row.prefix) :] = row.prefix
        seen[index, width - len(row.prefix) :] = True
        draws[: row.longest, index] = row.draws
    shortest = torch.tensor([row.shortest for row in rows], device=inputs.device)
    history = torch.full((len(rows), sampling.window), NONE, dtype=torch.int64, device=inputs.device)
    cache, drawn = None, []
    language_model: Any = model
    for at in range(longest):
        scores, cache = step(model, inputs, seen, cache)
        scores[:, model.speech_tokens :].masked_fill_((shortest > at)[:, None], -torch.inf)
        tokens = sample(scores, history, torch.from_numpy(draws[at]).to(inputs.device), sampling)
        drawn.append(tokens.tolist())
        history = torch.cat([history[:, 1:], tokens[:, None]], dim=1)
        inputs = language_model._model.speech_embedding(tokens.clamp(max=model.speech_tokens - 1)[:, None])
        seen = torch.nn.functional.pad(seen, (0, 1), value=True)
    found = []
    for index, row in enumerate(rows):
        own = [tokens[index] for tokens in drawn[: row.longest]]
        end = next((at for at, token in enumerate(own) if token >= model.speech_tokens), None)
        found.append(DecodedRow(own[:end], ended=end is not None))
    return found


def step(model: Any, inputs: torch.Tensor, seen: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
    """Scores of what follows, f32 [rows, vocabulary], and the cache: inputs [rows, new, hidden], seen [rows, all]."""
    hidden, cache = (_qwen if isinstance(model, QwenLM) else _relative)(model._model.llm, inputs, seen, cache)
    return model._model.llm_decoder(hidden[:, -1]).float(), cache


def _qwen(encoder: Any, inputs: torch.Tensor, seen: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
    positions = (seen.long().cumsum(dim=-1) - 1).clamp(min=0)[:, -inputs.shape[1] :]
    found = encoder.model.model(
        inputs_embeds=inputs,
        attention_mask=seen.long(),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    )
    return found.last_hidden_state, found.past_key_values


def _relative(encoder: Any, inputs: torch.Tensor, seen: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
    rows, new, total = inputs.shape[0], inputs.shape[1], seen.shape[1]
    mask = seen[:, None, :].expand(rows, new, total)
    if new > 1:
        mask = mask & torch.ones(new, total, dtype=torch.bool, device=seen.device).tril(total - new)
    hidden, _, _ = encoder.embed(inputs, mask)
    positions = encoder.embed.position_encoding(offset=0, size=total)
    empty = torch.zeros((0, 0, 0, 0), device=inputs.device)
    caches = []
    for index, layer in enumerate(encoder.encoders):
        hidden, _, kept, _ = layer(hidden, mask, positions, att_cache=empty if cache is None else cache[index])
        caches.append(kept)
    return encoder.after_norm(hidden) if encoder.normalize_before else hidden, caches
