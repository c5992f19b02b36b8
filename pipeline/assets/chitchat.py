"""The corpus on which both tokenizers are fitted: chitchat-dataset 0.9.0 (MIT), conversations that people typed.

Only fitting needs it: `pip install --no-deps chitchat-dataset==0.9.0`.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError

Split = Literal["fit", "held_out"]
HELD_OUT_OF = 20  # one conversation in this many

_SPEAKABLE = re.compile(r"[A-Z][A-Za-z' ,.?!]+[.?!]")
_ODD = re.compile(r"[,.?!']{2}|[A-Z]{2}| [B-HJ-Z] ")  # runs of punctuation, shouting, spelling


def utterances(split: Split) -> Iterator[str]:
    """Utterances in the order of the data set, with each run of white space as one space.

    Whole conversations are held out, chosen by the hash of their id. Raises UserError if the package is missing.
    """
    for conversation_id, conversation in _load().items():
        held_out = int(hashlib.sha256(conversation_id.encode()).hexdigest(), 16) % HELD_OUT_OF == 0
        if held_out != (split == "held_out"):
            continue
        for messages in conversation["messages"]:
            yield from (" ".join(message["text"].split()) for message in messages)


def sentences(split: Split) -> list[str]:
    """Utterances of 8 to 25 plain words, each once, in an order that depends only on their text."""
    plain = {text for text in utterances(split) if _SPEAKABLE.fullmatch(text) and not _ODD.search(text)}
    return sorted((text for text in plain if 8 <= len(text.split()) <= 25), key=_digest)


def spoken(texts: Iterable[str]) -> Iterator[str]:
    """The texts with numbers, times and money as words; texts that wetext cannot convert are left out."""
    from wetext import Normalizer

    normalizer = Normalizer(lang="en", operator="tn")
    for text in texts:
        if re.search("[0-9]", text) is None:
            yield text
            continue
        try:
            yield normalizer.normalize(text)
        except AssertionError:  # wetext 0.1.8, on a bare "#9" or "7:26 am  How"
            continue


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _load() -> dict[str, Any]:
    spec = find_spec("chitchat_dataset")
    if spec is None or spec.origin is None:
        raise UserError("chitchat-dataset is missing: pip install --no-deps chitchat-dataset==0.9.0")
    data: dict[str, Any] = json.loads((Path(spec.origin).parent / "dataset.json").read_text("utf-8"))
    return data
