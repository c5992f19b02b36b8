"""Checking a finished data set: every checksum, the ledger, and what holds for every row.

Rows with audio are tokenized again. The embedded tokenizer must give the very codes; where codes are a network's, a
small share of them may differ (`invariants.ROUNDED_SHARE`), since no two machines round alike.

Nothing that a data set says is believed before it is checked: what is wrong is said in words, whatever stands there.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from ..errors import UserError
from ..escapes import visible
from ..layouts.layout import Layout
from ..layouts.vocabulary import END_OF_TEXT, STATE_TOKENS, TOKENIZER_CONFIG, TOKENIZER_FILES, Vocabulary, audio_token
from ..pairs.checks import CAPPED, PairChecker
from ..storage.atomic import file_sha256
from ..storage.paths import read_bytes
from ..tokens.described import DescribedSpeechTokenizer, DescribedTextTokenizer
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, installed
from .invariants import Checker, RowOrder
from .ledger import ledger_failures
from .manifest import (
    REJECTED,
    ROUNDING,
    VOCABULARY,
    VOCABULARY_FOLDER,
    DialoguesManifest,
    File,
    Manifest,
    PreferencesManifest,
    agree,
    contradictions,
    fan_out,
)
from .reader import (
    LARGEST_JSON_BYTES,
    LARGEST_TOKENIZER_BYTES,
    MANIFEST,
    SUCCESS,
    Dataset,
    MalformedDataset,
    link_in,
    open_table,
    read_json,
)
from .row_sizes import rows_of
from .schema import REJECTED as REJECTED_COLUMNS
from .statistics import QUALITIES, Statistics, measure, measure_pair

PRINTS = {"name", "version", "sha256"}  # what of a tokenizer decides what it gives
MOST_FAILURES_OF_A_ROW = 20
LONGEST_NAME = 200  # characters of a file or a dialogue, in a sentence


def verify(folder: Path, report: Callable[[int], None]) -> Iterator[str]:
    """Everything that is wrong with a data set, in words; nothing if it is whole.

    report: called with the number of rows checked so far. Rows are checked only if every file is what the manifest
    says. Raises UserError if the folder is no data set, is one of another version of duplexgen, or was made with
    tokenizers that are not installed or whose models are not where its recipe says.
    """
    dataset = Dataset(folder)
    try:
        damaged = False
        for failure in check_files(dataset):
            damaged = True
            yield failure
        if not damaged:
            yield from check_manifest(dataset)
            yield from _check_rows(dataset, report)
    except MalformedDataset as error:
        yield from error.failures


def check_whole(dataset: Dataset) -> list[str]:
    """What is wrong with a data set, all but what its rows say: for who is about to read it.

    Raises UserError if it is no data set, or one of another version.
    """
    try:
        return [*check_files(dataset)] or [*check_manifest(dataset)]
    except MalformedDataset as error:
        return list(error.failures)


def check_files(dataset: Dataset) -> Iterator[str]:
    """Every file that is not, byte for byte, what the manifest says, and every one it does not list.

    Hidden ones may be there: .gitattributes and .cache/ come with a download from the Hub, .nfs* with NFS.
    """
    if dataset.success.manifest_sha256 != _sha256_of_manifest(dataset):
        yield f"{MANIFEST}: is not the one that {SUCCESS} was written for"
        return
    files = dataset.manifest.files
    for file in files:
        if problem := _not_there(dataset, file) or _file_problem(dataset, file):
            yield f"{file.path}: {problem}"
    listed = {file.path for file in files} | {MANIFEST, SUCCESS}
    for extra in sorted(set(_visible(dataset.path)) - listed):
        yield f"{visible(extra, LONGEST_NAME)}: is not listed in {MANIFEST}"


def missing_files(dataset: Dataset) -> Iterator[str]:
    """What `check_files` finds without reading tables: files that are gone, are links, or have another size."""
    if dataset.success.manifest_sha256 != _sha256_of_manifest(dataset):
        yield f"{MANIFEST}: is not the one that {SUCCESS} was written for"
        return
    for file in dataset.manifest.files:
        if problem := _not_there(dataset, file):
            yield f"{file.path}: {problem}"


def _sha256_of_manifest(dataset: Dataset) -> str:
    path = dataset.path / MANIFEST
    try:
        return hashlib.sha256(read_bytes(path, LARGEST_JSON_BYTES)).hexdigest()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {dataset.path} is no finished data set of duplexgen.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _not_there(dataset: Dataset, file: File) -> str:
    path = dataset.path / file.path
    try:
        if link_in(dataset.path, file.path):
            return "is a link or lies behind one, and a data set has none"
        if not path.is_file():
            return "is no plain file" if path.exists() else "is missing"
        if (size := path.stat().st_size) != file.bytes:
            return f"has {size} bytes, expected {file.bytes}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _file_problem(dataset: Dataset, file: File) -> str:
    path = dataset.path / file.path
    try:
        same = file_sha256(path) == file.sha256
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not same:
        return f"its sha256 is not the one in {MANIFEST}"
    return "" if file.rows is None else _table_problem(path, file, dataset)


def _table_problem(path: Path, file: File, dataset: Dataset) -> str:
    columns = REJECTED_COLUMNS if file.path.startswith(REJECTED) else dataset.columns
    try:
        table, problems = open_table(path, columns)
    except pa.ArrowException as error:
        return f"cannot be read as Parquet: {error}"
    with table:
        if (rows := table.metadata.num_rows) != file.rows:
            return f"has {rows} rows, expected {file.rows}"
    return "; ".join(problems)


def _visible(folder: Path, below: str = "") -> Iterator[str]:
    """Every file of a folder that is not hidden, relative to it; links are files."""
    with os.scandir(folder / below) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _visible(folder, f"{below}{entry.name}/")
            else:
                yield f"{below}{entry.name}"


def check_manifest(dataset: Dataset) -> Iterator[str]:
    """What the manifest and vocabulary.json say against themselves, each other and the rejected tables."""
    manifest = dataset.manifest
    for found in contradictions(manifest):
        yield f"{MANIFEST}: {found}"
    yield from ledger_failures(dataset.path, manifest.ledger, manifest.files, fan_out(manifest))
    yield from _check_described(dataset)
    yield from _check_vocabulary(dataset)


def _check_described(dataset: Dataset) -> Iterator[str]:
    """What vocabulary.json says beside the recipe, and beside the tokenizers that it names."""
    described, recipe = dataset.described, dataset.manifest.made_of
    tokens = recipe.tokens
    said = [
        ("layout", described.layout, recipe.layout),
        ("sample_rate", described.sample_rate, recipe.output.sample_rate),
        ("margin_frames", described.margin_frames, tokens.margin_frames),
        ("speech_tokenizer.name", described.speech_tokenizer.name, tokens.speech_tokenizer),
        ("text_tokenizer.name", described.text_tokenizer.name, tokens.text_tokenizer),
    ]
    if isinstance(dataset.manifest, DialoguesManifest):
        prints = described.model_dump(include={"speech_tokenizer": PRINTS, "text_tokenizer": PRINTS})
        for stage, part in (("tracks", "speech_tokenizer"), ("sequences", "text_tokenizer")):
            shaped_by = dataset.manifest.stages[stage].shaped_by
            said.append((part, agree(prints[part], shaped_by.get(part)), True))
    speech = SPEECH_TOKENIZERS.get(tokens.speech_tokenizer)
    if speech and not (tokenizer := speech(tokens)).check():
        said += [
            ("speech_tokenizer.codebooks", described.speech_tokenizer.codebooks, tokenizer.codebooks),
            ("audio.size", described.audio.size <= tokenizer.codebook_size, True),
            (
                "samples_per_frame",
                described.samples_per_frame * tokenizer.sample_rate,
                tokenizer.samples_per_frame * recipe.output.sample_rate,
            ),
        ]
    for name, value, expected in said:
        if value != expected:
            yield f"{VOCABULARY}: {name} is not that of the recipe"


def _check_vocabulary(dataset: Dataset) -> Iterator[str]:
    """Whether the ids of vocabulary.json are those of the tokenizer in vocabulary/, declared as each is."""
    file, config = (f"{VOCABULARY_FOLDER}/{name}" for name in TOKENIZER_FILES)
    if read_json(dataset.path / config) != TOKENIZER_CONFIG:
        yield f"{config}: is not the one that is written with every vocabulary"
    stored, described = read_json(dataset.path / file, LARGEST_TOKENIZER_BYTES), dataset.described
    try:
        own = stored["model"]["vocab"]  # ids by token, or pairs of token and score in the order of their ids
        names = {id_: token for token, id_ in own.items()} if isinstance(own, dict) else dict(enumerate(own))
        text_size = max(names) + 1
        names |= {token["id"]: token["content"] for token in stored["added_tokens"]}
    except (KeyError, TypeError, ValueError):
        yield f"{file}: is no tokenizer: it has no vocabulary"
        return
    vocabulary = described.vocabulary
    if text_size != vocabulary.text_size:
        yield f"{VOCABULARY}: text_tokenizer.vocab_size is {vocabulary.text_size}, that of {file} {text_size}"
    for state, id_ in described.state.items():
        if names.get(id_) != STATE_TOKENS[state]:
            yield f"{VOCABULARY}: the state {state} has the id {id_}, which {file} has for another token"
    if names.get(vocabulary.end_of_text) != END_OF_TEXT:
        yield f"{VOCABULARY}: end_of_text has the id {vocabulary.end_of_text}, which {file} has for another token"
    ids = vocabulary.audio_ids(range(vocabulary.audio_size)).tolist()
    if (wrong := next((code for code, id_ in enumerate(ids) if names.get(id_) != audio_token(code)), None)) is not None:
        yield f"{VOCABULARY}: the audio code {wrong} has the id {ids[wrong]}, which {file} has for another token"
    if names.get(ids[-1] + 1) == audio_token(len(ids)):
        yield f"{VOCABULARY}: audio.size is {len(ids)}, and {file} has an id for the next code, too"


def _check_rows(dataset: Dataset, report: Callable[[int], None]) -> Iterator[str]:
    checker, add = _checks(dataset)
    if isinstance(checker, RowOrder):
        yield from _check_words(dataset, checker.checker)
    statistics = Statistics()
    all_whole, capped = True, 0
    ids = sqlite3.connect("")
    ids.execute("create table ids (id text primary key) without rowid")
    rows = (found for batch in dataset.batches() for found in rows_of(batch))
    for count, (dialogue_id, row, problem) in enumerate(rows, start=1):
        named = f"row {count - 1}" if dialogue_id is None else visible(dialogue_id, LONGEST_NAME)
        failures = [*islice(checker.check(row), MOST_FAILURES_OF_A_ROW)] if row else [problem]
        for failure in failures:
            yield f"{named}: {failure}"
        if dialogue_id and ids.execute("insert or ignore into ids values (?)", (dialogue_id,)).rowcount == 0:
            yield f"{named}: stands in the data set twice"
        if row and not failures:  # others need not be measurable
            add(statistics, row, dataset.layout, dataset.sample_rate)
            capped += bool(row.get(CAPPED))
        all_whole &= not failures
        report(count)
    if not all_whole:
        return
    yield from check_statistics(dataset.manifest, statistics)
    if dataset.manifest.ledger[-1].notes.get(CAPPED, 0) != capped:
        yield f"ledger: {capped} rows are capped, and it notes {dataset.manifest.ledger[-1].notes.get(CAPPED, 0)}"


def _check_words(dataset: Dataset, checker: Checker) -> Iterator[str]:
    """Whether vocabulary/ has the tokenizer that the recipe's give, each word and rule of it."""
    file = f"{VOCABULARY_FOLDER}/{TOKENIZER_FILES[0]}"
    built = Vocabulary.build(checker.text_tokenizer, checker.speech_tokenizer)
    assert built.tokenizer_json, "a vocabulary that is built has its tokenizer"
    if json.loads(built.tokenizer_json) != read_json(dataset.path / file, LARGEST_TOKENIZER_BYTES):
        yield f"{file}: is not the tokenizer of the recipe, {dataset.tokens.text_tokenizer}, with its states and codes"


