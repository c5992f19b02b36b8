"""The voices that ship: one row of 256 numbers each, and where each comes from. See data_cards/voices.md."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .engine import Voice

FOLDER = Path(__file__).parent / "voices"
INDEX = FOLDER / "index.json"
STYLES = FOLDER / "styles.npy"  # f32 [voices, 256], rows in the order of the index


@cache
def voices() -> Mapping[str, Voice]:
    """The voices by name, in the order of the index."""
    return MappingProxyType(
        {
            row["name"]: Voice(row["name"], tuple(row["languages"]), row["sex"], row["provenance"], row["split"])
            for row in json.loads(INDEX.read_text(encoding="utf-8"))["voices"]
        }
    )


def style(name: str) -> NDArray[np.float32]:
    """The row of one voice, f32 [256]. Raises KeyError for a voice that is not in the index."""
    return _styles()[name]


def checksum(languages: frozenset[str]) -> str:
    """sha256 of the rows, their names, and what decides who may be drawn for dialogues in these languages."""
    rows = [
        (voice.name, voice.languages, voice.split if languages.intersection(voice.languages) else None)
        for voice in voices().values()
    ]
    return hashlib.sha256(STYLES.read_bytes() + json.dumps(rows).encode()).hexdigest()


@cache
def _styles() -> dict[str, NDArray[np.float32]]:
    return dict(zip(voices(), np.load(STYLES, allow_pickle=False), strict=True))
