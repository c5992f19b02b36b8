"""What `inspect` shows of one dialogue: who speaks when, what is cut, and its rows as the layout shows them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from duplexgen.pipeline.commands.report import describe_dialogue
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from tests.dataset.conftest import data_sets

__all__ = ["data_sets"]
Sets = Callable[[str], Path]


@pytest.mark.parametrize("scenario", ["turn_taking", "interruption"])
def test_a_dialogue_is_shown_event_by_event_and_block_by_block(data_sets: Sets, scenario: str) -> None:
    dataset = Dataset(data_sets(scenario))
    row = list(dataset.rows())[1]
    head, *lines = describe_dialogue(dataset, "1").splitlines()
    assert head == f"talk/1  talk, {scenario}" and lines == describe_dialogue(dataset, "talk/1").splitlines()[1:]
    for line, of in zip(lines, row["events"], strict=False):
        channel, start, _, end, _, rest = line.split(maxsplit=5)
        assert (channel, start, end) == (
            of["channel"], f"{of['start_sample'] / 16000:.2f}", f"{of['end_sample'] / 16000:.2f}",
        )  # fmt: skip
        cut = f"  — cut, heard: {of['spoken_text']}" if of["cut_by"] is not None else ""
        assert rest == f"{of['voice']}: {of['text']}{cut}"
    assert any("— cut" in line for line in lines) == (scenario == "interruption")
    assert lines[len(row["events"])] == ""
    assert len(lines) == len(row["events"]) + 2 + row["num_blocks"] + 2


def test_a_dialogue_that_is_not_there(data_sets: Sets) -> None:
    dataset = Dataset(data_sets("turn_taking"))
    with pytest.raises(UserError, match=r"has no dialogue '7': expected an id, or a number from 0 to 2"):
        describe_dialogue(dataset, "7")
