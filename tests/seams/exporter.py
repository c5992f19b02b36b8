"""Exporters that write texts and differ in what they need of a data set, and one that fails."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.exports.exporter import AUDIO, CODES, DIALOGUES_ALONE, WORDS, Exporter, Shard, Summary


class Lines(Exporter):
    """The texts, one line per event: a file per shard, and one that counts them."""

    name: ClassVar[str] = "lines"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = DIALOGUES_ALONE
    needs: ClassVar[frozenset[str]] = frozenset({CODES})

    def __init__(self) -> None:
        pass

    def write(self, shard: Shard, out: Path) -> Summary:
        lines = []
        for _, row in shard.rows(["dialogue_id", "events"]):
            lines += [f"{row['dialogue_id']}\t{event['channel']}\t{event['text']}\n" for event in row["events"]]
        (out / f"lines-{shard.number}.txt").write_text("".join(lines), encoding="utf-8")
        return {"lines": len(lines)}

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        (out / "count.txt").write_text(str(sum(summary["lines"] for summary in summaries)))
        return {"tags": ["lines"]}


class Heard(Lines):
    name: ClassVar[str] = "heard"
    needs: ClassVar[frozenset[str]] = frozenset({AUDIO, WORDS})


class Sequences(Lines):
    name: ClassVar[str] = "sequences"
    needs: ClassVar[frozenset[str]] = frozenset({"plain"})


class Broken(Lines):
    name: ClassVar[str] = "broken"

    def write(self, shard: Shard, out: Path) -> Summary:
        (out / "half.txt").write_text("half")
        raise OSError(28, "No space left on device")