def check_statistics(manifest: Manifest, of_rows: Statistics) -> Iterator[str]:
    """Whether a manifest's statistics are those of all its rows, but for what was measured before they were rows."""
    stored = {name: tally.model_dump() for name, tally in manifest.statistics.items() if name not in QUALITIES}
    if not _same(of_rows.to_json(), stored):
        yield f"{MANIFEST}: its statistics are not those of the rows"


class RowChecker(Protocol):
    def check(self, row: dict[str, Any]) -> Iterator[str]: ...


Measure = Callable[[Statistics, dict[str, Any], Layout, int], None]


def _checks(dataset: Dataset) -> tuple[RowChecker, Measure]:
    manifest, layout = dataset.manifest, dataset.layout
    if isinstance(manifest, PreferencesManifest):
        return PairChecker(manifest.recipe, manifest.made_of, layout), measure_pair
    checker = Checker(
        manifest.made_of,
        layout,
        _tokenizer(dataset, TEXT_TOKENIZERS, dataset.described.text_tokenizer),
        _tokenizer(dataset, SPEECH_TOKENIZERS, dataset.described.speech_tokenizer),
        dataset.described.samples_per_frame,
        dataset.described.margin_frames,
    )
    return RowOrder(checker, manifest.made_of.sources), measure


def _tokenizer(
    dataset: Dataset, table: Mapping[str, Any], described: DescribedSpeechTokenizer | DescribedTextTokenizer
) -> Any:
    try:
        return installed(table, described, dataset.tokens)
    except UserError as error:
        if getattr(dataset.tokens, described.name, None) is None:  # it is duplexgen's own
            raise
        raise UserError(
            f"{error}\nThe data set's files were checked, and its rows were not: that needs the model of its recipe, "
            f"where {dataset.path / MANIFEST} says (tokens.{described.name}). Relative paths start at the folder "
            "you work in: run the command where the data set was built, or put the model, or a link to it, there."
        ) from error


def _same(left: Any, right: Any) -> bool:
    """Equal, but for the last bits of sums of seconds, which depend on the order in which they are added."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, float) and isinstance(right, int | float):
        return abs(left - right) <= ROUNDING * max(abs(left), abs(right))
    return bool(left == right)
