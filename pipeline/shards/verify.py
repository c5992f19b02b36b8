"""Checking a finished data set: every checksum, the ledger, and what holds for every row.

Rows with audio are tokenized again. The embedded tokenizer must give the very codes; where codes are a network's, a
small share of them may differ (`invariants.ROUNDED_SHARE`), since no two machines round alike.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow.parquet as pq
from pydantic import ValidationError

from .. import __version__
from ..errors import UserError
from ..layouts.bayling import BaylingLayout
from ..layouts.streams import Layout
from ..pairs.recipe import PairsRecipe
from ..recipe import Recipe, Section
from ..recipe_file import dotted
from ..tokens import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, installed
from .atomic import file_sha256
from .dataset import DIALOGUES, MANIFEST, PREFERENCES, SUCCESS, Dataset, read_json
from .invariants import Checker
from .ledger import ledger_failures
from .pair_invariants import PairChecker
from .statistics import QUALITIES, Statistics, measure, measure_pair

S = TypeVar("S", bound=Section)


def verify(folder: Path, report: Callable[[int], None]) -> Iterator[str]:
    """Everything that is wrong with a data set, in words; nothing if it is whole.

    report: called with the number of rows checked so far. Rows are checked only if every file is what the manifest
    says. Raises UserError if the folder is no data set, was made with tokenizers that are not installed or whose models
    are not where its recipe says, or by a version of duplexgen with other recipes.
    """
    dataset = Dataset(folder)
    damaged = False
    for failure in check_files(dataset):
        damaged = True
        yield failure
    if damaged:
        return
    yield from _check_ledger(dataset)
    yield from _check_rows(dataset, report)


def check_files(dataset: Dataset) -> Iterator[str]:
    """Every file that is not, byte for byte, what the manifest says, and every one it does not list.

    Hidden ones may be there: .gitattributes and .cache/ come with a download from the Hub, .nfs* with NFS.
    """
    manifest = dataset.manifest
    if read_json(dataset.path / SUCCESS).get("manifest_sha256") != file_sha256(dataset.path / MANIFEST):
        yield f"{MANIFEST}: is not the one that {SUCCESS} was written for"
        return
    files = manifest["files"]
    for file in files:
        path = dataset.path / file["path"]
        if not path.is_file():
            yield f"{file['path']}: is missing"
        elif path.stat().st_size != file["bytes"]:
            yield f"{file['path']}: has {path.stat().st_size} bytes, expected {file['bytes']}"
        elif file_sha256(path) != file["sha256"]:
            yield f"{file['path']}: its sha256 is not the one in {MANIFEST}"
        elif "rows" in file and (rows := pq.read_metadata(path).num_rows) != file["rows"]:
            yield f"{file['path']}: has {rows} rows, expected {file['rows']}"
    listed = {file["path"] for file in files} | {MANIFEST, SUCCESS}
    present = (path.relative_to(dataset.path) for path in dataset.path.rglob("*") if path.is_file())
    visible = {str(path) for path in present if not any(part.startswith(".") for part in path.parts)}
    for extra in sorted(visible - listed):
        yield f"{extra}: is not listed in {MANIFEST}"


def _check_ledger(dataset: Dataset) -> Iterator[str]:
    fan_out = {}
    if dataset.kind == DIALOGUES:
        recipe = _recipe(dataset, Recipe, dataset.manifest["recipe"])
        fan_out = {"speech": recipe.speech.renditions, "data": recipe.timing.takes}
    yield from ledger_failures(dataset.path, dataset.manifest["ledger"], dataset.manifest["files"], fan_out)


def _check_rows(dataset: Dataset, report: Callable[[int], None]) -> Iterator[str]:
    checker, add = (_pairs if dataset.kind == PREFERENCES else _dialogues)(dataset)
    statistics = Statistics()
    all_whole = True
    ids = sqlite3.connect("")
    ids.execute("create table ids (id text primary key) without rowid")
    for count, row in enumerate(dataset.rows(), start=1):
        dialogue_id = row["dialogue_id"]
        whole = True
        for failure in checker.check(row):
            whole = False
            yield f"{dialogue_id}: {failure}"
        if ids.execute("insert or ignore into ids values (?)", (dialogue_id,)).rowcount == 0:
            yield f"{dialogue_id}: stands in the data set twice"
        if whole:  # others need not be measurable
            add(statistics, row, dataset.layout, dataset.sample_rate)
        all_whole &= whole
        report(count)
    of_rows = {name: tally for name, tally in dataset.manifest["statistics"].items() if name not in QUALITIES}
    if all_whole and not _same(statistics.to_json(), of_rows):
        yield f"{MANIFEST}: its statistics are not those of the rows"


class RowChecker(Protocol):
    def check(self, row: dict[str, Any]) -> Iterator[str]: ...


Measure = Callable[[Statistics, dict[str, Any], Layout, int], None]


def _dialogues(dataset: Dataset) -> tuple[RowChecker, Measure]:
    checker = Checker(
        _recipe(dataset, Recipe, dataset.manifest["recipe"]),
        dataset.layout,
        _tokenizer(dataset, TEXT_TOKENIZERS, "text_tokenizer"),
        _tokenizer(dataset, SPEECH_TOKENIZERS, "speech_tokenizer"),
    )
    return checker, measure


def _pairs(dataset: Dataset) -> tuple[RowChecker, Measure]:
    manifest, layout = dataset.manifest, dataset.layout
    if not isinstance(layout, BaylingLayout):
        raise UserError(f"{dataset.path} has the layout {layout.name}; pairs are known of bayling alone.")
    recipe = _recipe(dataset, PairsRecipe, manifest["recipe"])
    made_of = _recipe(dataset, Recipe, manifest["source"]["recipe"])
    return PairChecker(recipe, made_of, layout), measure_pair


def _recipe(dataset: Dataset, model: type[S], recipe: dict[str, Any]) -> S:
    try:
        return model.model_validate(recipe)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UserError(
            f"{dataset.path / MANIFEST}: duplexgen {__version__} does not know its recipe "
            f"({dotted(problem['loc'])}: {problem['msg']}). It was built by duplexgen "
            f"{dataset.manifest['software']['duplexgen']}: verify it with that version."
        ) from error


def _tokenizer(dataset: Dataset, table: Mapping[str, Any], part: str) -> Any:
    described = dataset.described[part]
    try:
        return installed(table, described, dataset.tokens)
    except UserError as error:
        if getattr(dataset.tokens, described["name"], None) is None:  # it is duplexgen's own
            raise
        raise UserError(
            f"{error}\nThe data set's files were checked, and its rows were not: that needs the model of its recipe, "
            f"where {dataset.path / MANIFEST} says (tokens.{described['name']}). Relative paths start at the folder "
            "you work in: run the command where the data set was built, or put the model, or a link to it, there."
        ) from error


def _same(left: Any, right: Any) -> bool:
    """Equal, but for the last bits of sums of seconds, which depend on the order in which they are added."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, float) and isinstance(right, int | float):
        return abs(left - right) <= 1e-9 * max(abs(left), abs(right))
    return bool(left == right)
