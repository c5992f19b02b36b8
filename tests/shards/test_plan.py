"""The plan: which dialogue stands in which partition, the same each time."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.plan import Plan, make_plan
from duplexgen.pipeline.recipe import Recipe
from tests.conftest import TURNS, recipe_dict, tree

Row = dict[str, Any]
GOOD: Row = {"data": TURNS[:2]}


def rows(*ids: object) -> list[Row]:
    return [GOOD | {"id": id_} for id_ in ids]


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    """Plan over sources given as lists of rows: `plan(rows("a", "b"), limit=1, partition_size=2)`."""

    def make(*sources: Sequence[Row | str], limit: int | None = None, work: str = "work", **changes: Any) -> Plan:
        listed = []
        for number, lines in enumerate(sources):
            path = tmp_path / f"source-{number}.jsonl"
            path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
            listed.append({"name": f"source-{number}", "shape": "ultrachat", "path": path.name})
        recipe = Recipe.model_validate(recipe_dict(tmp_path) | {"sources": listed} | changes)
        return make_plan(recipe, tmp_path, tmp_path / work, limit, lambda _: None)

    return make


def ids(made: Plan) -> list[list[str]]:
    return [made.folder.read(number)["dialogue_id"].to_pylist() for number in made.partitions]


def rejected(made: Plan) -> list[tuple[str, str, str]]:
    return [
        (rejection.dialogue_id, rejection.reason, rejection.detail)
        for record in made.folder.records(made.partitions)
        for rejection in record.outcome.rejections
    ]


def test_partitions_of_a_size_in_the_order_of_the_sources(plan: Callable[..., Plan]) -> None:
    made = plan(rows("a", "b", "c"), rows("d", "e"), partition_size=2)
    assert ids(made) == [["a", "b"], ["c", "d"], ["e"]]
    assert [record.outcome.planned for record in made.folder.records(made.partitions)] == [2, 2, 1]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 9])
def test_limit_is_the_first_dialogues(plan: Callable[..., Plan], limit: int) -> None:
    made = plan(["broken", *rows("a", "b", "c")], rows("d", "e"), partition_size=2, limit=limit)
    assert [id_ for partition in ids(made) for id_ in partition] == ["a", "b", "c", "d", "e"][:limit]
    assert [reason for _, reason, _ in rejected(made)] == ["broken_json"]


def test_rejections_count_for_no_partition_and_none_is_lost(plan: Callable[..., Plan]) -> None:
    made = plan(["x", *rows("a"), "y", *rows("b"), "z", "z"], partition_size=2)
    assert ids(made) == [["a", "b"], []]
    assert [place for place, _, _ in rejected(made)] == [f"source-0.jsonl:{line}" for line in (1, 3, 5, 6)]
    assert [record.outcome.planned for record in made.folder.records(made.partitions)] == [4, 2]


def test_duplicate_ids_within_and_across_sources(plan: Callable[..., Plan]) -> None:
    made = plan(rows("a", "b", "a"), rows("c", "b"), partition_size=9)
    assert ids(made) == [["a", "b", "c"]]
    assert rejected(made) == [("a", "duplicate_id", "a was there before"), ("b", "duplicate_id", "b was there before")]


def test_number_and_text_are_the_same_id(plan: Callable[..., Plan]) -> None:
    assert [reason for _, reason, _ in rejected(plan(rows(7, "7")))] == ["duplicate_id"]


@pytest.mark.parametrize("order", [["a", "a#1"], ["a#1", "a"]])
def test_ids_of_renditions_are_taken_too(plan: Callable[..., Plan], order: list[str]) -> None:
    speech = {"engine": "replay", "assistant_voice": "assistant", "renditions": 2}
    assert rejected(plan(rows(*order))) == []
    made = plan(rows(*order), speech=speech)
    assert ids(made) == [[order[0]]]
    assert rejected(made) == [(order[1], "duplicate_id", "a#1 was there before")]


@pytest.mark.parametrize("order", [["a", "a~2"], ["a~2", "a"]])
@pytest.mark.parametrize("takes", [1, 4])
def test_ids_of_takes_are_taken_whatever_their_number(plan: Callable[..., Plan], order: list[str], takes: int) -> None:
    made = plan(rows(*order), timing={"scenario": "turn_taking", "takes": takes})
    assert ids(made) == [[order[0]]]
    assert rejected(made) == [(order[1], "duplicate_id", f"{order[0]} was there before")]


def test_ids_of_takes_of_renditions_are_taken_too(plan: Callable[..., Plan]) -> None:
    speech = {"engine": "replay", "assistant_voice": "assistant", "renditions": 2}
    made = plan(rows("a", "a#1~3", "b~1", "b~2", "b~0", "c~"), speech=speech, partition_size=9)
    assert ids(made) == [["a", "b~1", "b~2", "b~0", "c~"]]
    assert rejected(made) == [("a#1~3", "duplicate_id", "a#1 was there before")]


def single(*ids: str) -> list[Row]:
    return [{"id": id_, "data": [f"Who is {id_}?", "Nobody knows."]} for id_ in ids]


@pytest.fixture
def joined_plan(tmp_path: Path) -> Callable[..., Plan]:
    """Plan over one source whose rows are joined in pairs, and one whose rows are not."""

    def make(pairs: Sequence[Row | str], others: Sequence[Row] = (), **changes: Any) -> Plan:
        listed = []
        for name, lines, join in (("pairs", pairs, 2), ("others", others, 1)):
            path = tmp_path / f"{name}.jsonl"
            path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
            listed.append({"name": name, "shape": "ultrachat", "path": path.name, "join": join})
        recipe = Recipe.model_validate(recipe_dict(tmp_path) | {"sources": listed, "partition_size": 9} | changes)
        return make_plan(recipe, tmp_path, tmp_path / "work", None, lambda _: None)

    return make


def test_joined_rows_are_one_dialogue_and_all_are_counted(joined_plan: Callable[..., Plan]) -> None:
    made = joined_plan([*single("a", "b"), "broken", *single("c", "d", "e")], single("f"))
    assert ids(made) == [["a+b", "c+d", "e", "f"]]
    (record,) = made.folder.records(made.partitions)
    assert record.outcome.notes == {"joined_to_the_row_before": 2}
    assert (record.outcome.planned, len(record.outcome.rejections)) == (5, 1)  # and two joined: the seven rows
    (first, *_) = made.folder.read(0).to_pylist()
    assert [turn["text"] for turn in first["turns"]] == [
        *("Who is a?", "Nobody knows."),
        *("Who is b?", "Nobody knows."),
    ]


def test_a_row_twice_is_no_part_of_two_dialogues(joined_plan: Callable[..., Plan]) -> None:
    made = joined_plan(single("a", "b", "a", "c"))
    assert ids(made) == [["a+b", "c"]]
    assert rejected(made) == [("a", "duplicate_id", "a was there before")]


def test_a_joined_id_can_be_taken(joined_plan: Callable[..., Plan]) -> None:
    made = joined_plan(single("a", "b"), single("a+b", "a"))
    assert ids(made) == [["a+b", "a"]]
    assert rejected(made) == [("a+b", "duplicate_id", "a+b was there before")]


def test_same_bytes_elsewhere_and_untouched_on_a_rerun(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(rows("a", "b", "c"), partition_size=2)
    stamps = {path: path.stat().st_mtime_ns for path in made.folder.path.iterdir()}
    assert plan(rows("a", "b", "c"), partition_size=2) == made
    assert {path: path.stat().st_mtime_ns for path in made.folder.path.iterdir()} == stamps
    plan(rows("a", "b", "c"), partition_size=2, work="elsewhere")
    assert tree(tmp_path / "work") == tree(tmp_path / "elsewhere")


@pytest.mark.parametrize("lost", ["plan.json", "part-000001.json", "part-000000.parquet plan.json"])
def test_interrupted_plan_is_made_again(plan: Callable[..., Plan], tmp_path: Path, lost: str) -> None:
    made = plan(rows("a", "b", "c"), partition_size=2)
    whole = tree(tmp_path / "work")
    for name in lost.split():
        (made.folder.path / name).unlink()
    assert plan(rows("a", "b", "c"), partition_size=2) == made
    assert tree(tmp_path / "work") == whole


@pytest.mark.parametrize("content", ["", "{", "[]", '{"partitions": null}'])
def test_damaged_plan_is_named(plan: Callable[..., Plan], content: str) -> None:
    made = plan(rows("a"))
    (made.folder.path / "plan.json").write_text(content)
    with pytest.raises(UserError, match=r"plan\.json is damaged .*Remove it and run the same command again"):
        plan(rows("a"))


RENDITIONS = {"speech": {"engine": "replay", "assistant_voice": "assistant", "renditions": 2}}


@pytest.mark.parametrize("change", [{"partition_size": 3}, {"limit": 2}, RENDITIONS])
def test_what_shapes_a_plan_names_its_folder(plan: Callable[..., Plan], change: dict[str, Any]) -> None:
    assert plan(rows("a", "b"), **change).key != plan(rows("a", "b")).key
    assert plan(rows("a", "c")).key != plan(rows("a", "b")).key


@pytest.mark.parametrize(
    "change", [{"seed": 9}, {"license": "mit"}, {"timing": {"scenario": "interruption", "takes": 5}}]
)
def test_what_comes_later_does_not(plan: Callable[..., Plan], change: dict[str, Any]) -> None:
    assert plan(rows("a", "b"), **change) == plan(rows("a", "b"))


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_sources_without_anything(plan: Callable[..., Plan], tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(UserError, match=r"there is no dialogue in source-0 \(source-0\.jsonl\)"):
        plan(lines)
    assert not (tmp_path / "work").exists()
    assert ids(plan(lines, rows("a"))) == [["a"]]
