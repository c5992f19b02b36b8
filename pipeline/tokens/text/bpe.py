"""The embedded text tokenizer: byte-level BPE of 4096 entries, for spoken English."""

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DialogueRejected
from ...recipe.file import Problem
from ..section import Tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS = Path(__file__).parent / "bpe.json"


class BytePairTokenizer:
    """Encodes any text byte for byte. It has no special tokens, so "<|audio_5|>" is ordinary text."""

    name = "bpe"
    version = "1"
    vocab_size = 4096

    def __init__(self, tokens: Tokens | None = None) -> None:
        pass

    def check(self) -> list[Problem]:
        return []

    def load(self) -> None:
        _load()

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        return {"name": cls.name, "version": cls.version, "sha256": _sha256()}

    def encode(self, text: str) -> list[int]:
        """Ids of the text. Raises DialogueRejected(`broken_text`) on a lone surrogate, which no UTF-8 has."""
        try:
            return _load().encode(text, add_special_tokens=False).ids
        except (UnicodeEncodeError, TypeError) as error:
            raise DialogueRejected("broken_text", f"not valid Unicode: {text[:80]!a}") from error

    def decode(self, ids: list[int]) -> str:
        """Text of the ids; a character cut in half becomes U+FFFD."""
        return _load().decode(ids, skip_special_tokens=False)

    def to_json(self) -> str:
        return WEIGHTS.read_text("utf-8")


@cache
def _sha256() -> str:
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()


@cache
def _load() -> "Tokenizer":
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(WEIGHTS))
