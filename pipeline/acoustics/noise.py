"""Noise in the user's microphone: clips one after another, each of its own level (FLM-Audio, section 3.2.1)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..audio.pcm import to_float
from ..dialogue import Timeline, Track, Waveform
from ..errors import UserError
from ..escapes import one_line
from ..recipe.file import Problem
from ..recipe.sections import DecibelRange, Range, Share
from ..storage.atomic import canonical_json
from ..storage.model_files import place
from ..storage.paths import PathText
from . import babble, synthesized
from .babble import Babble
from .effect import Effect, EffectSection
from .folder import RAW_SUFFIXES, SILENT, SUFFIXES, NoiseFile, examined, sound_files, stretches, text_sha256
from .gain import utterances
from .levels import limited, rms, rms_at
from .recordings import HELD_OUT_OF, Recording, Split
from .synthesized import Synthesized

EMBEDDED_VERSION = 1  # goes up when a noise that is embedded sounds different
TRIES = 10  # to find a piece of a recording that is not silent
MOST_NAMED = 3  # files that are left out
BABBLE = "babble"
Embedded = Literal["white", "pink", "hum", "fan", "clicks", "babble"]
EMBEDDED: tuple[Embedded, ...] = ("white", "pink", "hum", "fan", "clicks", "babble")


class ClipLength(Range):
    """A uniform distribution in seconds of at least 0.1."""

    low: Annotated[float, Field(ge=0.1, le=600)]


class NoiseSection(EffectSection):
    effect: Literal["noise"] = "noise"
    # Folders of sound, each drawn as often as another one. Relative to the working folder.
    folders: Annotated[list[PathText], Field(max_length=100)] = Field(default_factory=list)
    # Kinds, each drawn as often as a folder. None: all of them if there are no folders, and else none.
    embedded: Annotated[list[Embedded], Field(max_length=100)] | None = None
    split: Split = "train"
    level_db: DecibelRange = DecibelRange(low=-70, high=-40)  # of each clip
    silence_probability: Share = 0.3  # that silence takes the place of a clip
    clip_s: ClipLength = ClipLength(low=2.0, high=10.0)

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"folders"})


class Noise(Effect):
    """Values: `snr_db`, the power of the user's speech against that of noise while the user speaks; per clip, with its
    number, `start_sample`, `samples`, and, if it is not silence, `level_db` as it is drawn and the `source` and
    `recording` that it is taken from; `limited_samples` if there are any.

    Sources are the folders of the recipe, in its order, then the embedded kinds. Recordings are those of the split, in
    the order of names. The last clip ends with the track; its level is that of the part which is heard.
    """

    name: ClassVar[str] = "noise"
    Spec: ClassVar[type[EffectSection]] = NoiseSection

    def __init__(self, spec: EffectSection) -> None:
        assert isinstance(spec, NoiseSection)
        self.spec = spec
        self._folders = [place(folder) for folder in spec.folders]
        embedded = spec.embedded if spec.embedded is not None else [] if spec.folders else EMBEDDED
        self._embedded: Sequence[Embedded] = tuple(embedded)

    def check(self) -> list[Problem]:
        problems: list[Problem] = []
        if not self._folders and not self._embedded:
            problems.append((("embedded",), f"expected one of {', '.join(EMBEDDED)}, or folders: there is no noise"))
        for index, folder in enumerate(self._folders):
            if problem := _missing(folder):
                problems.append((("folders", index), problem))
        return problems

    def fingerprint(self) -> Mapping[str, Any]:
        folders = [
            {
                "sha256": text_sha256(canonical_json([[file.name, file.sha256] for file in files if not file.problem])),
                "files": sum(not file.problem for file in files),
                "left_out": sum(file.problem is not None for file in files),
            }
            for files in self._files
        ]
        _ = self._sources  # a split without a recording is an error before any work
        shape: dict[str, Any] = {"folders": folders} if folders else {}
        if self._embedded:
            shape |= {"embedded": EMBEDDED_VERSION, "scipy": version("scipy")}
        return shape | ({"babble": babble.checksum()} if BABBLE in self._embedded else {})

    def about(self) -> list[str]:
        return [*self._about_folders(), *([f"embedded: {', '.join(self._embedded)}"] if self._embedded else [])]

    def _about_folders(self) -> Iterator[str]:
        for folder, files, recordings in zip(self._folders, self._files, self._sources, strict=False):
            hours = sum(recording.seconds for recording in recordings) / 3600
            used = f"{folder}: {hours:.2f} hours in {len(recordings):,} recordings of the split {self.spec.split}"
            yield one_line(used + _left_out(files))

    @cached_property
    def _files(self) -> list[list[NoiseFile]]:
        """Of each folder. It is pickled to the workers, which so read no file as a whole."""
        return [examined(folder) for folder in self._folders]

    @cached_property
    def _sources(self) -> list[list[Recording]]:
        """Recordings of the split. Raises UserError if a source has none."""
        split, folders = self.spec.split, zip(self._folders, self._files, strict=True)
        of_folders = [_of_folder(folder, files, split) for folder, files in folders]
        return [*of_folders, *(_of_kind(kind, split) for kind in self._embedded)]

    def load(self) -> None:
        _ = self._sources

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
        source = int(rng.integers(len(self._sources)))
        recording = int(rng.integers(len(self._sources[source])))
        seconds = min(rng.uniform(spec.clip_s.low, spec.clip_s.high), self._sources[source][recording].seconds)
        level = rng.uniform(spec.level_db.low, spec.level_db.high)
        is_silence = rng.random() < spec.silence_probability
        count = max(1, min(most, int(seconds * sample_rate)))
        if is_silence:
            return np.zeros(count, np.float32), {}
        for _ in range(TRIES):
            clip = self._sources[source][recording].clip(count, sample_rate, rng)
            if (loudness := rms(clip)) >= SILENT:
                scaled = clip * np.float32(rms_at(level) / loudness)
                return scaled, {"level_db": level, "source": source, "recording": recording}
        return np.zeros(count, np.float32), {}


def _of_folder(folder: Path, files: Sequence[NoiseFile], split: Split) -> list[Recording]:
    recordings: list[Recording] = [one for one in stretches(folder, files) if one.split == split]
    if recordings:
        return recordings
    if not any(file.problem is None for file in files):
        raise UserError(f"{folder}: no file there can be used as noise{_left_out(files)}.")
    raise UserError(
        f"{folder}: none of its recordings is in the split {split}. About one in {HELD_OUT_OF} is held out, as its "
        f"content decides: expected more files there, or longer ones{_left_out(files)}."
    )


def _of_kind(kind: Embedded, split: Split) -> list[Recording]:
    if kind == BABBLE:
        return [Babble(variant, split) for variant in range(babble.VARIANTS)]
    variants = (Synthesized(kind, variant) for variant in range(synthesized.VARIANTS))
    return [variant for variant in variants if variant.split == split]


def _missing(folder: Path) -> str | None:
    expected = f"expected a folder with files that end in {', '.join(SUFFIXES + RAW_SUFFIXES)}"
    if not folder.is_dir():
        return f"{folder} is no folder: {expected}"
    return None if any(sound_files(folder)) else f"no sound in {folder}: {expected}"


def _left_out(files: Sequence[NoiseFile]) -> str:
    problems = [f"{file.name} {file.problem}" for file in files if file.problem]
    more = f"; and {len(problems) - MOST_NAMED:,} more" if len(problems) > MOST_NAMED else ""
    return f"; left out: {'; '.join(problems[:MOST_NAMED])}{more}" if problems else ""


def _snr(user: Waveform, noise: Waveform, timeline: Timeline) -> dict[str, float]:
    """Of the user's utterances; nothing if they or the noise are silent."""
    spans = [slice(start, end) for _, start, end in utterances(timeline)]
    speech, sound = (np.concatenate([channel[span] for span in spans] or [channel[:0]]) for channel in (user, noise))
    if not speech.any() or not sound.any():
        return {}
    return {"snr_db": 20 * float(np.log10(rms(speech) / rms(sound)))}
