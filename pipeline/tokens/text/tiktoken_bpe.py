"""Byte pairs in tiktoken's format, as GLM-4 and GLM-4-Voice publish them, to a tokenizer of `tokenizers`."""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...storage.model_files import read_json_object

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RANKS, CONFIG = "tokenizer.model", "tokenizer_config.json"
FILES = (RANKS, CONFIG)
LARGEST_ID = 10_000_000
# the pieces of text within which bytes are merged: the pattern of GLM-4's published tokenizer
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def read(folder: Path) -> "Tokenizer":
    """The tokenizer of a folder, its special tokens at the ids that the configuration gives them.

    Ids without a name are named `<|unused_ID|>`. Raises UserError if a file is damaged or of another format.
    """
    from tokenizers import Tokenizer

    ranks = _ranks(folder / RANKS)
    return Tokenizer.from_str(json.dumps(_described(ranks, _special_tokens(folder / CONFIG, len(ranks)))))


def without_added_tokens(tokenizer: "Tokenizer") -> "Tokenizer":
    """The same tokenizer without its special tokens: every text is only text to it."""
    from tokenizers import Tokenizer

    described = json.loads(tokenizer.to_str())
    return Tokenizer.from_str(json.dumps(described | {"added_tokens": [], "post_processor": None}))


def _ranks(path: Path) -> dict[bytes, int]:
    """Rank, which is the id, of each token."""
    try:
        lines = [line.split() for line in path.read_bytes().splitlines() if line.strip()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except ValueError as error:
        raise UserError(
            f"{path} is not in tiktoken's format (per line a token in base64 and its rank): {error}. If transformers "
            "loads it, save_pretrained writes a tokenizer.json, which is read instead."
        ) from error
    if sorted(ranks.values()) != list(range(len(lines))) or any(bytes([byte]) not in ranks for byte in range(256)):
        raise UserError(f"{path} is incomplete: expected the ranks 0 … n and all 256 bytes among its tokens.")
    return ranks


def _special_tokens(path: Path, first_id: int) -> list[dict[str, Any]]:
    """The special tokens in the order of their ids, without a gap."""
    try:
        tokens = {
            int(id_): token if isinstance(token, str) else token["content"]
            for id_, token in read_json_object(path)["added_tokens_decoder"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} does not say the special tokens (added_tokens_decoder): {error!r}") from error
    if (last := max(tokens, default=0)) > LARGEST_ID:
        raise UserError(f"{path} gives {tokens[last]!r} the id {last:,}: expected at most {LARGEST_ID:,}.")
    if strange := [content for content in tokens.values() if not isinstance(content, str)]:
        raise UserError(f"{path} has the special token {strange[0]!r}: expected a text.")
    if early := [content for id_, content in tokens.items() if id_ < first_id]:
        raise UserError(f"{path} gives {early[0]!r} the id of a piece of text: it belongs to another {RANKS}.")
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    ids = range(first_id, max(tokens, default=first_id - 1) + 1)
    return [{"id": id_, "content": tokens.get(id_, f"<|unused_{id_}|>"), **flags, "special": True} for id_ in ids]


def _described(ranks: dict[bytes, int], special_tokens: list[dict[str, Any]]) -> dict[str, Any]:
    """A tokenizer.json."""
    letters = _letters()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": PIECES}, "behavior": "Isolated", "invert": False}
    model = {
        "type": "BPE",
        "ignore_merges": True,  # as in tiktoken: a piece that is a token is that token
        "vocab": {spelled[token]: rank for token, rank in ranks.items()},
        "merges": [[spelled[left], spelled[right]] for left, right in _merges(ranks)],
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special_tokens,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": model,
    }


def _merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Every pair of tokens that makes a token, in the order in which tiktoken merges: by the rank of the new token."""
    merges = [
        (rank, ranks[token[:cut]], ranks[token[cut:]], cut, token)
        for token, rank in ranks.items()
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    return [(token[:cut], token[cut:]) for _, _, _, cut, token in sorted(merges, key=lambda merge: merge[:3])]


def _letters() -> list[str]:
    """The printable character that stands for each byte in byte-level tokenizers (GPT-2)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
