"""Streaming inference: Algorithm 1 of BayLing-Duplex (section 2.3) with a cache of keys and values."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from ...pipeline.errors import UserError
from ...pipeline.layouts.shared import SharedVocabulary
from ...pipeline.randomness import generator
from ..models.model import DuplexModel, max_positions

TEMPERATURE = 0.8


class Stream:
    """Several dialogues that advance together, one block per step.

    Each dialogue has its own random numbers, by seed and dialogue id, one per id that is sampled. So what it says does
    not depend on the other dialogues.
    """

    def __init__(
        self,
        model: DuplexModel,
        dialogue_ids: Sequence[str],
        blocks: int,
        temperature: float = TEMPERATURE,
        seed: int = 0,
    ) -> None:
        """blocks: the number of steps. temperature: 0 takes the likeliest id.

        Raises UserError if so many blocks take more positions than the model has.
        """
        check_length(model, blocks)
        self.temperature = temperature
        self._format, self._network = model.format, model.network
        layout = model.format.bayling
        self._num_sampled = layout.text_tokens + layout.user_tokens  # ids per block
        self._generators = [generator(seed, dialogue_id, "sampling") for dialogue_id in dialogue_ids]
        device = model.network.device
        text, audio = sampled_ids(layout.vocabulary)
        self._allowed = [text.to(device)] * layout.text_tokens + [audio.to(device)] * layout.user_tokens
        self._cache = DynamicCache(config=model.network.config)
        self._pending = torch.empty((len(dialogue_ids), 0), dtype=torch.int64, device=device)  # not in the cache yet

    @torch.inference_mode()
    def step(self, user_codes: NDArray[np.int16]) -> NDArray[np.int32]:
        """The ids of the next block [dialogues, M + N], text first. user_codes: [dialogues, N], those of the user.

        Text slots hold only text and states, audio slots only audio. Raises UserError if the logits are not finite.
        """
        user = torch.from_numpy(self._format.bayling.vocabulary.audio_ids(user_codes).astype(np.int64))
        pending = torch.cat([self._pending, user.to(self._pending.device)], dim=1)
        uniforms = self._draw_uniforms()
        block = []
        for place, allowed in enumerate(self._allowed):
            logits = self._logits(pending)[:, allowed]
            pending = allowed[choose(logits, self.temperature, uniforms[:, place])].unsqueeze(1)
            block.append(pending)
        if not torch.isfinite(logits).all():
            raise UserError(
                "the model gives logits that are not finite: its training failed, or its files are damaged. "
                "Train it again, or copy it again."
            )
        self._pending = pending
        ids: NDArray[np.int32] = torch.cat(block, dim=1).cpu().numpy().astype(np.int32)
        return ids

    def _logits(self, ids: Tensor) -> Tensor:
        """Logits of the id that follows ids [dialogues, new ids], float [dialogues, vocabulary]."""
        out = self._network(input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        logits: Tensor = out.logits[:, -1]
        return logits

    def _draw_uniforms(self) -> Tensor:
        """float64 [dialogues, sampled ids per block]."""
        uniforms = np.stack([generator.random(self._num_sampled) for generator in self._generators])
        return torch.from_numpy(uniforms).to(self._pending.device)


def sampled_ids(vocabulary: SharedVocabulary) -> tuple[Tensor, Tensor]:
    """Ids that a text slot may hold, ascending, and those that an audio slot may, code c at place c; int64 [ids]."""
    text = np.flatnonzero(vocabulary.is_text(np.arange(vocabulary.text_size)))
    audio = vocabulary.audio_ids(np.arange(vocabulary.audio_size))
    return torch.tensor(sorted([*text.tolist(), *vocabulary.state.values()])), torch.from_numpy(audio.astype(np.int64))


def choose(logits: Tensor, temperature: float, uniforms: Tensor) -> Tensor:
    """Places [rows] in logits [rows, ids]: the inverse of the cumulative distribution at uniforms [rows] in [0, 1).

    It computes in float64, so that a sum over a large vocabulary keeps its small terms.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    cumulative = torch.softmax(logits.double() / temperature, dim=-1).cumsum(dim=-1)
    thresholds = (uniforms * cumulative[:, -1]).unsqueeze(1)
    # right=True: an id of probability 0 spans no interval and is never taken
    return torch.searchsorted(cumulative, thresholds, right=True).squeeze(1).clamp(max=logits.shape[1] - 1)


def check_length(model: DuplexModel, blocks: int) -> None:
    """Raise UserError if a dialogue of so many blocks has more ids than the model has positions."""
    positions, layout = max_positions(model.network), model.format.bayling
    ids, block_s = blocks * layout.ids_per_block, layout.block_samples / model.format.sample_rate
    if positions is not None and ids > positions:
        raise UserError(
            f"a dialogue of {blocks * block_s:.1f} s takes {ids} positions and the model has {positions}, enough for "
            f"{positions // layout.ids_per_block * block_s:.1f} s. Use a shorter recording, or a model with more "
            "positions (max_position_embeddings)."
        )
