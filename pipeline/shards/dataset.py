"""Reading a finished data set."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError
from ..layouts import make_layout
from ..layouts.streams import Layout
from ..model_files import read_json_object
from ..recipe import Layout as LayoutSection
from ..recipe import Tokens
from ..tokens.vocabulary import Vocabulary

MANIFEST = "manifest.json"
SUCCESS = "_SUCCESS"
VOCABULARY = "vocabulary.json"
VOCABULARY_FOLDER = "vocabulary"
DIALOGUES, PREFERENCES = "dialogues", "preferences"
"""Kinds of data sets."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a data set; raises UserError if it is missing or damaged."""
    if not path.exists():
        raise UserError(f"{path} is missing: {path.parent} is no finished data set of duplexgen.")
    try:
        return read_json_object(path)
    except ValueError as error:
        raise UserError(f"{error}: it is damaged.") from None


def read_manifest(folder: Path) -> dict[str, Any]:
    return read_json(folder / MANIFEST)


@contextmanager
def opened(shard: Path) -> Iterator[pq.ParquetFile]:
    """A shard to read from; raises UserError if it is missing or damaged, also of what is read inside."""
    try:
        with pq.ParquetFile(shard) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{shard} is damaged ({error}). `duplexgen verify` says what else is.") from error


@dataclass(frozen=True)
class Dataset:
    """A finished data set; rows are read from disk as they are asked for."""

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return read_manifest(self.path)

    @property
    def kind(self) -> str:
        """DIALOGUES or PREFERENCES; data sets that do not say so are older than preferences."""
        return str(self.manifest.get("kind", DIALOGUES))

    @cached_property
    def described(self) -> dict[str, Any]:
        """vocabulary.json."""
        return read_json(self.path / VOCABULARY)

    @property
    def tokens(self) -> Tokens:
        """Of its recipe, or of that of the data set it was made from: what says where its tokenizers are."""
        return Tokens.model_validate(self.manifest.get("source", self.manifest)["recipe"]["tokens"])

    @property
    def sample_rate(self) -> int:
        return int(self.described["sample_rate"])

    @cached_property
    def layout(self) -> Layout:
        try:
            section = LayoutSection.model_validate(self.described["layout"])
            return make_layout(section, Vocabulary.from_json(self.described), self.described["samples_per_frame"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path / VOCABULARY} is damaged ({error}): build the data set again.") from error

    @property
    def shards(self) -> list[Path]:
        return [self.path / file["path"] for file in self.manifest["files"] if file["path"].startswith("data/")]

    def rows(self, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        """Rows in order, one row group in memory at a time."""
        for shard in self.shards:
            with opened(shard) as file:
                for group in range(file.num_row_groups):
                    yield from file.read_row_group(group, columns=columns).to_pylist()
