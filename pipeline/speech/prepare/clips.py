"""Recordings as they are found: a folder of audio files with what is known of them, or a data set."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pipeline.dialogue import Waveform
from pipeline.errors import DialogueRejected, UserError
from pipeline.sources.rows import shown

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")
METADATA = ("metadata.csv", "metadata.jsonl")
LONGEST_READ_S = 600  # of a recording; a prompt is sought in its first ten minutes
ALIASES = {
    "file": ("file", "file_name", "path"),
    "text": ("text", "transcript", "transcription", "sentence", "normalized_text", "raw_transcription"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk_id"),
    "language": ("language", "locale", "lang"),
    "sex": ("sex", "gender"),
    "license": ("license", "licence"),
}
LANGUAGES = {"english": "en", "chinese": "zh", "mandarin": "zh", "cmn": "zh", "eng": "en", "zho": "zh"}


@dataclass(frozen=True, slots=True)
class About:
    """What is said of a recording beside it; None where nothing is."""

    text: str | None = None
    speaker: str | None = None  # who it is, by any name; clips of one speaker share a split and give one voice
    language: str | None = None  # ISO 639-1
    sex: Literal["female", "male"] | None = None
    license: str | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    where: str  # its name within its source
    content: Path | bytes  # an encoded audio file
    about: About

    def sha256(self) -> str:
        """Of the encoded file: what names the recording, wherever it lies."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        try:
            with self.content.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise DialogueRejected("broken_file", f"cannot be read: {error.strerror}") from error

    def decode(self) -> tuple[Waveform, int]:
        """One channel f32 [samples], the mean of all there are, and its rate in Hz; the first ten minutes at most.

        Raises DialogueRejected("broken_file").
        """
        import numpy as np
        import soundfile

        try:
            source = io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content
            with soundfile.SoundFile(source) as file:
                rate = int(file.samplerate)
                samples = file.read(LONGEST_READ_S * rate, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise DialogueRejected("broken_file", f"no audio that can be read: {error.error_string}") from error
        except (OSError, ValueError) as error:
            raise DialogueRejected("broken_file", f"no audio that can be read: {error}") from error
        if not np.isfinite(samples).all():
            raise DialogueRejected("broken_file", "samples that are not numbers")
        return cast(Waveform, samples.mean(axis=1, dtype=np.float32)), rate


@dataclass(frozen=True, slots=True)
class Unread:
    """A row or file that is no recording."""

    where: str
    reason: str
    detail: str


def about(row: Mapping[str, Any]) -> About:
    """What a row of metadata says. Raises DialogueRejected("bad_metadata") for a language that is none."""
    language = _field(row, "language")
    if language is not None:
        language = LANGUAGES.get(language.lower(), language.lower())
        if not re.fullmatch(r"[a-z]{2,3}([-_].*)?", language):
            raise DialogueRejected("bad_metadata", f"language {language!r}: expected ISO 639-1, such as en or zh")
        language = LANGUAGES.get(primary := re.split(r"[-_]", language)[0], primary)
    text = _field(row, "text")
    return About(
        text=" ".join(text.split()) if text else None,
        speaker=_field(row, "speaker"),
        language=language,
        sex=_sex(_field(row, "sex")),
        license=_field(row, "license"),
    )


def read_folder(folder: Path) -> Iterator[Recording | Unread]:
    """Every audio file under a folder, in the order of names, with what metadata.csv or metadata.jsonl says of it.

    What one row of metadata does wrong is given in its place. Raises UserError if there is no audio at all.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in audio_files(folder)}
    if not paths:
        raise UserError(f"{folder}: no audio there. Expected files that end in {', '.join(SUFFIXES)}")
    known: dict[str, About] = {}
    spoiled: set[str] = set()
    for where, row in _metadata(folder):
        if isinstance(row, Unread):
            yield row
            continue
        name = (_field(row, "file") or "").removeprefix("./")
        if name not in paths:
            yield Unread(where, "missing_file", f"{name or 'no file named'}: not among the audio files of the folder")
            continue
        try:
            said = about(row)
        except DialogueRejected as rejected:
            spoiled.add(name)
            yield Unread(name, rejected.reason, f"{where}: {rejected.detail}")
            continue
        if name in known and known[name] != said:
            spoiled.add(name)
            yield Unread(name, "bad_metadata", f"{where}: named before, with something else said of it")
        known[name] = said
    for name, path in sorted(paths.items()):
        if name not in spoiled:
            yield Recording(shown_path(name), path, known.get(name, About()))


def audio_files(folder: Path) -> Iterator[Path]:
    """Audio files at any depth; hidden ones and those in hidden folders are left out."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def shown_path(name: str) -> str:
    return "/".join(shown(Path(part)) for part in name.split("/"))


def _metadata(folder: Path) -> Iterator[tuple[str, dict[str, Any] | Unread]]:
    """Rows of the metadata file, each with its place. Raises UserError for one that is no table."""
    there = [folder / name for name in METADATA if (folder / name).is_file()]
    if not there:
        return
    if len(there) > 1:
        raise UserError(f"{folder}: both {' and '.join(METADATA)} are there; expected one of them")
    path = there[0]
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}. Expected UTF-8 text") from error
    yield from _csv_rows(path, content) if path.suffix == ".csv" else _jsonl_rows(path, content)


def _csv_rows(path: Path, content: str) -> Iterator[tuple[str, dict[str, Any] | Unread]]:
    reader = csv.DictReader(io.StringIO(content, newline=""))
    if not set(ALIASES["file"]) & set(reader.fieldnames or ()):
        raise UserError(
            f"{path}: no column `file` in its first line ({', '.join(reader.fieldnames or ()) or 'empty'}). Expected "
            "file, and any of text, speaker, language, sex, license"
        )
    try:
        for row in reader:
            where = f"{path.name}:{reader.line_num}"
            if None in row:
                yield where, Unread(where, "bad_metadata", "more fields than the first line names")
            else:
                yield where, row
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: no CSV: {error}") from error


def _jsonl_rows(path: Path, content: str) -> Iterator[tuple[str, dict[str, Any] | Unread]]:
    for number, line in enumerate(content.split("\n"), 1):
        where = f"{path.name}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield where, Unread(where, "bad_metadata", f"no JSON: {error}")
            continue
        yield where, row if isinstance(row, dict) else Unread(where, "bad_metadata", "expected a JSON object")


def _field(row: Mapping[str, Any], name: str) -> str | None:
    for alias in ALIASES[name]:
        value = row.get(alias)
        if isinstance(value, str | int) and str(value).strip():
            return str(value).strip()
    return None


def _sex(value: str | None) -> Literal["female", "male"] | None:
    """`F`, `female`, `female_feminine` and the like; None for anything else."""
    word = re.split(r"[^a-z]", (value or "").lower())[0]
    if word in ("f", "female", "woman"):
        return "female"
    return "male" if word in ("m", "male", "man") else None
