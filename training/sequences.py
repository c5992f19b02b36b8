"""The format of a model's sequences: its vocabulary, and the kind of each position (BayLing-Duplex section 2.1)."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..pipeline.dataset.reader import read_described
from ..pipeline.layouts.described import Described
from ..pipeline.layouts.layout import Layout
from ..pipeline.layouts.vocabulary import Vocabulary
from ..pipeline.storage.objects import Place
from ..pipeline.tokens.section import Tokens

EMBEDDED = Tokens()


@dataclass(frozen=True)
class SequenceFormat:
    """How to read the sequences of a data set: what its vocabulary.json says."""

    described: Described  # vocabulary.json
    tokens: Tokens = field(default=EMBEDDED, compare=False)  # of the data set's recipe: where the tokenizers are

    @classmethod
    def read(cls, folder: Place, tokens: Tokens = EMBEDDED) -> "SequenceFormat":
        """The format of a data set or of a trained model; raises UserError if vocabulary.json is missing or damaged."""
        return cls(read_described(folder), tokens)

    @property
    def vocabulary(self) -> Vocabulary:
        return self.described.vocabulary

    @cached_property
    def layout(self) -> Layout:
        return self.described.make_layout()

    @property
    def block_samples(self) -> int:
        """What a live model hears and answers at once, in samples of the tracks."""
        return self.described.layout.block_frames * self.described.samples_per_frame

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
