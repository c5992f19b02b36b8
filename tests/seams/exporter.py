"""Exporters that write texts and differ in what they need of a data set, and one that fails."""

from pathlib import Path
from typing import ClassVar

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.exports.exporters import AUDIO, CODES, WORDS, Report


class Lines:
    """The texts, one line per event."""

    name: ClassVar[str] = "lines"
    needs: ClassVar[frozenset[str]] = frozenset({CODES})

    def __init__(self) -> None:
        pass

    def write(self, dataset: Dataset, out: Path, report: Report) -> None:
        with (out / "lines.txt").open("w", encoding="utf-8") as file:
            for number, row in enumerate(dataset.rows(["dialogue_id", "events"]), start=1):
                for event in row["events"]:
                    file.write(f"{row['dialogue_id']}\t{event['channel']}\t{event['text']}\n")
                report(number)


class Heard(Lines):
    name: ClassVar[str] = "heard"
    needs: ClassVar[frozenset[str]] = frozenset({AUDIO, WORDS})


class Sequences(Lines):
    name: ClassVar[str] = "sequences"
    needs: ClassVar[frozenset[str]] = frozenset({"plain"})


class Broken(Lines):
    name: ClassVar[str] = "broken"

    def write(self, dataset: Dataset, out: Path, report: Report) -> None:
        (out / "half.txt").write_text("half")
        raise OSError(28, "No space left on device")
