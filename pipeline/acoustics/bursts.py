"""Bursts in the user's microphone: short sounds, such as a door or a cough, that must not stop or start a reply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..audio.pcm import to_float
from ..dialogue import Timeline, Track, Waveform
from ..recipe.sections import DecibelRange
from . import short_sounds
from .effect import EffectSection
from .folder import SILENT
from .levels import limited, rms, rms_at
from .recordings import Recording, Split
from .short_sounds import ShortSound
from .sources import FromSources, SourcesSection

EMBEDDED_VERSION = 2  # goes up when a kind that ships sounds different
PIECES = 8  # of a recording that is too long, of which the loudest is taken: the others may be silent
FADE_S = 0.005  # at both ends of a piece
Embedded = Literal["door", "knock", "cough", "keyboard", "clap", "clatter"]
EMBEDDED: tuple[Embedded, ...] = ("door", "knock", "cough", "keyboard", "clap", "clatter")


class BurstsSection(SourcesSection):
    effect: Literal["bursts"] = "bursts"
    # Kinds, each drawn as often as a folder. None: all of them if there are no folders, and else none.
    embedded: Annotated[list[Embedded], Field(max_length=100)] | None = None
    per_minute: Annotated[float, Field(ge=0, le=120)] = 4.0  # on average
    level_db: DecibelRange = DecibelRange(low=-45, high=-25)  # of each burst
    longest_s: Annotated[float, Field(ge=0.05, le=5)] = 0.8  # a longer recording gives a piece of this length


@dataclass(frozen=True)
class Burst:
    """A burst at its level, and what was drawn for it."""

    start_sample: int
    samples: Waveform
    level_db: float
    source: int
    recording: int

    @property
    def end_sample(self) -> int:
        return self.start_sample + len(self.samples)


class Bursts(FromSources):
    """Values per burst, with its number in the order of starts: `start_sample`; `end_sample`, one past its last sample;
    `level_db` as it is drawn; the `source` and `recording` that it is taken from. `limited_samples` if there are any.

    The number of bursts has a Poisson distribution. Each is in the track as a whole, at any place; bursts may overlap.
    If all pieces that were tried are silent, so that nothing would be heard, the burst is left out.
    """

    name: ClassVar[str] = "bursts"
    Spec: ClassVar[type[EffectSection]] = BurstsSection
    KINDS: ClassVar[Sequence[str]] = EMBEDDED

    def __init__(self, spec: EffectSection) -> None:
        assert isinstance(spec, BurstsSection)
        super().__init__(spec, spec.embedded)
        self.spec = spec

    def of_kind(self, kind: str, split: Split) -> list[Recording]:
        variants = (ShortSound(kind, variant) for variant in range(short_sounds.VARIANTS))
        return [variant for variant in variants if variant.split == split]

    def shape_of_kinds(self, kinds: Sequence[str]) -> dict[str, Any]:
        return {"embedded": EMBEDDED_VERSION}

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        length, rate = track.samples.shape[1], track.sample_rate
        count = int(rng.poisson(self.spec.per_minute * length / rate / 60))
        drawn = (self._burst(length, rate, rng) for _ in range(count))
        bursts = sorted((burst for burst in drawn if burst), key=lambda burst: burst.start_sample)
        if not bursts:
            return track, {}
        user = to_float(track.samples[0])
        values: dict[str, float] = {}
        for number, burst in enumerate(bursts):
            user[burst.start_sample : burst.end_sample] += burst.samples
            names = ("start_sample", "end_sample", "level_db", "source", "recording")
            values |= {f"{name}[{number}]": float(getattr(burst, name)) for name in names}
        samples = track.samples.copy()
        samples[0], too_loud = limited(user, rate)
        return Track(samples, rate), values | ({"limited_samples": float(too_loud)} if too_loud else {})

    def _burst(self, length: int, sample_rate: int, rng: np.random.Generator) -> Burst | None:
        """A burst within a track of `length` samples; None if nothing would be heard of it."""
        spec = self.spec
        source = int(rng.integers(len(self.sources)))
        recording = int(rng.integers(len(self.sources[source])))
        level_db = float(rng.uniform(spec.level_db.low, spec.level_db.high))
        sound = _sound(self.sources[source][recording], min(spec.longest_s, length / sample_rate), sample_rate, rng)
        start = int(rng.integers(0, length - len(sound), endpoint=True))
        if (loudness := rms(sound)) < SILENT:
            return None
        return Burst(start, sound * np.float32(rms_at(level_db) / loudness), level_db, source, recording)


def _sound(recording: Recording, longest_s: float, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """A recording, or the loudest of some pieces of it if it is longer than `longest_s`."""
    if recording.seconds <= longest_s:
        return recording.clip(max(1, int(recording.seconds * sample_rate)), sample_rate, rng)
    count = max(1, int(longest_s * sample_rate))
    piece = max((recording.clip(count, sample_rate, rng) for _ in range(PIECES)), key=rms)
    fade = np.minimum(1, np.arange(1, count + 1) / (FADE_S * sample_rate)).astype(np.float32)
    return piece * fade * fade[::-1]
