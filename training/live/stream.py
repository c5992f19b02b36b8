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
    """Dialogues that go on in step, a block at a time.

    A dialogue draws from a random stream of its own, by seed and id, one number an id sampled: what it says does not
    depend on the dialogues beside it.
    """

    def __init__(
        self,
        model: DuplexModel,
        dialogue_ids: Sequence[str],
        blocks: int,
        temperature: float = TEMPERATURE,
        seed: int = 0,
    ) -> None:
        """blocks: as many as there will be. temperature: 0 takes the likeliest id.

        Raises UserError if the model has fewer positions than that takes.
        """
        check_length(model, blocks)
        self.temperature = temperature
        self._format, self._network = model.format, model.network
        layout = model.format.bayling
        self._sampled = layout.text_tokens + layout.user_tokens  # ids a block
        self._generators = [generator(seed, dialogue_id, "sampling") for dialogue_id in dialogue_ids]
        device = model.network.device
        text, audio = sampled_ids(layout.vocabulary)
        self._allowed = [text.to(device)] * layout.text_tokens + [audio.to(device)] * layout.user_tokens
        self._cache = DynamicCache(config=model.network.config)
        self._unfed = torch.empty((len(dialogue_ids), 0), dtype=torch.int64, device=device)

    @torch.inference_mode()
    def step(self, user_codes: NDArray[np.int16]) -> NDArray[np.int32]:
        """The next block's ids [dialogues, M + N], text first, once the user's codes [dialogues, N] have been heard.

        Text slots hold text and states only, audio slots audio only. Raises UserError if the model gives no numbers.
        """
        user = torch.from_numpy(self._format.bayling.vocabulary.audio_ids(user_codes).astype(np.int64))
        fed = torch.cat([self._unfed, user.to(self._unfed.device)], dim=1)
        uniforms = self._draw_uniforms()
        block = []
        for place, allowed in enumerate(self._allowed):
            logits = self._logits(fed)[:, allowed]
            fed = allowed[choose(logits, self.temperature, uniforms[:, place])].unsqueeze(1)
            block.append(fed)
        if not torch.isfinite(logits).all():
            raise UserError("the model gives logits that are not finite: its training has failed, or its file is bad.")
        self._unfed = fed
        ids: NDArray[np.int32] = torch.cat(block, dim=1).cpu().numpy().astype(np.int32)
        return ids

    def _logits(self, fed: Tensor) -> Tensor:
        """Of the id after those fed [dialogues, ids], float [dialogues, vocabulary]."""
        out = self._network(input_ids=fed, past_key_values=self._cache, use_cache=True, logits_to_keep=1)
        logits: Tensor = out.logits[:, -1]
        return logits

    def _draw_uniforms(self) -> Tensor:
        """float64 [dialogues, ids sampled a block]."""
        drawn = np.stack([generator.random(self._sampled) for generator in self._generators])
        return torch.from_numpy(drawn).to(self._unfed.device)


def sampled_ids(vocabulary: SharedVocabulary) -> tuple[Tensor, Tensor]:
    """Ids that a text slot may hold, ascending, and those that an audio slot may, code c at place c; int64 [ids]."""
    text = np.flatnonzero(vocabulary.is_text(np.arange(vocabulary.text_size)))
    audio = vocabulary.audio_ids(np.arange(vocabulary.audio_size))
    return torch.tensor(sorted([*text.tolist(), *vocabulary.state.values()])), torch.from_numpy(audio.astype(np.int64))


def choose(logits: Tensor, temperature: float, uniforms: Tensor) -> Tensor:
    """Places [rows] in logits [rows, ids]: the inverse of the cumulative distribution at uniforms [rows] of [0, 1).

    In float64, so that a sum over a large vocabulary keeps its small terms.
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    cumulative = torch.softmax(logits.double() / temperature, dim=-1).cumsum(dim=-1)
    reached = (uniforms * cumulative[:, -1]).unsqueeze(1)
    # right=True: an id of probability 0 spans no interval and is never taken
    return torch.searchsorted(cumulative, reached, right=True).squeeze(1).clamp(max=logits.shape[1] - 1)


def check_length(model: DuplexModel, blocks: int) -> None:
    """Raise UserError if a dialogue of so many blocks has more ids than the model has positions."""
    positions, layout = max_positions(model.network), model.format.bayling
    ids, block_s = blocks * layout.ids_per_block, layout.block_samples / model.format.sample_rate
    if positions is not None and ids > positions:
        raise UserError(
            f"a dialogue of {blocks * block_s:.1f} s takes {ids} positions and the model has {positions}, enough for "
            f"{positions // layout.ids_per_block * block_s:.1f} s. Use a shorter recording, or a model trained "
            "with more (max_position_embeddings)."
        )
