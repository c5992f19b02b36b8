"""Speech of the embedded voices as noise: one of them far away, or several at once.

The sentences ship as files (pipeline/assets/babble.py made them), so no engine is loaded, and each machine has the same
samples. They are in no recipe that ships. Voices that are drawn for training, and those that are held out, say them.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..audio import flac
from ..dialogue import Waveform
from ..randomness import generator
from ..speech.bank import voices
from .recordings import Split

FOLDER = Path(__file__).parent / "babble"
RATE_HZ = 16000
VARIANTS = 40  # of each split
MOST = 6  # voices at once
SOFTEST_DB = -9.0  # of a voice, against the loudest


@dataclass(frozen=True, slots=True)
class Babble:
    """Some voices of a split, each of which says its sentence again and again: `recordings.Recording`."""

    variant: int
    split: Split

    @property
    def seconds(self) -> float:
        return math.inf

    def clip(self, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Waveform:
        import soxr

        own = generator(0, f"babble/{self.split}/{self.variant}", "noise")
        names = speakers(self.split)
        count = int(own.integers(1, min(MOST, len(names)), endpoint=True))
        length = -(-num_samples * RATE_HZ // sample_rate)
        sound = np.zeros(length, np.float32)
        for name in own.choice(names, count, replace=False):
            sentence = _sentence(str(name))
            amplitude = np.float32(10 ** (rng.uniform(SOFTEST_DB, 0) / 20))
            sound += amplitude * np.resize(np.roll(sentence, -int(rng.integers(len(sentence)))), length)
        heard = soxr.resample(sound, RATE_HZ, sample_rate)[:num_samples]
        clip = np.zeros(num_samples, np.float32)
        clip[: len(heard)] = heard
        return clip


@cache
def speakers(split: Split) -> tuple[str, ...]:
    """The voices whose sentences ship, of those that are drawn for training or of those that are held out."""
    of_bank = {"train": "train", "held_out": "eval"}[split]
    return tuple(sorted(path.stem for path in FOLDER.glob("*.flac") if voices()[path.stem].split == of_bank))


@cache
def checksum() -> str:
    """sha256 of the sentences, with the names of their voices."""
    digest = hashlib.sha256()
    for split in ("train", "held_out"):
        for name in speakers(split):
            digest.update(name.encode() + hashlib.sha256((FOLDER / f"{name}.flac").read_bytes()).digest())
    return digest.hexdigest()


@cache
def _sentence(voice: str) -> Waveform:
    return flac.decode((FOLDER / f"{voice}.flac").read_bytes())
