"""The rows of recipes/layouts.md, number by number."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from duplexgen.pipeline.dialogue import CodedTrack
from duplexgen.pipeline.layouts.streams import REPLIES, STREAMS, Streams

from .streams import event, flm, moshi, track, word

PAGE = Path(__file__).parents[2] / "recipes" / "layouts.md"
WORDS = [word("Good", 4, 6), word("morning", 7.9, 9), word("you", 9.2, 11)]
EXAMPLES: dict[str, tuple[Streams, CodedTrack, Sequence[Sequence[int]]]] = {
    "flm response_tts": (
        flm("response_tts"),
        track([event("user", 0.5, 4), event("assistant", 6, 12, answers=0)], 13),
        [[11, 12], [1, 2, 3]],
    ),
    "flm response_tts, cut": (
        flm("response_tts"),
        track([event("assistant", 3.2, 6.7, whole=11.0, cut_by=1), event("user", 5, 9)], 13),
        [[1, 2, 3, 4, 5, 6, 7, 8], [11, 12]],
    ),
    "flm asr_response_tts": (
        flm("asr_response_tts"),
        track([event("user", 0, 1.5), event("assistant", 8, 12, answers=0)], 13),
        [[11, 12], [1, 2, 3]],
    ),
    "flm tts": (flm("tts"), track([event("assistant", 2, 6), event("assistant", 9, 12)], 13), [[1, 2], [3]]),
    "flm asr": (flm("asr"), track([event("user", 0, 4), event("user", 7, 9.1)], 13), [[1, 2], [3]]),
    "moshi": (
        moshi(),
        track(
            [event("user", 0, 3), event("assistant", 4, 11, answers=0, words=WORDS)],
            13,
            texts=["Hello?", "Good morning you"],
        ),
        [[1, 2], [3, 4, 5], [6]],
    ),
}


def examples_of_the_page() -> dict[str, list[list[int]]]:
    """The streams of each block of the page, by the name in its first line."""
    blocks: dict[str, list[list[int]]] = {}
    for line in PAGE.read_text("utf-8").splitlines():
        if not line.startswith("    "):
            continue
        name, *numbers = line.strip().rsplit(maxsplit=15)
        if not numbers or not numbers[-1].isdigit():
            blocks[line.strip()] = []
        elif name != "column":
            [*blocks.values()][-1].append([int(number) for number in numbers])
    return blocks


def test_the_page_has_these_examples() -> None:
    assert examples_of_the_page().keys() == EXAMPLES.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_shows_what_is_encoded(name: str) -> None:
    layout, coded, texts = EXAMPLES[name]
    row = layout.encode(coded, texts)
    assert np.array_equal(row[STREAMS], examples_of_the_page()[name])
    assert [*layout.check(row, coded, texts)] == []
    assert len(row[REPLIES]) == sum(event.channel == "assistant" for event in coded.events)
