"""For each invariant of pairs, a pair that breaks it."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.kinds import verify
from duplexgen.pipeline.layouts.bayling import Bayling
from duplexgen.pipeline.pairs.checks import PairChecker
from tests.dataset.test_verify import rewrite
from tests.pairs.conftest import pairs_recipe

Row = dict[str, Any]
BLOCK = 25


@pytest.fixture(params=["turn_taking", "interruption"])
def scenario(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def checked(folder: Path, row: Row) -> list[str]:
    dataset = Dataset(folder)
    assert isinstance(dataset.layout, Bayling)
    made_of = dataset.manifest.made_of
    return list(PairChecker(pairs_recipe(), made_of, dataset.layout).check(row))


@pytest.fixture
def pairs(pair_sets: Callable[[str], Path]) -> Callable[[str], tuple[Row, Callable[[Row], list[str]]]]:
    def make(scenario: str) -> tuple[Row, Callable[[Row], list[str]]]:
        folder = pair_sets(scenario)
        row = copy.deepcopy(next(Dataset(folder).rows()))
        assert checked(folder, row) == []
        return row, lambda damaged: checked(folder, damaged)

    return make


Pairs = Callable[[str], tuple[Row, Callable[[Row], list[str]]]]


def audio_at(where: int) -> int:
    """Place in the sequence of a frame of the assistant's channel."""
    return BLOCK * (where // 10) + 15 + where % 10


@pytest.mark.parametrize("place", [0, 10, 24])
@pytest.mark.parametrize("side", ["chosen_input_ids", "rejected_input_ids"])
def test_the_end_of_text_stands_nowhere(pairs: Pairs, scenario: str, side: str, place: int) -> None:
    row, check = pairs(scenario)
    row[side][place] = 6148
    assert "6148" in check(row)[0] and check(row)[0].startswith("a side cannot be taken apart")


def test_scenario_and_lengths(pairs: Pairs, scenario: str) -> None:
    row, check = pairs(scenario)
    assert check(row | {"scenario": "talk"})[0].startswith("scenario is 'talk'")
    assert "blocks of 25" in check(row | {"chosen_num_blocks": row["chosen_num_blocks"] + 1})[0]
    assert "blocks of 25" in check(row | {"rejected_input_ids": row["rejected_input_ids"][:-BLOCK]})[0]
    shorter = {"rejected_num_blocks": row["rejected_num_blocks"] - 1}
    assert check(row | shorter | {"rejected_input_ids": row["rejected_input_ids"][:-BLOCK]})
    row["rejected_input_ids"][3] = 4097
    assert check(row)[0].startswith("a side cannot be taken apart")


def test_users_ids(pairs: Pairs, scenario: str) -> None:
    row, check = pairs(scenario)
    row["rejected_input_ids"][2] = 4100 + (row["rejected_input_ids"][2] - 4100 + 1) % 2048
    assert check(row) == ["the user's codes of the two sides differ"]


@pytest.mark.parametrize("at", [0, -1])
def test_assistants_ids(pairs: Pairs, scenario: str, at: int) -> None:
    """A frame before the reply, and the last one."""
    row, check = pairs(scenario)
    frames = row["chosen_num_blocks"] * 10
    place = audio_at(at % frames)
    row["rejected_input_ids"][place] = 4100 + (row["rejected_input_ids"][place] - 4100 + 777) % 2048
    assert check(row)


def test_event_of_the_user_and_another_reply(pairs: Pairs, scenario: str) -> None:
    row, check = pairs(scenario)
    assert f"event {row['event'] - 1} is the user's" in check(row | {"event": row["event"] - 1})
    assert any("is not the late reply" in words for words in check(row | {"event": row["event"] + 2}))


def test_text(pairs: Pairs, scenario: str) -> None:
    row, check = pairs(scenario)
    ids = row["rejected_input_ids"]
    place = next(place for place, id_ in enumerate(ids) if id_ < 4096)
    ids[place] = (ids[place] + 1) % 4096
    assert check(row)


def test_sides_swapped(pairs: Pairs, scenario: str) -> None:
    row, check = pairs(scenario)
    swapped = row | {"chosen_input_ids": row["rejected_input_ids"], "rejected_input_ids": row["chosen_input_ids"]}
    assert check(swapped)


def test_negative_that_is_none(pairs: Pairs, scenario: str) -> None:
    row, check = pairs(scenario)
    messages = check(row | {"rejected_input_ids": row["chosen_input_ids"]})
    assert any("no reply is wrong" in message for message in messages)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rejected_delay_s": 9.0}, "rejected_delay_s is 9, outside"),
        ({"chosen_delay_s": 0.1}, "chosen_delay_s is 0.1, "),
        ({"rejected_delay_s": 1.0, "chosen_delay_s": 0.8}, "the delays differ by 3200 samples, less"),
        ({"rejected_delay_s": 1.5, "capped": False}, "rejected_delay_s is 1.5, outside"),
        ({"event": 99}, "event 99 is not the late reply"),
    ],
)
def test_delays(pairs: Pairs, scenario: str, changes: Row, says: str) -> None:
    row, check = pairs(scenario)
    assert [message for message in check(row | changes) if message.startswith(says)]


def test_verify_names_the_pair(pair_sets: Callable[[str], Path], scenario: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pair_sets(scenario), tmp_path / "pairs"))
    dialogue = next(Dataset(folder).rows())["dialogue_id"]

    def damage(rows: list[Row]) -> None:
        rows[0]["rejected_input_ids"][0] ^= 1

    rewrite(folder, damage)
    assert list(verify(folder, lambda _: None)) == [f"{dialogue}: the user's codes of the two sides differ"]
