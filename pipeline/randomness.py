"""Random draws keyed by content, so that they do not depend on workers, order or time."""

import hashlib

import numpy as np


def generator(seed: int, dialogue_id: str, purpose: str) -> np.random.Generator:
    """Philox generator for one purpose of one dialogue.

    Generators of different purposes are independent, so a new effect does not change the old draws.
    """
    key = "\x1f".join((str(seed), dialogue_id, purpose)).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(key, digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8")))
