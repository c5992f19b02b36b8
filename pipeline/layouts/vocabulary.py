"""What the vocabulary of every layout has: text ids, and a `vocabulary/` folder that other programs read."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..recipe.sections import Section
from ..tokens.protocols import SpeechTokenizer, TextTokenizer
from .section import LayoutSection

END_OF_TEXT = "<|endoftext|>"
"""What collators pad with and generation stops at; in no sequence of ours."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
"""What a `vocabulary/` folder has."""

TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "clean_up_tokenization_spaces": False,  # decoding gives the text back as it was
    "model_input_names": ["input_ids", "attention_mask"],
    "pad_token": END_OF_TEXT,
    "eos_token": END_OF_TEXT,
}
"""What tokenizer_config.json says."""


@dataclass(frozen=True)
class Vocabulary(ABC):
    """Which id means what in the rows of a layout."""

    Spec: ClassVar[type[Section]]
    """`ids` of vocabulary.json: what a layout has beside the text."""

    text_size: int  # text ids are 0 … text_size - 1, but for end_of_text
    end_of_text: int
    tokenizer_json: str | None = field(default=None, repr=False, compare=False, kw_only=True)  # None: not `build`'s

    @classmethod
    @abstractmethod
    def build(cls, section: LayoutSection, text_tokenizer: TextTokenizer, speech_tokenizer: SpeechTokenizer) -> Self:
        """The vocabulary of rows made with these tokenizers. Raises UserError if they do not go together.

        section: what the recipe says of the layout.
        """

    @classmethod
    @abstractmethod
    def read(cls, ids: Any, text_size: int, end_of_text: int) -> Self:
        """The one that vocabulary.json describes; ids: made by `Spec`. Raises ValueError if ids meet."""

    @abstractmethod
    def ids(self) -> dict[str, Any]:
        """What `Spec` is made of."""

    @property
    @abstractmethod
    def size(self) -> int:
        """One past the largest id: the rows that an embedding needs."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """One past the largest id of each stream of a row."""
        return (self.size,)

    def holds(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Whether each id can stand in its stream of a row. ids: [..., streams]."""
        ids = np.asarray(ids)
        is_held: NDArray[np.bool_] = (ids >= 0) & (ids < np.array(self.sizes))
        return is_held

    @property
    def held(self) -> str:
        """Which ids can stand in a row, in words."""
        return f"0 … {self.size - 1}"

    @abstractmethod
    def check(self, names: Mapping[int, str]) -> Iterator[str]:
        """Which ids have another name in a tokenizer than the layout gives them, in words. names: of its ids."""

    @abstractmethod
    def check_codes(self, codebooks: int, codebook_size: int) -> Iterator[str]:
        """What is wrong with the ids of codes, in words, of a speech tokenizer with so many codes per codebook."""

    def is_text(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Whether ids are text. `<|endoftext|>` is not, though some tokenizers have it among their text."""
        ids = np.asarray(ids)
        is_text: NDArray[np.bool_] = (ids >= 0) & (ids < self.text_size) & (ids != self.end_of_text)
        return is_text

    def save(self, folder: Path) -> None:
        """Write the `vocabulary/` folder, which `transformers.AutoTokenizer.from_pretrained` loads.

        The declared padding token is `<|endoftext|>`, not BayLing's [PAD]: collators mask the declared one out of the
        loss, and the model has to learn [PAD]. Raises ValueError on a vocabulary that was read from a vocabulary.json.
        """
        if self.tokenizer_json is None:
            raise ValueError("only a vocabulary made by Vocabulary.build has a tokenizer to save")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(
            TOKENIZER_FILES, (self.tokenizer_json, json.dumps(TOKENIZER_CONFIG, indent=2)), strict=True
        ):
            (folder / name).write_bytes(text.encode("utf-8") + b"\n")
