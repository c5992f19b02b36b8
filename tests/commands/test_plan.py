"""The plan: which dialogue stands in which partition, the same each time."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.commands.plan import make_plan
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.making.plan import Plan
from tests.corpus import TURNS, recipe_dict, tree

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


@pytest.fixture
def plan_where(tmp_path: Path) -> Callable[..., Plan]:
    """Plan over one source, whose rows are `plan_where("a en", "b zh")`: ids and languages; only English is planned."""

    def make(*rows: str, **source: Any) -> Plan:
        lines = [dict(zip(("id", "lang"), row.split(), strict=True)) for row in rows]
        (tmp_path / "talk.jsonl").write_text("".join(json.dumps(GOOD | line) + "\n" for line in lines))
        listed = [{"name": "talk", "shape": "ultrachat", "path": "talk.jsonl", "where": {"lang": "en"}} | source]
        recipe = Recipe.model_validate(recipe_dict(tmp_path) | {"sources": listed, "partition_size": 2})
        return make_plan(recipe, tmp_path, tmp_path / "work", None, lambda _: None)

    return make


def notes(made: Plan) -> list[dict[str, int]]:
    return [record.outcome.notes for record in made.folder.records(made.partitions)]


def test_rows_that_are_left_out_are_counted_and_not_planned(plan_where: Callable[..., Plan]) -> None:
    made = plan_where("a zh", "b en", "b zh", "c en", "d en", "c zh", "d en", "e de")
    assert ids(made) == [["b", "c"], ["d"]]
    assert rejected(made) == [("d", "duplicate_id", "d was there before")]  # of those that are not left out
    assert notes(made) == [{"left_out_by_where": 2}, {"left_out_by_where": 2}]
    assert [record.outcome.planned for record in made.folder.records(made.partitions)] == [2, 2]
    assert plan_where("a zh", "b en", "b zh", "c en", "d en", "c zh", "d en", "e de") == made


def test_rows_that_are_left_out_behind_a_full_partition_are_counted(plan_where: Callable[..., Plan]) -> None:
    made = plan_where("a en", "b en", "c zh")
    assert (ids(made), notes(made)) == ([["a", "b"], []], [{}, {"left_out_by_where": 1}])
    assert plan_where("a en", "b en", "c zh") == made  # its numbers of rows agree


def test_a_limit_counts_rows_that_are_not_left_out(plan_where: Callable[..., Plan]) -> None:
    assert ids(plan_where("a zh", "b zh", "c en", "d zh", "e en", "f en", limit=2)) == [["c", "e"]]


def test_a_source_whose_rows_are_all_left_out(plan_where: Callable[..., Plan], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Expected at least one row that has the values of `where`"):
        plan_where("a zh", "b zh", "c de")
    assert not (tmp_path / "work").exists()


def test_what_says_nothing_of_rows_and_ids_shapes_no_plan(plan_where: Callable[..., Plan]) -> None:
    (plain,) = plan_where("a en", where={}).shape["sources"]
    assert plain == {"name": "talk", "shape": "ultrachat"}  # the keys of plans stay those from before `where`
    changes: list[dict[str, Any]] = [{}, {"where": {}}, {"id_key": "id"}, {"where": {"id": "a"}}]
    assert len({plan_where("a en", **change).key for change in changes}) == 4


GROWN = json.dumps(GOOD | {"id": "late"}) + "\n"


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_text(path.read_text().replace("a", "e"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def replaced(path: Path) -> None:
    (path.parent / "new").write_text(GROWN)
    (path.parent / "new").replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "grown": lambda path: path.write_text(path.read_text() + GROWN),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "replaced": replaced,
    "same size and time": same_size_and_time,
    "a file beside it": lambda path: (path.parent / "b.jsonl").write_text(GROWN),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("moment", [1, 2, 5])
def test_a_source_that_changes_while_it_is_read_is_not_kept(tmp_path: Path, change: str, moment: int) -> None:
    folder = tmp_path / "talk"
    folder.mkdir()
    file = folder / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows("a", "b", "c", "d", "e")))
    before = file.read_bytes()
    listed = [{"name": "talk", "shape": "ultrachat", "path": "talk"}]
    recipe = Recipe.model_validate(recipe_dict(tmp_path) | {"sources": listed, "partition_size": 2})

    def report(row: int) -> None:
        if row == moment:
            CHANGES[change](file)

    with pytest.raises(UserError, match=r"[ab]\.jsonl of source talk changed while it was read"):
        make_plan(recipe, tmp_path, tmp_path / "work", None, report)
    assert not list(tmp_path.glob("work/*/plan.json"))

    file.write_bytes(before)
    (folder / "b.jsonl").unlink(missing_ok=True)
    again = make_plan(recipe, tmp_path, tmp_path / "work", None, lambda _: None)
    assert ids(again) == [["a", "b"], ["c", "d"], ["e"]]


def test_a_plan_that_is_made_again_in_vain_is_none(plan: Callable[..., Plan], tmp_path: Path) -> None:
    long = [row | {"note": "x" * 20_000} for row in rows("a", "b", "c")]  # not all is read at once
    made = plan(long, partition_size=2)
    source = tmp_path / "source-0.jsonl"
    before = source.read_text()
    made.folder.record_file(1).unlink()
    listed = [{"name": "source-0", "shape": "ultrachat", "path": source.name}]
    recipe = Recipe.model_validate(recipe_dict(tmp_path) | {"sources": listed, "partition_size": 2})

    def report(_: int) -> None:
        source.write_text(before.replace('"c"', '"x"'))

    with pytest.raises(UserError, match="changed while it was read"):
        make_plan(recipe, tmp_path, tmp_path / "work", None, report)
    source.write_text(before)
    assert ids(make_plan(recipe, tmp_path, tmp_path / "work", None, lambda _: None)) == [["a", "b"], ["c"]]


@pytest.fixture
def lossy_plan(tmp_path: Path) -> Callable[..., Plan]:
    """Plan over a folder of 100 files of which a few cannot be read, and one that ends in its middle."""
    folder = tmp_path / "talk"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number:02d}.jsonl").write_text(json.dumps(GOOD | {"id": number}) + "\n")
    (folder / "17.jsonl").write_text("version https://git-lfs.github.com/spec/v1\nsize 12\n")
    (folder / "30.jsonl").rename(folder / "30.parquet")
    (folder / "50.jsonl").unlink()
    (folder / "50.json").write_text(json.dumps([GOOD | {"id": 50}, GOOD | {"id": 51.5}])[:-9])

    def make(limit: int | None = None, max_rejected_share: float = 1.0, **source: Any) -> Plan:
        listed = [{"name": "talk", "shape": "ultrachat", "path": "talk"} | source]
        changes = {"sources": listed, "max_rejected_share": max_rejected_share, "partition_size": 200}
        return make_plan(
            Recipe.model_validate(recipe_dict(tmp_path) | changes), tmp_path, tmp_path / "work", limit, lambda _: None
        )

    return make


def test_a_file_that_is_lost_stops_the_build_and_is_named(lossy_plan: Callable[..., Plan]) -> None:
    with pytest.raises(UserError) as stopped:
        lossy_plan()
    message = str(stopped.value)
    assert message.startswith("3 files of the sources cannot be read, or not to the end:\n")
    for words in (
        "17.jsonl: no row could be read",
        "30.parquet: no row could be read",
        "50.json: only 1 of its rows could",
    ):
        assert words in message
    assert "`unreadable_files: skip`" in message
    with pytest.raises(UserError, match="1 file of the sources"):
        lossy_plan(limit=20)  # which ends before the others


def test_a_file_that_may_be_lost_is_counted(lossy_plan: Callable[..., Plan]) -> None:
    made = lossy_plan(unreadable_files="skip")
    assert len(ids(made)[0]) == 98
    assert [place for place, _, _ in rejected(made)] == ["17.jsonl:1", "17.jsonl:2", "30.parquet", "50.json"]
    with pytest.raises(UserError, match="3 files"):  # what was planned without them is not taken for this
        lossy_plan()
