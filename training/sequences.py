"""The format of a model's sequences: its vocabulary, and the kind of each position (BayLing-Duplex section 2.1)."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..pipeline.dataset.reader import read_described
from ..pipeline.errors import UserError
from ..pipeline.layouts.bayling import Bayling
from ..pipeline.layouts.described import Described
from ..pipeline.layouts.layout import Layout
from ..pipeline.layouts.vocabulary import Vocabulary
from ..pipeline.tokens.section import Tokens
from ..pipeline.tokens.tokenizers import SPEECH_TOKENIZERS

EMBEDDED = Tokens()


@dataclass(frozen=True)
class SequenceFormat:
    """How to read the sequences of a data set: what its vocabulary.json says."""

    described: Described  # vocabulary.json
    tokens: Tokens = field(default=EMBEDDED, compare=False)  # of the data set's recipe: where the tokenizers are

    @classmethod
    def read(cls, folder: Path, tokens: Tokens = EMBEDDED) -> "SequenceFormat":
        """The format of a data set or of a trained model; raises UserError if vocabulary.json is missing or damaged."""
        return cls(read_described(folder), tokens)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.described.vocabulary

    @cached_property
    def layout(self) -> Layout:
        return self.described.make_layout()

    @cached_property
    def bayling(self) -> Bayling:
        """The layout, if it is the one that `talk` and `evaluate` know; raises UserError if it is another."""
        if not isinstance(self.layout, Bayling):
            raise UserError(
                f"the model has the layout {self.layout.name}, and `talk` and `evaluate` know only {Bayling.name}. "
                f"Use a model that was trained on a data set of the layout {Bayling.name}."
            )
        return self.layout

    @property
    def can_talk(self) -> bool:
        """Whether `talk` and `evaluate` take such a model: they know its layout, and its speech tokenizer decodes."""
        name = self.described.speech_tokenizer.name
        decodes = name in SPEECH_TOKENIZERS and SPEECH_TOKENIZERS[name](self.tokens).decodes
        return decodes and isinstance(self.layout, Bayling)

    @property
    def sample_rate(self) -> int:
        """Hz, of the tracks."""
        return self.described.sample_rate

    @property
    def size(self) -> int:
        """How many rows the embedding needs."""
        return self.vocabulary.size

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of positions. The first is the user's, which the model hears and never predicts."""
        return self.layout.KINDS

    @property
    def streams(self) -> int:
        """How many ids each position has."""
        return self.layout.streams

    def kinds_of(self, ids: Tensor) -> Tensor:
        """Index into `kinds` of each id, uint8, of the shape of `ids`.

        ids: [..., length], from the start of each row; of a layout of several streams, [..., length, streams].
        """
        shape = ids.shape[-1:] if self.streams == 1 else ids.shape[-2:]
        rows = ids.reshape(-1, *shape).cpu().numpy()
        kinds = np.stack([self.layout.kinds({self.layout.IDS: row.T}).T for row in rows])
        return torch.from_numpy(kinds).to(ids.device).view(ids.shape)
