"""What the positions of a sequence are: whose, and of which kind (BayLing-Duplex section 2.1)."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..pipeline.errors import UserError
from ..pipeline.layouts import make_layout
from ..pipeline.layouts.streams import Layout
from ..pipeline.recipe import Layout as LayoutSection
from ..pipeline.recipe import Tokens
from ..pipeline.shards.dataset import VOCABULARY, read_json
from ..pipeline.tokens.vocabulary import STATES, Vocabulary

KINDS = ("user", "silence", "assistant", "pad", "epad", "text", "audio")
"""Kinds of positions: the user's audio, the four states, the assistant's text and the assistant's audio."""
EMBEDDED = Tokens()
USER, TEXT, AUDIO = KINDS.index("user"), KINDS.index("text"), KINDS.index("audio")


@dataclass(frozen=True)
class SequenceFormat:
    """How the sequences of a data set are read, from its vocabulary.json alone."""

    described: dict[str, Any]  # vocabulary.json
    tokens: Tokens = field(default=EMBEDDED, compare=False)  # of the data set's recipe: where its tokenizers are

    @classmethod
    def read(cls, folder: Path, tokens: Tokens = EMBEDDED) -> "SequenceFormat":
        """The format of a data set or of a trained model; raises UserError if vocabulary.json is missing or damaged."""
        made = cls(read_json(folder / VOCABULARY), tokens)
        try:
            _ = made.size, made.layout, made.block_samples, made.sample_rate
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{folder / VOCABULARY} is damaged, or of another version: {error!r}") from error
        return made

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.from_json(self.described)

    @cached_property
    def layout(self) -> Layout:
        section = LayoutSection.model_validate(self.described["layout"])
        return make_layout(section, self.vocabulary, self.described["samples_per_frame"])

    @property
    def user_tokens(self) -> int:
        """N: the user's ids of a block, which come first, and the assistant's audio ids, which come last."""
        return int(self.described["layout"]["user_tokens"])

    @property
    def text_tokens(self) -> int:
        """M: the text ids of a block."""
        return int(self.described["layout"]["text_tokens"])

    @property
    def ids_per_block(self) -> int:
        return 2 * self.user_tokens + self.text_tokens

    @property
    def sample_rate(self) -> int:
        """Of the tracks, Hz."""
        return int(self.described["sample_rate"])

    @property
    def block_samples(self) -> int:
        return self.user_tokens * int(self.described["samples_per_frame"])

    @property
    def size(self) -> int:
        """Rows that an embedding needs."""
        return self.vocabulary.size

    def kinds(self, ids: Tensor) -> Tensor:
        """Index into KINDS of each position, uint8 [..., length], of ids [..., length] that start with a block."""
        slot = torch.arange(ids.shape[-1], device=ids.device) % self.ids_per_block
        by_id = self._kind_by_id.to(ids.device)[ids.long()]
        of_assistant = torch.where(slot < self.user_tokens + self.text_tokens, by_id, torch.full_like(by_id, AUDIO))
        return torch.where(slot < self.user_tokens, torch.full_like(by_id, USER), of_assistant)

    @cached_property
    def _kind_by_id(self) -> Tensor:
        """Kind of each id where it stands in the text channel, [size]."""
        kinds = torch.full((self.size,), TEXT, dtype=torch.uint8)
        for state in STATES:
            kinds[self.vocabulary.state[state]] = KINDS.index(state)
        return kinds

    @cached_property
    def text_ids(self) -> Tensor:
        """Ids that the text channel may hold: text and states, int64, ascending."""
        text = np.flatnonzero(self.vocabulary.is_text(np.arange(self.vocabulary.text_size)))
        return torch.tensor(sorted([*text.tolist(), *self.vocabulary.state.values()]))

    @cached_property
    def audio_ids(self) -> Tensor:
        """Ids that the assistant's audio channel may hold: code c is at place c, int64 [codes]."""
        codes = np.arange(self.vocabulary.audio_size)
        return torch.from_numpy(self.vocabulary.audio_ids(codes).astype(np.int64))
