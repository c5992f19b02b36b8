"""Recordings from a folder of audio files with their metadata, or from a data set."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ..dialogue import Waveform
from ..errors import DialogueRejected, UserError
from ..measures.transcript import KNOWN_LANGUAGES
from ..sources.rows import shown

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")
UNREAD_SUFFIXES = (
    *(".3gp", ".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".caf", ".m4a", ".m4b", ".mka", ".mp2", ".mp4"),
    *(".oga", ".spx", ".webm", ".wma", ".wv"),
)
METADATA = ("metadata.csv", "metadata.jsonl")
DATA_SET_SUFFIXES = (".parquet", ".arrow", ".csv", ".tsv", ".json", ".jsonl", ".tar", ".zip", ".gz")
LONGEST_READ_S = 600  # of a recording; the clip is cut from its first ten minutes
ALIASES = {
    "file": ("file", "file_name", "path"),
    "text": ("text", "transcript", "transcription", "sentence", "normalized_text", "raw_transcription"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk_id"),
    "language": ("language", "locale", "lang"),
    "sex": ("sex", "gender"),
    "license": ("license", "licence"),
}
LANGUAGES = {
    "english": "en",
    "chinese": "zh",
    "mandarin": "zh",
    "cmn": "zh",
    "eng": "en",
    "zho": "zh",
    "jv": "jw",  # as Whisper calls it
    "nb": "no",
}


@dataclass(frozen=True, slots=True)
class About:
    """Metadata of a recording; None where a field is missing."""

    text: str | None = None
    speaker: str | None = None  # any name of the person; all clips of a speaker share a split and give one voice
    language: str | None = None  # one of KNOWN_LANGUAGES
    sex: Literal["female", "male"] | None = None
    license: str | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file with its metadata."""

    where: str  # its name within its source
    content: Path | bytes  # an encoded audio file
    about: About

    def sha256(self) -> str:
        """Of the encoded file, as the name of the recording. Raises DialogueRejected("broken_file")."""
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
    """A row or file that is not a recording."""

    where: str
    reason: str
    detail: str


def about(row: Mapping[str, Any]) -> About:
    """What a row of metadata says. Raises DialogueRejected("bad_metadata") for a language Whisper does not know."""
    language = _field(row, "language")
    text = _field(row, "text")
    return About(
        text=" ".join(text.split()) if text else None,
        speaker=_field(row, "speaker"),
        language=None if language is None else language_code(language),
        sex=_sex(_field(row, "sex")),
        license=_field(row, "license"),
    )


def language_code(language: str) -> str:
    """The code of a language that is named by its code, by a tag such as en-US, or by a name in LANGUAGES.

    Raises DialogueRejected("bad_metadata") for one that Whisper does not know.
    """
    primary = re.split(r"[-_]", language.strip().lower())[0]
    code = LANGUAGES.get(primary, primary)
    if code not in KNOWN_LANGUAGES:
        raise DialogueRejected(
            "bad_metadata", f"language {language!r}: expected one that Whisper knows, by its ISO 639-1 code, such as en"
        )
    return code


def read_folder(folder: Path) -> Iterator[Recording | Unread]:
    """Every audio file under a folder, in the order of names, with what metadata.csv or metadata.jsonl says of it.

    A row of metadata with a mistake gives an Unread in its place. Raises UserError if there is no audio at all, or
    the metadata is not a table.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in audio_files(folder)}
    if not paths:
        raise UserError(f"{folder}: no audio there. Expected files that end in {', '.join(SUFFIXES)}")
    not_read = _not_read(folder)
    yield from not_read.values()
    known: dict[str, About] = {}
    spoiled: set[str] = set()
    for where, row in _metadata(folder):
        if isinstance(row, Unread):
            yield row
            continue
        if isinstance(row, list):  # any field may be the file: a comma too many shifts those after it
            name = next((file for file in map(_file, row) if file in paths), where)
            spoiled.add(name)
            yield Unread(name, "bad_metadata", f"{where}: {len(row)} fields, more than the first line names")
            continue
        name = _file(_field(row, "file") or "")
        if name in not_read:
            continue
        if name not in paths:
            yield Unread(where, "missing_file", f"{name or 'no file named'}: not among the audio files of the folder")
            continue
        try:
            metadata = about(row)
        except DialogueRejected as rejected:
            spoiled.add(name)
            yield Unread(name, rejected.reason, f"{where}: {rejected.detail}")
            continue
        if name in known and known[name] != metadata:
            spoiled.add(name)
            yield Unread(name, "bad_metadata", f"{where}: named before, with other metadata")
        known[name] = metadata
    for name, path in sorted(paths.items()):
        if name not in spoiled:
            yield Recording(shown_path(name), path, known.get(name, About()))


def audio_files(folder: Path) -> Iterator[Path]:
    """Audio files at any depth; hidden ones and those in hidden folders are left out."""
    for path in _visible(folder):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def may_be_data_set(folder: Path) -> bool:
    """Whether a folder has a file in which `datasets` could find rows with audio."""
    return any(
        path.suffix.lower() in DATA_SET_SUFFIXES and path.name not in METADATA and path.is_file()
        for path in _visible(folder)
    )


def _visible(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _not_read(folder: Path) -> dict[str, Unread]:
    """Files that have the name of an audio file but cannot be read, in the order of names."""
    unread = {}
    for path in sorted(_visible(folder)):
        if path.suffix.lower() not in SUFFIXES + UNREAD_SUFFIXES:
            continue
        if not path.is_file():
            detail = "no file; expected one, or a link to one that is there"
        elif path.suffix.lower() in UNREAD_SUFFIXES:
            detail = f"expected a file that ends in {', '.join(SUFFIXES)}: convert it, with ffmpeg for example"
        else:
            continue
        name = path.relative_to(folder).as_posix()
        unread[name] = Unread(shown_path(name), "not_read", detail)
    return unread


def shown_path(name: str) -> str:
    """A path as text of one line, with each of its parts as `shown`."""
    return "/".join(shown(Path(part)) for part in name.split("/"))


def _metadata(folder: Path) -> Iterator[tuple[str, dict[str, Any] | list[str] | Unread]]:
    """Rows of the metadata file, each with its place; a list of fields where there are more than columns.

    Raises UserError for a file that is not a table.
    """
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


def _csv_rows(path: Path, content: str) -> Iterator[tuple[str, dict[str, Any] | list[str]]]:
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    line = 1  # at which a row begins
    try:
        columns = next(reader, [])
        if not set(ALIASES["file"]) & set(columns):
            raise UserError(
                f"{path}: no column `file` in its first line ({', '.join(columns) or 'empty'}). Expected "
                "file, and any of text, speaker, language, sex, license"
            )
        line = reader.line_num + 1
        for fields in reader:
            if any("\n" in field for field in fields):  # an open quote pulls the next rows into its field
                raise csv.Error("a field in quotes does not end on its line")
            if fields:
                row = dict(zip(columns, fields, strict=False))
                yield f"{path.name}:{line}", row if len(fields) <= len(columns) else fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}:{line}: the row that begins here is not CSV: {error}. Expected each row on one line. Close the "
            "quote that opens a field, and double those inside it"
        ) from error


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


def _file(name: str) -> str:
    return name.strip().removeprefix("./")


def _sex(value: str | None) -> Literal["female", "male"] | None:
    """`F`, `female`, `female_feminine` and the like; None for anything else."""
    word = re.split(r"[^a-z]", (value or "").lower())[0]
    if word in ("f", "female", "woman"):
        return "female"
    return "male" if word in ("m", "male", "man") else None
