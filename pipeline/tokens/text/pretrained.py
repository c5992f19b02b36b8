"""A language model's text tokenizer, from its folder: `tokenizer.json`, or the `tokenizer.model` of GLM-4-Voice."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...errors import DialogueRejected, UserError
from ...recipe.file import Problem
from ...storage.model_files import folder_checksum, place
from ..section import Tokens
from . import tiktoken_bpe
from .unigram import BytePieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer

JSON = "tokenizer.json"


class PretrainedTokenizer:
    """Its ids are those of the model; text that looks like a special token is encoded as ordinary text."""

    name: ClassVar[str] = "pretrained"
    version: ClassVar[str] = "1"

    def __init__(self, tokens: Tokens) -> None:
        self._folder = place(tokens.pretrained.folder) if tokens.pretrained else None

    def check(self) -> list[Problem]:
        if self._folder is None:
            return [(("tokens",), "expected a section `pretrained` with its `folder`")]
        try:
            self.load()
        except UserError as error:
            return [(("tokens", "pretrained", "folder"), str(error))]
        return []

    def fingerprint(self) -> dict[str, str]:
        folder = self._given_folder()
        return {"name": self.name, "version": self.version, "sha256": folder_checksum(folder, _files(folder))}

    def load(self) -> None:
        """Raises UserError if the folder has no tokenizer, a damaged one, or one that takes text for special tokens."""
        self._read()

    @property
    def vocab_size(self) -> int:
        """One past the largest id that text can have."""
        return self._read().vocab_size

    def encode(self, text: str) -> list[int]:
        """Ids of the text. Raises DialogueRejected(`broken_text`) on a lone surrogate, which no UTF-8 has."""
        try:
            return self._read().encode(text)
        except (UnicodeEncodeError, TypeError) as error:
            raise DialogueRejected("broken_text", f"not valid Unicode: {text[:80]!a}") from error

    def decode(self, ids: list[int]) -> str:
        """Text of the ids, special tokens by their names; a character cut in half becomes U+FFFD."""
        text: str = self._read().whole.decode(ids, skip_special_tokens=False)
        return text

    def to_json(self) -> str:
        """With the model's own special tokens and their ids."""
        described: str = self._read().whole.to_str()
        return described

    def _read(self) -> "_Tokenizers":
        folder = self._given_folder()
        return _read_folder(folder, tuple((name, (folder / name).stat().st_mtime_ns) for name in _files(folder)))

    def _given_folder(self) -> Path:
        if self._folder is None:
            raise UserError("tokens.pretrained.folder is missing from the recipe")
        return self._folder


def _files(folder: Path) -> tuple[str, ...]:
    """What the tokenizer of a folder is read from; raises UserError if nothing is there."""
    for files in ((JSON,), tiktoken_bpe.FILES):
        if all((folder / name).is_file() for name in files):
            return files
    raise UserError(
        f"{folder} has no tokenizer: expected {JSON}, or {' and '.join(tiktoken_bpe.FILES)} of GLM-4-Voice. "
        "Load another kind with transformers.AutoTokenizer and call its save_pretrained, which writes the json."
    )


@dataclass(frozen=True)
class _Tokenizers:
    """What a folder has been read to."""

    whole: "Tokenizer"  # as the folder has it
    bare: "Tokenizer"  # without its added tokens
    pieces: BytePieces | None  # if the tokenizer is of this kind
    vocab_size: int  # of the bare one

    def encode(self, text: str) -> list[int]:
        """Ids of text, without special tokens."""
        if self.pieces is not None:
            return self.pieces.encode(text)
        ids: list[int] = self.bare.encode(text, add_special_tokens=False).ids
        return ids


@lru_cache(maxsize=4)
def _read_folder(folder: Path, changed: tuple[tuple[str, int], ...]) -> _Tokenizers:
    """changed: the files to read and the times of their last change, so that a corrected folder is read again."""
    from tokenizers import Tokenizer

    files = [name for name, _ in changed]
    try:
        whole = Tokenizer.from_file(str(folder / JSON)) if files == [JSON] else tiktoken_bpe.read(folder)
    except UserError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{folder / files[0]} is damaged, or not a tokenizer: {error}") from error
    bare = tiktoken_bpe.without_added_tokens(whole)
    special = {id_: token.content for id_, token in whole.get_added_tokens_decoder().items()}
    vocab_size = max(bare.get_vocab(with_added_tokens=False).values()) + 1
    read = _Tokenizers(whole, bare, BytePieces.hide(bare, {*special.values()}), vocab_size)
    for content in special.values():
        if confused := [special[id_] for id_ in read.encode(content) if id_ in special]:
            raise UserError(
                f"the tokenizer in {folder} reads the text {content!r} as its special token {confused[0]!r}: text and "
                "special tokens cannot be told apart. Use a model whose tokenizer is byte-level, or has byte fallback."
            )
    return read
