"""An export while it is written: shards that are committed one by one, in a folder beside the one that it becomes.

    write a shard ──▶ move its files ──▶ write its record ──▶ … ──▶ files about the whole ──▶ take the name

The folder is named by the exporter and the data set. A shard counts only if its record is whole and its files have the
bytes that it says, so an export that was killed continues, and nothing half written looks whole.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..dataset.finish import COMMITS, entry, record_name, remove_others
from ..errors import UserError
from ..storage.atomic import explained, sync, sync_all
from ..storage.records import RecordDamaged, read_record, write_record

WRITING = ".writing"  # where an exporter writes the files of a shard


@dataclass(frozen=True)
class Staging:
    """The folder of an export that is not finished."""

    path: Path

    def open(self, shards: int) -> dict[int, dict[str, Any]]:
        """What is finished, by the number of the shard: its record. Everything else in the folder is removed."""
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        records = {number: record for number in range(shards) if (record := self._record(number))}
        files = {file["path"] for record in records.values() for file in record["files"]}
        remove_others(self.path, files | {self._record_name(number) for number in records})
        return records

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """An empty folder to write the files of a shard in. Raises UserError if the disk is full in the block."""
        folder = self.path / WRITING
        with explained(self.path):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder

    def commit(self, number: int, about: dict[str, Any]) -> dict[str, Any]:
        """Take over what was written for a shard, and write its record; returns the record. about: what else it says.

        Raises UserError if a file is there already, which another shard has written.
        """
        folder = self.path / WRITING
        files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        with explained(folder):
            sync_all(folder)
        entries = [entry(folder, str(file)) for file in files]
        for file in files:
            target = self.path / file
            if target.exists():
                raise UserError(f"{target} was written twice: the exporter gives two shards the same name.")
            with explained(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                (folder / file).replace(target)
        with explained(self.path):
            shutil.rmtree(folder)
            for parent in {(self.path / file).parent for file in files}:
                sync(parent)
        record = about | {"files": entries}
        write_record(self.path / self._record_name(number), record)
        return record

    def finish(self, out: Path) -> None:
        """Give the folder its name. It has all files, and no record any more."""
        with explained(out):
            sync_all(self.path)
            shutil.rmtree(self.path / COMMITS)
            sync(self.path)
            self.path.replace(out)
            sync(out.parent)

    def records(self, shards: int) -> Iterator[dict[str, Any]]:
        """The records of all shards, in order."""
        for number in range(shards):
            yield read_record(self.path / self._record_name(number))

    def _record(self, number: int) -> dict[str, Any] | None:
        """The record of a shard; None if there is none that can be believed."""
        try:
            record = read_record(self.path / self._record_name(number))
        except (FileNotFoundError, RecordDamaged):
            return None
        files = record.get("files", ())
        if all((self.path / file["path"]).is_file() and entry(self.path, file["path"]) == file for file in files):
            return record
        return None

    def _record_name(self, number: int) -> str:
        return record_name(f"shard-{number:06d}")
