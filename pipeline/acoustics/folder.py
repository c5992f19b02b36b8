"""Folders of noise as DNS Challenge, MUSAN and RNNoise publish them: files of sound at any depth, of any length.

Every file is read once, piece by piece, before any work: what cannot be read is left out, and said. What was found is
kept in the user's cache folder as long as a file's size and time do not change.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from platformdirs import user_cache_path

from ..dialogue import Waveform
from ..errors import UserError
from ..storage.atomic import atomic_path, canonical_json, file_sha256
from .levels import rms
from .recordings import Split, split_of

SUFFIXES = (".flac", ".ogg", ".wav")
RAW_SUFFIXES = (".pcm", ".raw", ".sw")  # without a header, as RNNoise has them:
RAW = {"format": "RAW", "subtype": "PCM_16", "endian": "LITTLE", "channels": 1, "samplerate": 48000}
SHORTEST_S = 0.1
SILENT = 1e-4  # root mean square, -80 dB: a piece that is softer is silence
LOWEST_HZ = 4000
PIECE_FRAMES = 1 << 17
STRETCH_S = 600.0  # a longer file is several recordings of about this length
INDEX_VERSION = 1


@dataclass(frozen=True, slots=True)
class NoiseFile:
    """One file of a folder, as it was when it was read."""

    name: str  # its path in the folder
    size: int  # bytes
    time_ns: int
    problem: str | None  # why it is left out
    sha256: str = ""
    frames: int = 0
    rate: int = 0  # Hz


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file, or a whole file: `recordings.Recording`."""

    folder: Path
    file: NoiseFile
    first: int  # frame
    frames: int
    split: Split

    @property
    def seconds(self) -> float:
        return self.frames / self.file.rate

    def clip(self, num_samples: int, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """Raises UserError if the file is no longer what it was when it was read as a whole."""
        import soxr

        wanted = min(self.frames, -(-num_samples * self.file.rate // sample_rate))
        first = self.first + int(rng.integers(0, self.frames - wanted, endpoint=True))
        path = self.folder / self.file.name
        try:
            status = path.stat()
            if (status.st_size, status.st_mtime_ns) != (self.file.size, self.file.time_ns):
                raise UserError(f"{path} has changed since this build was started: start it again.")
            with opened(path) as file:
                file.seek(first)
                channels = file.read(wanted, dtype="float32", always_2d=True)
        except (OSError, soundfile.SoundFileError) as error:
            raise UserError(f"{path} cannot be read: {error}. It could when this build was started.") from error
        mono = channels.mean(axis=1, dtype=np.float32)
        clip = np.zeros(num_samples, np.float32)
        heard = soxr.resample(mono, self.file.rate, sample_rate)[:num_samples]
        clip[: len(heard)] = heard
        return clip


def stretches(folder: Path, files: Sequence[NoiseFile]) -> list[Stretch]:
    """The recordings of a folder, in the order of names. Those of a long file are split each by itself."""
    parts: list[Stretch] = []
    for file in files:
        if file.problem:
            continue
        count = max(1, round(file.frames / (STRETCH_S * file.rate)))
        edges = [file.frames * number // count for number in range(count + 1)]
        parts += [
            Stretch(folder, file, edges[number], edges[number + 1] - edges[number], split_of(f"{file.sha256}/{number}"))
            for number in range(count)
        ]
    return parts


def sound_files(folder: Path) -> Iterator[Path]:
    """Paths of the files of sound, in no order; hidden ones and those in hidden folders are left out."""
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES + RAW_SUFFIXES:
                yield Path(where, name)


def examined(folder: Path) -> list[NoiseFile]:
    """Every file of sound of a folder, in the order of names, read as a whole or as the cache knows it.

    Raises UserError if the folder cannot be read.
    """
    cache = user_cache_path("duplexgen") / "noise" / f"{text_sha256(str(folder.resolve()))}.json"
    known = _read_index(cache)
    names = sorted(path.relative_to(folder).as_posix() for path in sound_files(folder))
    files = [_examined(folder, name, known) for name in names]
    if {file.name: file for file in files} != known:
        content = {"version": INDEX_VERSION, "files": [asdict(file) for file in files]}
        with suppress(UserError, UnicodeEncodeError), atomic_path(cache) as path:  # without it, only time is lost
            path.write_text(canonical_json(content), encoding="utf-8")
    return files


def text_sha256(text: str) -> str:
    """Of any text; names of files may hold bytes that are no text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _read_index(cache: Path) -> dict[str, NoiseFile]:
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
        if content["version"] == INDEX_VERSION:
            return {file["name"]: NoiseFile(**file) for file in content["files"]}
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return {}


def _examined(folder: Path, name: str, known: dict[str, NoiseFile]) -> NoiseFile:
    path = folder / name
    try:
        status = path.stat()
        size, time_ns = status.st_size, status.st_mtime_ns
        old = known.get(name)
        if old and (old.size, old.time_ns) == (size, time_ns):
            return old
        if not path.is_file():
            return NoiseFile(name, size, time_ns, "is no plain file")
        frames, rate, problem = _heard(path)
        sha256 = "" if problem else file_sha256(path)
        return NoiseFile(name, size, time_ns, problem, sha256, frames, rate)
    except OSError as error:
        return NoiseFile(name, 0, 0, f"cannot be read: {error.strerror}")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file of sound. Raises soundfile.SoundFileError if it is none."""
    raw = RAW if path.suffix.lower() in RAW_SUFFIXES else {}
    with path.open("rb") as stream, soundfile.SoundFile(stream, **raw) as file:
        yield file


def _heard(path: Path) -> tuple[int, int, str | None]:
    """Frames and rate of a file that is read to its end, and why it is no noise; None: it is."""
    loudest, frames = 0.0, 0
    try:
        with opened(path) as file:
            rate, expected = file.samplerate, file.frames
            if rate < LOWEST_HZ:
                return expected, rate, f"has {rate} Hz, expected at least {LOWEST_HZ}"
            while len(piece := file.read(PIECE_FRAMES, dtype="float32", always_2d=True)):
                if not np.isfinite(piece).all():
                    return expected, rate, "has samples that are not numbers"
                loudest = max(loudest, rms(piece.mean(axis=1)))
                frames += len(piece)
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        return 0, 0, f"is damaged, or is not what its name says: {error}"
    if frames != expected:
        return frames, rate, f"is cut off: it has {frames} of {expected} frames"
    if frames < SHORTEST_S * rate:
        return frames, rate, f"is too short: {frames / rate:.4f} s, expected at least {SHORTEST_S:g} s"
    return frames, rate, None if loudest >= SILENT else "is silent"
