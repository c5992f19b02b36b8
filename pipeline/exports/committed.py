"""An export while it is written: shards that are committed one by one, in a folder beside the one that it becomes.

    write a shard ──▶ move its files ──▶ write its record ──▶ … ──▶ the files about the whole ──▶ take the name

The folder is named by the exporter and the data set. A shard counts only if its record is whole and its files have the
bytes that it says, so an export that was killed continues, and nothing half written looks whole.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..dataset.finish import COMMITS, entry, record_name
from ..errors import UserError
from ..storage.atomic import explained, remove_others, sync
from ..storage.records import RecordDamaged, read_record, write_record

WRITING = ".writing"  # where an exporter writes the files of a shard
WHOLE = "whole"  # what is committed last: the files about the whole export
THREADS = 16  # that wait for the disk


def shard_name(number: int) -> str:
    return f"shard-{number:06d}"


@dataclass(frozen=True)
class Staging:
    """The folder of an export that is not finished."""

    path: Path

    def open(self, shards: int) -> dict[int, dict[str, Any]]:
        """What is finished, by the number of the shard: its record. Everything else in the folder is removed."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            there = {str(path.relative_to(self.path)) for path in self.path.rglob("*")}
        remove_others(self.path, there)  # links: what lies behind one is not believed
        records = {number: record for number in range(shards) if (record := self._record(shard_name(number)))}
        files = {file["path"] for record in records.values() for file in record["files"]}
        remove_others(self.path, files | {record_name(shard_name(number)) for number in records})
        return records

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """An empty folder to write files in that are committed next.

        Raises UserError if the disk is full in the block.
        """
        folder = self.path / WRITING
        with explained(self.path):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder

    def commit(self, name: str, about: dict[str, Any]) -> dict[str, Any]:
        """Take over what was written, and write its record; returns the record. about: what else it says.

        Raises UserError if a file is there already, which another shard has written.
        """
        folder = self.path / WRITING
        files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        with explained(self.path), ThreadPoolExecutor(THREADS) as pool:
            [*pool.map(sync, (folder / file for file in files))]
            record = about | {"files": [*pool.map(lambda file: entry(folder, str(file)), files)]}
            for file in files:
                self._take(file)
            shutil.rmtree(folder)
            [*pool.map(sync, {parent for file in files for parent in (self.path / file).parents if self._has(parent)})]
        write_record(self.path / record_name(name), record)
        return record

    def finish(self, out: Path) -> None:
        """Give the folder its name. Everything in it is committed."""
        with explained(out):
            shutil.rmtree(self.path / COMMITS)
            sync(self.path)
            self.path.replace(out)
            sync(out.parent)

    def records(self, shards: int) -> Iterator[dict[str, Any]]:
        """The records of all shards, in order."""
        return (read_record(self.path / record_name(shard_name(number))) for number in range(shards))

    def _has(self, folder: Path) -> bool:
        return folder == self.path or self.path in folder.parents

    def _take(self, file: Path) -> None:
        target = self.path / file
        if target.exists():
            raise UserError(f"{target} was written twice: the exporter gives the files of two shards the same name.")
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.path / WRITING / file).replace(target)

    def _record(self, name: str) -> dict[str, Any] | None:
        """A record; None if there is none that can be believed, or if a file is not what it says."""
        try:
            record = read_record(self.path / record_name(name))
        except (FileNotFoundError, RecordDamaged):
            return None
        files = record["files"]
        if all((self.path / file["path"]).is_file() and entry(self.path, file["path"]) == file for file in files):
            return record
        return None
