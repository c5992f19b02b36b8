"""Noise in the user's microphone: clips one after another, each of its own level (FLM-Audio, section 3.2.1)."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..audio.pcm import to_float
from ..dialogue import Timeline, Track, Waveform
from ..recipe.sections import DecibelRange, Range, Share
from . import babble, synthesized
from .babble import Babble
from .effect import EffectSection
from .folder import SILENT
from .gain import utterances
from .levels import limited, rms, rms_at
from .recordings import Recording, Split
from .sources import FromSources, SourcesSection
from .synthesized import Synthesized

EMBEDDED_VERSION = 2  # goes up when a noise that is embedded sounds different
TRIES = 10  # to find a piece of a recording that is not silent
BABBLE = "babble"
Embedded = Literal["white", "pink", "hum", "fan", "clicks", "babble"]
EMBEDDED: tuple[Embedded, ...] = ("white", "pink", "hum", "fan", "clicks", "babble")


class ClipLength(Range):
    """A uniform distribution in seconds of at least 0.1."""

    low: Annotated[float, Field(ge=0.1, le=600)]


class NoiseSection(SourcesSection):
    effect: Literal["noise"] = "noise"
    # Kinds, each drawn as often as a folder. None: all of them if there are no folders, and else none.
    embedded: Annotated[list[Embedded], Field(max_length=100)] | None = None
    level_db: DecibelRange = DecibelRange(low=-70, high=-40)  # of each clip
    silence_probability: Share = 0.3  # that silence takes the place of a clip
    clip_s: ClipLength = ClipLength(low=2.0, high=10.0)


class Noise(FromSources):
    """Values: `snr_db`, the power of the user's speech against that of noise while the user speaks; per clip, with its
    number, `start_sample`, `samples`, and, if it is not silence, `level_db` as it is drawn and the `source` and
    `recording` that it is taken from; `limited_samples` if there are any.

    The last clip ends with the track; its level is that of the part which is heard.
    """

    name: ClassVar[str] = "noise"
    Spec: ClassVar[type[EffectSection]] = NoiseSection

    KINDS: ClassVar[Sequence[str]] = EMBEDDED

    def __init__(self, spec: EffectSection) -> None:
        assert isinstance(spec, NoiseSection)
        super().__init__(spec, spec.embedded)
        self.spec = spec

    def of_kind(self, kind: str, split: Split) -> list[Recording]:
        if kind == BABBLE:
            return [Babble(variant, split) for variant in range(babble.VARIANTS)]
        variants = (Synthesized(kind, variant) for variant in range(synthesized.VARIANTS))
        return [variant for variant in variants if variant.split == split]

    def shape_of_kinds(self, kinds: Sequence[str]) -> dict[str, Any]:
        shape = {"embedded": EMBEDDED_VERSION, "scipy": version("scipy")}
        return shape | ({"babble": babble.checksum()} if BABBLE in kinds else {})

    def apply(self, track: Track, timeline: Timeline, rng: np.random.Generator) -> tuple[Track, Mapping[str, float]]:
        length, rate = track.samples.shape[1], track.sample_rate
        noise = np.zeros(length, np.float32)
        values: dict[str, float] = {}
        start = number = 0
        while start < length:
            clip, drawn = self._clip(length - start, rate, rng)
            noise[start : start + len(clip)] = clip
            of_clip = {"start_sample": start, "samples": len(clip)} | drawn
            values |= {f"{name}[{number}]": float(value) for name, value in of_clip.items()}
            start, number = start + len(clip), number + 1
        user = to_float(track.samples[0])
        samples = track.samples.copy()
        samples[0], count = limited(user + noise, rate)
        values = _snr(user, noise, timeline) | values | ({"limited_samples": float(count)} if count else {})
        return Track(samples, rate), values

    def _clip(self, most: int, sample_rate: int, rng: np.random.Generator) -> tuple[Waveform, dict[str, float]]:
        """A clip of at most `most` samples at its level, and what was drawn for it."""
        spec = self.spec
        source = int(rng.integers(len(self.sources)))
        recording = int(rng.integers(len(self.sources[source])))
        seconds = min(rng.uniform(spec.clip_s.low, spec.clip_s.high), self.sources[source][recording].seconds)
        level = rng.uniform(spec.level_db.low, spec.level_db.high)
        is_silence = rng.random() < spec.silence_probability
        count = max(1, min(most, int(seconds * sample_rate)))
        if is_silence:
            return np.zeros(count, np.float32), {}
        for _ in range(TRIES):
            clip = self.sources[source][recording].clip(count, sample_rate, rng)
            if (loudness := rms(clip)) >= SILENT:
                scaled = clip * np.float32(rms_at(level) / loudness)
                return scaled, {"level_db": level, "source": source, "recording": recording}
        return np.zeros(count, np.float32), {}


def _snr(user: Waveform, noise: Waveform, timeline: Timeline) -> dict[str, float]:
    """Of the user's utterances; nothing if they or the noise are silent."""
    spans = [slice(start, end) for _, start, end in utterances(timeline)]
    speech, sound = (np.concatenate([channel[span] for span in spans] or [channel[:0]]) for channel in (user, noise))
    if not speech.any() or not sound.any():
        return {}
    return {"snr_db": 20 * float(np.log10(rms(speech) / rms(sound)))}
