"""Counts how often a partition was started without a commit: a worker that is killed cannot report it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from .atomic import explained

FOLDER = ".tries"


@dataclass(frozen=True, slots=True)
class Tries:
    """Tries of the partitions of one stage: one file per partition, one byte longer with each try."""

    stage_folder: Path

    def begin(self, partition: int) -> int:
        """Count a try. Returns the number of tries, this one included."""
        file = self._file(partition)
        with explained(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as stream:
                stream.write(b"I")
                return stream.tell()

    def end(self, partition: int) -> None:
        with explained(file := self._file(partition)):
            file.unlink(missing_ok=True)

    def open(self) -> list[int]:
        """Partitions that were started and not finished."""
        return sorted(int(file.name) for file in (self.stage_folder / FOLDER).glob("[0-9]*"))

    def forget(self) -> None:
        shutil.rmtree(self.stage_folder / FOLDER, ignore_errors=True)

    def _file(self, partition: int) -> Path:
        return self.stage_folder / FOLDER / f"{partition:06d}"
