"""A voice bank of recordings: a folder that `duplexgen voices prepare` has made.

BANK/bank.json        the voices, with the sha256 of each clip
BANK/clips/NAME.wav   one clip per voice: mono PCM16 at the clip's own rate, trimmed
BANK/README.md        the card: how many clips were kept, and why others were not
BANK/recipe.yaml      the recipe of the bank
BANK/rejected.jsonl   every clip that was not kept, with its reason and figures
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import UserError
from .engine import Prompt, Voice

FORMAT_VERSION = 1
BANK_FILE = "bank.json"
CLIPS = "clips"
MAKE = "duplexgen voices prepare"


class RecordedVoice(BaseModel):
    """One row of bank.json."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    languages: Annotated[tuple[str, ...], Field(min_length=1)]  # ISO 639-1
    sex: Literal["female", "male"] | None
    split: Literal["train", "eval"]
    file: str  # clips/NAME.wav
    text: Annotated[str, Field(min_length=1)]  # what the clip says
    duration_s: Annotated[float, Field(gt=0)]
    dnsmos: float  # overall (OVRL)
    license: str
    provenance: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # of the file

    @model_validator(mode="after")
    def file_of_its_name(self) -> "RecordedVoice":
        if self.file != f"{CLIPS}/{self.name}.wav":
            raise ValueError(f"expected the file {CLIPS}/{self.name}.wav, got {self.file}")
        return self


class Index(BaseModel):
    """bank.json."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    format_version: Literal[1]
    voices: Annotated[tuple[RecordedVoice, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def distinct(self) -> "Index":
        for what, values in (
            ("name", [v.name.lower() for v in self.voices]),
            ("clip", [v.sha256 for v in self.voices]),
        ):
            if repeated := {value for value, count in Counter(values).items() if count > 1}:
                raise ValueError(f"two voices of one {what}: {', '.join(sorted(repeated))}")
        return self


class RecordedBank:
    """The voices of a bank, and their clips one by one. Make it with `RecordedBank.read`; it can be pickled."""

    def __init__(self, folder: Path, rows: Mapping[str, RecordedVoice]) -> None:
        self.folder = folder
        self._rows = dict(rows)

    @classmethod
    def read(cls, folder: Path) -> "RecordedBank":
        """Read a bank and compare every clip with its checksum. Raises UserError if it is damaged, or not a bank."""
        path = folder / BANK_FILE
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise UserError(
                f"{folder} is not a voice bank: expected {BANK_FILE} there. Make one with: {MAKE}"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path} cannot be read: {error}. Make the bank again with: {MAKE}") from error
        format_version = value.get("format_version") if isinstance(value, dict) else None
        if format_version != FORMAT_VERSION:
            raise UserError(
                f"{path}: format_version is {format_version!r}, expected {FORMAT_VERSION}. Make the bank again with: "
                f"{MAKE}"
            )
        try:
            index = Index.model_validate(value)
        except ValidationError as error:
            mistakes = "; ".join(
                f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg']}" for mistake in error.errors()[:5]
            )
            raise UserError(f"{path} is damaged: {mistakes}. Make the bank again with: {MAKE}") from error
        bank = cls(folder, {row.name: row for row in index.voices})
        for row in index.voices:
            bank._bytes(row)
        return bank

    @property
    def voices(self) -> Mapping[str, Voice]:
        return MappingProxyType(
            {
                row.name: Voice(row.name, row.languages, row.sex, row.provenance, row.split)
                for row in self._rows.values()
            }
        )

    def prompt(self, name: str) -> Prompt:
        """The clip of a voice. Raises KeyError if there is no such voice, UserError if the clip is damaged."""
        import soundfile

        row = self._rows[name]
        try:
            samples, rate = soundfile.read(io.BytesIO(self._bytes(row)), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise UserError(
                f"{self.folder / row.file} is not a sound file: {error}. Expected mono PCM16 WAV"
            ) from error
        if samples.shape[1] != 1 or not len(samples):
            raise UserError(
                f"{self.folder / row.file}: {samples.shape[1]} channels of {len(samples)} samples; expected one "
                f"channel that is not empty. Make the bank again with: {MAKE}"
            )
        return Prompt(row.text, samples[:, 0].copy(), rate, row.sha256)

    def checksum(self) -> str:
        """sha256 of what shapes speech and who may be drawn: names, languages, splits, transcripts, clips."""
        shaping = [[row.name, list(row.languages), row.split, row.text, row.sha256] for row in self._rows.values()]
        return hashlib.sha256(json.dumps(sorted(shaping)).encode()).hexdigest()

    def _bytes(self, row: RecordedVoice) -> bytes:
        path = self.folder / row.file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}, the clip of voice {row.name}, cannot be read: {error.strerror}") from error
        if (actual := hashlib.sha256(content).hexdigest()) != row.sha256:
            raise UserError(
                f"{path} is damaged: sha256 {actual}, expected {row.sha256}. Copy it again, or make the bank again "
                f"with: {MAKE}"
            )
        return content
