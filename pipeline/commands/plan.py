"""The plan of a build: which dialogue stands in which partition, decided before any work.

Rows are streamed from the sources into partition files, so a plan of any length takes the same memory.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..dataset.manifest import key_of
from ..dataset.recipe import Recipe
from ..dialogue import Rejection
from ..errors import UserError
from ..escapes import one_line
from ..making.plan import SOURCE, Plan
from ..recipe.sections import shape_of
from ..sources.reading import Read, fingerprint, joined, read
from ..speech.engines import rendition_id
from ..stages.rows import TEXT, text_row
from ..stages.takes import take_of
from ..storage.partitions import Outcome, PartitionFolder
from ..storage.records import RecordDamaged, read_record, write_record

VERSION = 3
LONGEST_ACCOUNT = 10_000  # rejections a partition, so that a source of nothing else does not fill the memory


def make_plan(recipe: Recipe, base: Path, work: Path, limit: int | None, report: Callable[[int], None]) -> Plan:
    """Read the sources into partitions, unless that is done already.

    base: the folder that the recipe's paths start at. limit: plan no more than this many dialogues.
    report: called with the number of rows read so far.
    Raises UserError if there is nothing to read, if a file is lost, or if a source has changed while it was read.
    """
    prints = {source.name: fingerprint(source, base) for source in recipe.sources}
    shape = {
        "version": VERSION,
        "sources": [shape_of(source) for source in recipe.sources],
        "fingerprints": prints,
        "partition_size": recipe.partition_size,
        "renditions": recipe.speech.renditions,
        "limit": limit,
    }
    key = key_of(shape)
    folder = PartitionFolder(work / f"plan-{key}")
    done = folder.path / "plan.json"
    number = _planned(done, folder)
    if number is None:
        done.unlink(missing_ok=True)  # it says that the partitions are those of these sources, which they cease to be
        lost: list[str] = []
        number, rows = _write_partitions(recipe, base, folder, limit, report, lost)
        _stop_if_changed(prints, {source.name: fingerprint(source, base) for source in recipe.sources})
        _stop_if_lost(lost)
        if number == 0:
            places = ", ".join(f"{source.name} ({source.path or source.hub})" for source in recipe.sources)
            raise UserError(f"there is no dialogue in {places}: nothing to build. Expected at least one row.")
        write_record(done, {"partitions": number, "rows": rows})
    return Plan(folder, key, number, prints, shape)


def _planned(done: Path, folder: PartitionFolder) -> int | None:
    """How many partitions were planned, or None if planning did not finish.

    Raises UserError if the plan, or a record of its partitions, is damaged, or if they do not hold the rows it read.
    """
    try:
        stored = read_record(done)
        number, rows = int(stored["partitions"]), int(stored["rows"])
    except FileNotFoundError:
        return None
    except (RecordDamaged, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{done} is damaged ({error}). Remove it and run the same command again.") from error
    if not folder.committed() >= set(range(number)):
        return None
    held = sum(record.outcome.planned for record in folder.records(range(number)))
    if held != rows:
        raise UserError(
            f"{done} says that {rows} rows were read, and its partitions account for {held}. "
            f"Remove {folder.path} and run the same command again: it reads the sources again."
        )
    return number


def _stop_if_changed(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> None:
    """Raise UserError if the sources are not what they were before they were read."""
    changed = [
        f"{one_line(file)} of source {source}"
        for source, prints in before.items()
        for file in sorted(prints.keys() | after[source].keys())
        if prints.get(file) != after[source].get(file)
    ]
    if changed:
        raise UserError(
            f"{', '.join(changed)} changed while it was read; nothing of it was kept. Wait until no one writes there, "
            "and run the same command again."
        )


def _stop_if_lost(lost: list[str]) -> None:
    """Raise UserError if files of the sources could not be read."""
    if not lost:
        return
    listed = "".join(f"\n  {one_line(message)}" for message in lost)
    count = "1 file" if len(lost) == 1 else f"{len(lost)} files"
    raise UserError(
        f"{count} of the sources cannot be read, or not to the end:{listed}\nCorrect or remove them; or write "
        "`unreadable_files: skip` in their source: then the build continues with the rows that can be read."
    )


def _write_partitions(
    recipe: Recipe,
    base: Path,
    folder: PartitionFolder,
    limit: int | None,
    report: Callable[[int], None],
    lost: list[str],
) -> tuple[int, int]:
    """Returns the numbers of partitions and of rows read."""
    number = read_rows = 0

    def count(rows: int) -> None:
        nonlocal read_rows
        read_rows = rows
        report(rows)

    for rows, outcome in _partitions(recipe, base, limit, count, lost):
        folder.write(number, pa.Table.from_pylist(rows, schema=TEXT), outcome)
        number += 1
    return number, read_rows


def _partitions(
    recipe: Recipe, base: Path, limit: int | None, report: Callable[[int], None], lost: list[str]
) -> Iterator[tuple[list[dict[str, Any]], Outcome]]:
    rows: list[dict[str, Any]] = []
    rejections: list[Rejection] = []
    notes: Counter[str] = Counter()
    accepted = 0

    def outcome() -> Outcome:
        return Outcome(len(rows) + len(rejections), len(rows), tuple(rejections), dict(notes))

    for count, item in enumerate(_items(recipe, base, lost), start=1):
        report(count)
        if isinstance(item, Rejection):
            rejections.append(item)
        else:
            rows.append(text_row(item.dialogue))
            notes.update(item.notes)
            accepted += 1
        if len(rows) == recipe.partition_size or len(rejections) == LONGEST_ACCOUNT:
            yield rows, outcome()
            rows, rejections, notes = [], [], Counter()
        if accepted == limit:
            break
    if rows or rejections:
        yield rows, outcome()


def _items(recipe: Recipe, base: Path, lost: list[str]) -> Iterator[Read | Rejection]:
    """The dialogues of all sources in order, joined where a source says so; a repeated id is rejected."""
    with _IdSet(recipe.speech.renditions) as dialogues, _IdSet(renditions=1) as rows:
        for source in recipe.sources:
            items = read(source, base, lost)
            if source.join > 1:
                items = joined(_unique(items, rows), source.join)
            yield from _unique(items, dialogues)


def _unique(items: Iterable[Read | Rejection], seen: "_IdSet") -> Iterator[Read | Rejection]:
    for item in items:
        if isinstance(item, Read) and (taken := seen.add(item.dialogue.id)):
            yield Rejection(item.dialogue.id, SOURCE, "duplicate_id", f"{taken} was there before")
        else:
            yield item


class _IdSet:
    """The ids so far, on disk: a set in memory would grow with the data."""

    def __init__(self, renditions: int) -> None:
        self.renditions = renditions

    def __enter__(self) -> "_IdSet":
        self._database = sqlite3.connect("")
        self._database.execute("create table ids (id text primary key, take_of text) without rowid")
        self._database.execute("create index takes on ids (take_of)")
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, dialogue_id: str) -> str | None:
        """Take the ids of all renditions; returns the one that was taken already, if any.

        An id that a take of another dialogue could have counts as taken, for any number of takes: recipes that differ
        only in their takes share their plan, and so their speech.
        """
        ids = [(id_, take_of(id_)) for number in range(self.renditions) for id_ in [rendition_id(dialogue_id, number)]]
        for id_, whole in ids:
            found = self._database.execute(
                "select id from ids where id in (?1, ?2) or take_of = ?1", (id_, whole)
            ).fetchone()
            if found:
                return str(found[0])
        self._database.executemany("insert into ids values (?, ?)", ids)
        return None
