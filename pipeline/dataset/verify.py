"""Finds what is wrong with a data set: with its files, its manifest and its rows."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import UserError
from ..escapes import visible
from ..layouts.vocabulary import END_OF_TEXT, TOKENIZER_CONFIG, TOKENIZER_FILES
from ..storage.objects import Place
from ..tokens.tokenizers import SPEECH_TOKENIZERS
from .files import LONGEST_NAME, check_files
from .kind import Kind, Kinds, RowChecker, contradictions, kind_of
from .ledger import ledger_failures
from .manifest import ROUNDING, VOCABULARY, VOCABULARY_FOLDER
from .reader import LARGEST_TOKENIZER_BYTES, MANIFEST, Dataset, MalformedDataset, read_json
from .row_sizes import groups_of
from .statistics import Statistics
from .vocabulary import read_vocabulary

MOST_FAILURES_OF_A_ROW = 20


def verify(folder: Place, kinds: Kinds, report: Callable[[int], None]) -> Iterator[str]:
    """Everything that is wrong with a data set, in words; nothing if it is whole.

    report: called with the number of rows checked so far. Rows are checked only if every file is as the manifest says.
    Raises UserError if the folder is no data set or one of another version of duplexgen, or if its tokenizers are not
    installed or their models are not where its recipe says.
    """
    try:
        kind = kind_of(Dataset(folder), kinds)
        dataset = Dataset(folder, kind.columns(Dataset(folder)))
        damaged = False
        for failure in check_files(dataset, dataset.columns):
            damaged = True
            yield failure
        if not damaged:
            yield from check_manifest(dataset, kind)
            yield from _check_rows(dataset, kind, report)
    except MalformedDataset as error:
        yield from error.failures


def check_whole(dataset: Dataset, kinds: Kinds) -> list[str]:
    """What is wrong with a data set, except with its rows. Call it before you read one.

    Raises UserError if it is no data set, or one of another version of duplexgen.
    """
    try:
        kind = kind_of(dataset, kinds)
        return [*check_files(dataset, kind.columns(dataset))] or [*check_manifest(dataset, kind)]
    except MalformedDataset as error:
        return list(error.failures)


def check_manifest(dataset: Dataset, kind: Kind) -> Iterator[str]:
    """Where the manifest and vocabulary.json contradict themselves, each other or the rejected tables, in words."""
    manifest = dataset.manifest
    for problem in contradictions(dataset, kind):
        yield f"{MANIFEST}: {problem}"
    yield from ledger_failures(dataset.place, manifest.ledger, manifest.files, kind.fan_out(dataset))
    yield from _check_described(dataset)
    yield from _check_vocabulary(dataset)


def _check_described(dataset: Dataset) -> Iterator[str]:
    """What vocabulary.json says beside the recipe of the dialogues, and beside the tokenizers that it names."""
    described, recipe = dataset.described, dataset.manifest.made_of
    tokens = recipe.tokens
    said = [
        ("layout", described.layout, recipe.layout),
        ("sample_rate", described.sample_rate, recipe.output.sample_rate),
        ("speech_tokenizer.name", described.speech_tokenizer.name, tokens.speech_tokenizer),
        ("text_tokenizer.name", described.text_tokenizer.name, tokens.text_tokenizer),
    ]
    speech = SPEECH_TOKENIZERS.get(tokens.speech_tokenizer)
    if speech and not (tokenizer := speech(tokens)).check():
        said += [
            ("speech_tokenizer.codebooks", described.speech_tokenizer.codebooks, tokenizer.codebooks),
            (
                "samples_per_frame",
                described.samples_per_frame * tokenizer.sample_rate,
                tokenizer.samples_per_frame * recipe.output.sample_rate,
            ),
        ]
        for found in described.vocabulary.check_codes(tokenizer.codebooks, tokenizer.codebook_size):
            yield f"{VOCABULARY}: {found}"
    for name, value, expected in said:
        if value != expected:
            yield f"{VOCABULARY}: {name} is not that of the recipe"


def _check_vocabulary(dataset: Dataset) -> Iterator[str]:
    """Whether the ids of vocabulary.json are those of the tokenizer in vocabulary/, declared as each is."""
    file, config = (f"{VOCABULARY_FOLDER}/{name}" for name in TOKENIZER_FILES)
    try:
        read_vocabulary(dataset.place)
    except UserError as error:
        yield str(error)
        return
    if read_json(dataset.place / config) != TOKENIZER_CONFIG:
        yield f"{config}: is not the one that is written with every vocabulary"
    stored, described = read_json(dataset.place / file, LARGEST_TOKENIZER_BYTES), dataset.described
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
    if names.get(vocabulary.end_of_text) != END_OF_TEXT:
        yield f"{VOCABULARY}: end_of_text has the id {vocabulary.end_of_text}, which {file} has for another token"
    for found in vocabulary.check(names):
        yield f"{VOCABULARY}: {found}"


def _check_rows(dataset: Dataset, kind: Kind, report: Callable[[int], None]) -> Iterator[str]:
    checker = kind.checker(dataset)
    yield from checker.before_rows()
    statistics, counts = Statistics(), Counter[str]()
    all_whole = True
    ids = sqlite3.connect("")
    ids.execute("create table ids (id text primary key) without rowid")
    for count, (dialogue_id, row, failures) in enumerate(_checked(dataset, checker), start=1):
        name = f"row {count - 1}" if dialogue_id is None else visible(dialogue_id, LONGEST_NAME)
        for failure in failures:
            yield f"{name}: {failure}"
        if dialogue_id and ids.execute("insert or ignore into ids values (?)", (dialogue_id,)).rowcount == 0:
            yield f"{name}: its dialogue_id is that of an earlier row"
        if row and not failures:  # others cannot always be measured
            kind.measure(statistics, row, dataset.layout, dataset.sample_rate)
            counts.update(column for column in kind.noted if row[column])
        all_whole &= not failures
        report(count)
    if not all_whole:
        return
    yield from check_statistics(dataset, statistics)
    notes = dataset.manifest.ledger[-1].notes
    for column in kind.noted:
        if (note := notes.get(column, 0)) != counts[column]:
            yield f"ledger: {counts[column]} rows are {column}, and it notes {note}"


def _checked(dataset: Dataset, checker: RowChecker) -> Iterator[tuple[str | None, dict[str, Any] | None, list[str]]]:
    """Each row: its dialogue_id, the row or None if it cannot be read, and what is wrong with it, in words."""
    for group in (group for batch in dataset.batches() for group in groups_of(batch)):
        of_rows = checker.check_all([row for _, row, _ in group if row], MOST_FAILURES_OF_A_ROW)
        for dialogue_id, row, problem in group:
            yield dialogue_id, row, next(of_rows) if row else [problem]


def check_statistics(dataset: Dataset, of_rows: Statistics) -> Iterator[str]:
    """What is wrong with the manifest's statistics, in words. of_rows: those of all rows."""
    stored = {name: tally.model_dump() for name, tally in dataset.manifest.statistics.items()}
    if not _same(of_rows.to_json(), stored):
        yield f"{MANIFEST}: its statistics are not those of the rows"


def _same(left: Any, right: Any) -> bool:
    """Whether two values are equal, except for the last bits of sums, which depend on the order of the terms."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, float) and isinstance(right, int | float):
        return abs(left - right) <= ROUNDING * max(abs(left), abs(right))
    return bool(left == right)
