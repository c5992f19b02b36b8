"""Sentencepiece's Unigram with byte fallback, as Moshi's text tokenizer: text is never read as a control or byte piece.

Sentencepiece itself does not match these pieces in text. `tokenizers` does, so here they get names that no text has,
and a character without a piece is spelled here.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

HIDDEN = "\uffff" * 8  # no character; if text has it all the same, it is spelled in bytes
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@dataclass(frozen=True)
class BytePieces:
    """What text is encoded with."""

    tokenizer: "Tokenizer"  # without byte fallback; control and byte pieces are hidden
    hidden: frozenset[int]  # their ids
    of_byte: tuple[int, ...]  # the id of each byte

    @classmethod
    def hide(cls, tokenizer: "Tokenizer", special: set[str]) -> "BytePieces | None":
        """None if the tokenizer is of another kind. special: names of its control pieces."""
        from tokenizers import Tokenizer, models

        if not isinstance(tokenizer.model, models.Unigram):
            return None
        described = json.loads(tokenizer.to_str())
        model: dict[str, Any] = described["model"]
        ids = {piece: id_ for id_, (piece, _) in enumerate(model["vocab"])}
        own = special & ids.keys() | set(BYTES)
        if not model["byte_fallback"] or not own <= ids.keys():
            return None
        pieces = model["vocab"]
        lowest = min(score for piece, score in pieces if piece not in own)  # what an unknown character costs stays
        model["vocab"] = [[HIDDEN + piece, lowest] if piece in own else [piece, score] for piece, score in pieces]
        model["byte_fallback"] = False
        hidden = frozenset({*(ids[piece] for piece in own), model["unk_id"]})
        return cls(Tokenizer.from_str(json.dumps(described)), hidden, tuple(ids[byte] for byte in BYTES))

    def encode(self, text: str) -> list[int]:
        """The ids that sentencepiece gives."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        ids: list[int] = []
        for id_, token in zip(encoding.ids, encoding.tokens, strict=True):
            ids.extend([self.of_byte[byte] for byte in token.encode()] if id_ in self.hidden else [id_])
        return ids
