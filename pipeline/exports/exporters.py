"""Exporters by name: each writes a data set as one consumer reads it. To add one, write a module and put it here."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Protocol

from ..dataset.reader import Dataset
from ..errors import UserError
from ..layouts.layouts import LAYOUTS
from ..storage.atomic import atomic_folder

AUDIO, WORDS, CODES = "audio", "words", "codes"
ADVICE = {
    AUDIO: "build it again with `output: {audio: flac}`",
    WORDS: "build it with a voice engine that gives the times of words, or with a gate that listens",
    CODES: "export the data set of dialogues that the pairs were made from",
}
Report = Callable[[int], None]  # is called with the number of rows that were written so far


class Exporter(Protocol):
    """Writes a data set as one consumer reads it. It is made without arguments."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    """Of AUDIO, WORDS and CODES, and names of layouts: it can write the rows of any of these."""

    def __init__(self) -> None: ...

    def write(self, dataset: Dataset, out: Path, report: Report) -> None:
        """Write all files into the folder `out`, which is empty and takes its name once this returns."""
        ...


EXPORTERS: dict[str, type[Exporter]] = {}


def export(dataset: Dataset, name: str, out: Path, report: Report = lambda rows: None) -> None:
    """Write a data set to the new folder `out`, whole or not at all.

    Raises UserError, before anything is written, if there is no such exporter, if the data set lacks what it needs, or
    if there is something at `out`.
    """
    if name not in EXPORTERS:
        raise UserError(f"there is no exporter {name!r}: expected one of {', '.join(sorted(EXPORTERS)) or 'none'}.")
    exporter = EXPORTERS[name]()
    if missing := [*_missing(dataset, exporter.needs)]:
        raise UserError(f"{dataset.path} cannot be exported as {name}: " + "; ".join(missing) + ".")
    with atomic_folder(out) as staging:
        exporter.write(dataset, staging, report)


def _missing(dataset: Dataset, needs: frozenset[str]) -> Iterator[str]:
    """What a data set lacks, and what to do."""
    columns = set(dataset.columns.names)
    if AUDIO in needs and "audio" not in columns:
        yield f"its rows have no audio: {ADVICE[AUDIO]}"
    if CODES in needs and not columns >= {"user_codes", "assistant_codes"}:
        yield f"its rows have no codes: {ADVICE[CODES]}"
    if WORDS in needs and not _has_words(dataset):
        yield f"the times of words are not known for all of its events: {ADVICE[WORDS]}"
    layouts = needs & LAYOUTS.keys()
    if layouts and dataset.described.layout.name not in layouts:
        yield (
            f"its layout is {dataset.described.layout.name}: build it again with `layout: "
            f"{{name: {' or '.join(sorted(layouts))}}}`, which reuses the speech"
        )


def _has_words(dataset: Dataset) -> bool:
    if "events" not in dataset.columns.names:
        return False
    return all(event["words"] is not None for row in dataset.rows(["events"]) for event in row["events"])
