"""What a data set cannot give to an exporter, found before any work."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ..dataset.dialogues import DIALOGUES
from ..dataset.reader import Dataset
from ..layouts.layouts import LAYOUTS
from .exporter import AUDIO, CODES, REPLY_WORDS, WORDS, Exporter

ADVICE = {
    AUDIO: "build it again with `output: {audio: flac}`",
    WORDS: "build it with a voice engine that gives the times of words, or with a gate that listens",
    CODES: "export the data set of dialogues that the pairs were made from",
}
OTHER_KIND = {
    True: "make pairs of it with `duplexgen dpo-pairs`, and export these",
    False: "export the data set of dialogues that the pairs were made from",
}


def lacks(dataset: Dataset, exporter: Exporter) -> Iterator[str]:
    """What a data set lacks, and what to do, in words."""
    if dataset.kind not in exporter.kinds:
        yield (
            f"it is a data set of {dataset.kind}, and {exporter.name} takes {' or '.join(sorted(exporter.kinds))}: "
            f"{OTHER_KIND[dataset.kind == DIALOGUES]}"
        )
        return
    needs, columns = exporter.needs, set(dataset.columns.names)
    if AUDIO in needs and "audio" not in columns:
        yield f"its rows have no audio: {ADVICE[AUDIO]}"
    if CODES in needs and not columns >= {"user_codes", "assistant_codes"}:
        yield f"its rows have no codes: {ADVICE[CODES]}"
    if (WORDS in needs or REPLY_WORDS in needs) and not _has_words(dataset, WORDS in needs):
        whose = "of its events" if WORDS in needs else "of the assistant's events"
        yield f"the times of words are not known for all {whose}: {ADVICE[WORDS]}"
    layouts = needs & LAYOUTS.keys()
    if layouts and dataset.described.layout.name not in layouts:
        yield (
            f"its layout is {dataset.described.layout.name}: build it again with `layout: "
            f"{{name: {' or '.join(sorted(layouts))}}}`, which reuses the speech"
        )
        return
    yield from exporter.lacks(dataset)


def _has_words(dataset: Dataset, of_all: bool) -> bool:
    """Whether the times of words are known. of_all: of the user's events, too."""
    return "events" in dataset.columns.names and all(
        _have_words(batch["events"].flatten(), of_all) for batch in dataset.batches(["events"])
    )


def _have_words(events: pa.StructArray, of_all: bool) -> bool:
    words = pc.struct_field(events, "words")
    if not of_all:
        words = words.filter(pc.equal(pc.struct_field(events, "channel"), "assistant"))
    return not words.null_count
