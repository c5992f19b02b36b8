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
from ..sources.reading import Item, LeftOut, Read, fingerprint, joined, read
from ..speech.engines import rendition_id
from ..stages.rows import TEXT, text_row
from ..stages.takes import take_of
from ..storage.partitions import Outcome, PartitionFolder
from ..storage.records import RecordDamaged, read_record, write_record

VERSION = 4
LEFT_OUT = "left_out_by_where"
MOST_REJECTIONS = 10_000  # per partition: a source may hold nothing else, and must not fill the memory


def make_plan(recipe: Recipe, base: Path, work: Path, limit: int | None, report: Callable[[int], None]) -> Plan:
    """Read the sources into partitions, unless that is done already.

    base: the folder to which the recipe's paths of sources are relative. limit: plan no more dialogues than this.
    report: is called with the number of rows that were read so far, those that `where` leaves out among them.
    Raises UserError if there is nothing to read, if a file cannot be read, if a source changed while it was read, or if
    an earlier plan is damaged.
    """
    fingerprints = {source.name: fingerprint(source, base) for source in recipe.sources}
    shape = {
        "version": VERSION,
        "sources": [shape_of(source) for source in recipe.sources],
        "fingerprints": fingerprints,
        "partition_size": recipe.partition_size,
        "renditions": recipe.speech.renditions,
        "limit": limit,
    }
    key = key_of(shape)
    folder = PartitionFolder(work / f"plan-{key}")
    record = folder.path / "plan.json"
    number = _planned(record, folder)
    if number is None:
        record.unlink(missing_ok=True)  # it would say that the plan is whole while partitions are written again
        unreadable: list[str] = []
        number, rows = _write_partitions(recipe, base, folder, limit, report, unreadable)
        _stop_if_changed(fingerprints, {source.name: fingerprint(source, base) for source in recipe.sources})
        _stop_if_unreadable(unreadable)
        if number == 0:
            raise UserError(_nothing_there(recipe))
        write_record(record, {"partitions": number, "rows": rows})
    return Plan(folder, key, number, fingerprints, shape)


def _nothing_there(recipe: Recipe) -> str:
    places = ", ".join(f"{source.name} ({source.path or source.hub})" for source in recipe.sources)
    where = " that has the values of `where`" if any(source.where for source in recipe.sources) else ""
    return f"there is no dialogue in {places}: nothing to build. Expected at least one row{where}."


def _planned(file: Path, folder: PartitionFolder) -> int | None:
    """How many partitions were planned, or None if planning did not finish.

    Raises UserError if the plan or a record of its partitions is damaged, or if their numbers of rows do not agree.
    """
    try:
        content = read_record(file)
        number, rows = int(content["partitions"]), int(content["rows"])
    except FileNotFoundError:
        return None
    except (RecordDamaged, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is damaged ({error}). Remove it and run the same command again.") from error
    if not folder.committed() >= set(range(number)):
        return None
    in_partitions = sum(record.outcome.planned for record in folder.records(range(number)))
    if in_partitions != rows:
        raise UserError(
            f"{file} says that {rows} rows were read, and its partitions account for {in_partitions}. "
            f"Remove {folder.path} and run the same command again: it reads the sources again."
        )
    return number


def _stop_if_changed(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> None:
    """Raise UserError if the sources are not what they were before they were read."""
    files = [
        f"{one_line(file)} of source {source}"
        for source, prints in before.items()
        for file in sorted(prints.keys() | after[source].keys())
        if prints.get(file) != after[source].get(file)
    ]
    if files:
        raise UserError(
            f"{', '.join(files)} changed while it was read, so nothing was planned. Wait until no one writes there, "
            "and run the same command again."
        )


def _stop_if_unreadable(messages: list[str]) -> None:
    """Raise UserError if files of the sources could not be read."""
    if not messages:
        return
    lines = "".join(f"\n  {one_line(message)}" for message in messages)
    count = "1 file" if len(messages) == 1 else f"{len(messages)} files"
    raise UserError(
        f"{count} of the sources cannot be read, or not to the end:{lines}\nCorrect or remove them; or write "
        "`unreadable_files: skip` in their source: then the build continues with the rows that can be read."
    )


def _write_partitions(
    recipe: Recipe,
    base: Path,
    folder: PartitionFolder,
    limit: int | None,
    report: Callable[[int], None],
    unreadable: list[str],
) -> tuple[int, int]:
    """Write the partitions; returns how many there are, and how many dialogues and rejections are in them.

    unreadable: messages about files that cannot be read are added to it.
    """
    number = planned = 0

    def counted(items: Iterable[Item]) -> Iterator[Item]:
        nonlocal planned
        for count, item in enumerate(items, start=1):
            report(count)
            planned += not isinstance(item, LeftOut)
            yield item

    for rows, outcome in _partitions(recipe, counted(_items(recipe, base, unreadable)), limit):
        if planned:  # otherwise all rows are left out
            folder.write(number, pa.Table.from_pylist(rows, schema=TEXT), outcome)
            number += 1
    return number, planned


def _partitions(
    recipe: Recipe, items: Iterable[Item], limit: int | None
) -> Iterator[tuple[list[dict[str, Any]], Outcome]]:
    rows: list[dict[str, Any]] = []
    rejections: list[Rejection] = []
    notes: Counter[str] = Counter()
    accepted = 0

    def outcome() -> Outcome:
        return Outcome(len(rows) + len(rejections), len(rows), tuple(rejections), dict(notes))

    for item in items:
        if isinstance(item, LeftOut):
            notes[LEFT_OUT] += 1
        elif isinstance(item, Rejection):
            rejections.append(item)
        else:
            rows.append(text_row(item.dialogue))
            notes.update(item.notes)
            accepted += 1
        if len(rows) == recipe.partition_size or len(rejections) == MOST_REJECTIONS:
            yield rows, outcome()
            rows, rejections, notes = [], [], Counter()
        if accepted == limit:
            break
    if rows or rejections or notes:  # rows that are left out at the very end are counted, too
        yield rows, outcome()


def _items(recipe: Recipe, base: Path, unreadable: list[str]) -> Iterator[Item]:
    """The dialogues of all sources in order, joined where a source says so; a repeated id is rejected."""
    with _IdSet(recipe.speech.renditions) as dialogues, _IdSet(renditions=1) as rows:
        for source in recipe.sources:
            items = read(source, base, unreadable)
            if source.join > 1:
                items = joined(_unique(items, rows), source.join)
            yield from _unique(items, dialogues)


def _unique(items: Iterable[Item], seen: "_IdSet") -> Iterator[Item]:
    for item in items:
        if isinstance(item, Read) and (earlier := seen.add(item.dialogue.id)):
            yield Rejection(item.dialogue.id, SOURCE, "duplicate_id", f"{earlier} was there before")
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
        """Add the ids of all renditions. If one belongs to an earlier dialogue, returns that id and adds nothing.

        An id that a take of an earlier dialogue could have belongs to it, for any number of takes: recipes that differ
        only in their takes share their plan, and so their speech.
        """
        ids = [(id_, take_of(id_)) for number in range(self.renditions) for id_ in [rendition_id(dialogue_id, number)]]
        for id_, whole in ids:
            earlier = self._database.execute(
                "select id from ids where id in (?1, ?2) or take_of = ?1", (id_, whole)
            ).fetchone()
            if earlier:
                return str(earlier[0])
        self._database.executemany("insert into ids values (?, ?)", ids)
        return None
