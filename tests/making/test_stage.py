"""Running a stage over a partition: every dialogue comes out or is accounted for, and none takes others along."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.dialogue import Dialogue, Rejection, Turn
from duplexgen.pipeline.errors import DialogueRejected, UserError
from duplexgen.pipeline.making.stage import Account, Row, run_partition, stage_key
from duplexgen.pipeline.recipe.sections import Range, Section, shape_of
from duplexgen.pipeline.rewriting.section import Rewriting
from duplexgen.pipeline.stages.rows import TEXT, text_row
from duplexgen.pipeline.stages.script import ScriptStage


class Echo:
    """Gives back its rows, but for what the tests do to it."""

    name: ClassVar[str] = "echo"
    version: ClassVar[int] = 1
    schema = TEXT
    reads: ClassVar[tuple[str, ...] | None] = None
    num_cpus = 1.0
    num_gpus = 0.0
    max_actors: int | None = None
    cost = 1.0
    fan_out = 1

    def __init__(self, fails: dict[str, BaseException] | None = None, loses: str = "", parameter: Any = 0) -> None:
        self.fails, self.loses, self.parameter = fails or {}, loses, parameter

    def shaped_by(self) -> dict[str, Any]:
        return {"parameter": self.parameter}

    def load(self, scratch: Path) -> None: ...

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        made = []
        for row in rows:
            with account.each(row["dialogue_id"]):
                if error := self.fails.get(row["dialogue_id"]):
                    raise error
                if row["dialogue_id"] != self.loses:
                    made.append(row)
        return made


def partition(*ids: str) -> pa.Table:
    turns = (Turn("user", "Where is it?"), Turn("assistant", "Over there."))
    return pa.Table.from_pylist([text_row(Dialogue(id_, "test", "en", turns)) for id_ in ids], schema=TEXT)


def test_all_come_out() -> None:
    table, outcome = run_partition(Echo(), partition("a", "b"))
    assert table.equals(partition("a", "b"))
    assert (outcome.planned, outcome.emitted, outcome.rejections) == (2, 2, ())


def test_partition_without_rows() -> None:
    table, outcome = run_partition(Echo(), partition())
    assert (table.num_rows, outcome.planned, outcome.emitted) == (0, 0, 0)
    assert table.schema == TEXT


def test_rejected_dialogue_has_its_reason() -> None:
    _, outcome = run_partition(Echo({"b": DialogueRejected("too_odd", "by far")}), partition("a", "b"))
    assert outcome.rejections == (Rejection("b", "echo", "too_odd", "by far"),)


class Length(Echo):
    """Adds a column."""

    schema = TEXT.append(pa.field("length", pa.int32()))
    reads: ClassVar[tuple[str, ...] | None] = ("dialogue_id", "turns")

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        kept = super().process(rows, account)
        return [{"dialogue_id": row["dialogue_id"], "length": len(row["turns"])} for row in kept]


@pytest.mark.parametrize("fails", ["", "b", "ab"])
def test_columns_beside_those_of_the_rows_that_come_out(fails: str) -> None:
    """Of a partition that is rejected whole, too."""
    table, outcome = run_partition(Length({id_: DialogueRejected("no", "no") for id_ in fails}), partition("a", "b"))
    ids = [id_ for id_ in "ab" if id_ not in fails]
    assert (table.schema, table["dialogue_id"].to_pylist()) == (Length.schema, ids)
    assert table["length"].to_pylist() == [2] * len(ids)
    assert len(outcome.rejections) == len(fails)


def test_exception_rejects_its_dialogue_alone() -> None:
    table, outcome = run_partition(Echo({"b": ZeroDivisionError("by nought")}), partition("a", "b", "c"))
    assert table["dialogue_id"].to_pylist() == ["a", "c"]
    (rejection,) = outcome.rejections
    assert (rejection.dialogue_id, rejection.reason) == ("b", "internal_error")
    assert rejection.detail.startswith("ZeroDivisionError: by nought (test_stage.py, line ")
    assert rejection.detail.endswith(", in process)")


@pytest.mark.parametrize(
    "error",
    [
        UserError("the disk is full"),
        OSError("gone"),
        MemoryError(),
        KeyboardInterrupt(),
        ImportError("the 'socksio' package is not installed"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuFFT error: CUFFT_INTERNAL_ERROR"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_machine_is_raised(error: BaseException) -> None:
    with pytest.raises(type(error)):
        run_partition(Echo({"b": error}), partition("a", "b"))


def test_lost_dialogue_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="stage echo lost count: 2 planned, 1 emitted, 0 rejected"):
        run_partition(Echo(loses="b"), partition("a", "b"))


def test_key_is_named_by_what_shapes_it() -> None:
    key = stage_key(Echo(parameter={"a": 1, "b": 2}), ["before"])
    assert stage_key(Echo(parameter={"b": 2, "a": 1}), ["before"]) == key
    assert stage_key(Echo(parameter={"a": 1, "b": 3}), ["before"]) != key
    assert stage_key(Echo(parameter={"a": 1, "b": 2}), ["other"]) != key


class Fragile:
    """A rewriter with a mistake in it, which one dialogue brings out."""

    def __init__(self, stage: ScriptStage) -> None:
        self.real = stage.rewriter

    def rewrite_all(self, dialogues: Sequence[Dialogue]) -> list[Any]:
        if any(dialogue.id == "b" for dialogue in dialogues):
            raise RecursionError("too deep")
        return list(self.real.rewrite_all(dialogues))


def test_mistake_of_a_rewriter_rejects_one_dialogue(tmp_path: Path) -> None:
    stage = ScriptStage(Rewriting())
    stage.load(tmp_path)
    stage.rewriter = Fragile(stage)  # type: ignore[assignment]
    table, outcome = run_partition(stage, partition("a", "b", "c"))
    assert table["dialogue_id"].to_pylist() == ["a", "c"]
    assert [(each.dialogue_id, each.stage, each.reason) for each in outcome.rejections] == [
        ("b", "script", "internal_error")
    ]


class Old(Section):
    """What a recipe said of a part."""

    voice: str
    takes: int = 1
    gap_s: float | None = 2.0
    inner: Range = Range(low=0, high=1)
    folder: str = ""

    SHAPELESS: ClassVar[frozenset[str]] = frozenset({"folder"})


class New(Old):
    """The same with optional keys that were not thought of before, and a part that is seldom used."""

    noise: float = 0.0
    rooms: list[str] | None = None
    telephone: Old | None = None


said = st.fixed_dictionaries(
    {"voice": st.sampled_from("ab")},
    optional={
        "takes": st.sampled_from([1, 2]),
        "gap_s": st.sampled_from([None, 2.0, 0.0]),
        "inner": st.sampled_from([[0.0, 1.0], [0.0, 2.0]]),
        "folder": st.sampled_from(["", "x"]),
    },
)


@given(said)
def test_keys_that_are_new_and_optional_leave_the_old_ones_as_they_are(says: dict[str, Any]) -> None:
    shape = shape_of(Old.model_validate(says))
    assert shape_of(New.model_validate(says)) == shape
    assert shape_of(New.model_validate(says | {"noise": 0.0, "rooms": None, "telephone": None})) == shape
    used: tuple[dict[str, Any], ...] = {"rooms": []}, {"noise": 0.5}, {"telephone": {"voice": "a"}}
    shapes = [json.dumps(shape_of(New.model_validate(says | more)), sort_keys=True) for more in ({}, *used)]
    assert len(set(shapes)) == 4


@given(said, said)
def test_sections_have_one_shape_if_they_say_the_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    left, right = (Old.model_validate(says) for says in (one, two))
    same = left.model_copy(update={"folder": ""}) == right.model_copy(update={"folder": ""})
    assert (shape_of(left) == shape_of(right)) == same


def test_a_section_that_says_nothing_is_no_part_of_a_key() -> None:
    class Wider(Echo):
        def shaped_by(self) -> dict[str, Any]:
            return super().shaped_by() | {"acoustics": {}, "display": None}

    assert stage_key(Wider(), ["before"]) == stage_key(Echo(), ["before"])
    assert stage_key(Echo(), ["before", "other"]) != stage_key(Echo(), ["before"])
    assert stage_key(Echo(parameter=0), ["before"]) != stage_key(Echo(parameter=False), ["before"])
