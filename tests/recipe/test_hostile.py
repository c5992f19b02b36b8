"""Whatever a recipe's file holds, loading it gives a recipe or a message, and nothing else is raised."""

import contextlib
import copy
import os
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.commands import checking, doctor
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.recipe.file import LONGEST_CHAIN, RECIPES, load
from duplexgen.training.recipe import TRAINING_RECIPES, DPORecipe, SFTRecipe
from tests.command import duplexgen

quick = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

LOADS: dict[str, Callable[[str], Any]] = {
    "turn_taking": checking.load,
    "train_interruption": checking.load,
    "paper/bayling_turn_taking": checking.load,
    "pairs/timing": lambda name: load(name, PairsRecipe, RECIPES / "pairs"),
    "training/sft_small": lambda name: load(name, SFTRecipe, TRAINING_RECIPES),
    "training/dpo_small": lambda name: load(name, DPORecipe, TRAINING_RECIPES),
}
VALUES: list[Any] = [
    *(
        None,
        True,
        "",
        " ",
        "x" * 300,
        "x" * 5000,
        "..",
        "/",
        "a/b",
        "CON",
        "con.txt",
        "x.",
        "-",
        "~nosuchuser/x",
        "s3://b/x",
    ),
    *(
        "\x00",
        "\n",
        "\u202e",
        "[red]",
        "2024-99-99",
        "1:30",
        "/dev/zero",
        "/proc/self/mem",
        "extends",
        "\U0010ffff",
        "a" * 256,
    ),
    *(
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        10**9,
        10**12,
        10**30,
        10**50,
        0.0,
        -0.0,
        1e-300,
        1e6,
        1e308,
        float("nan"),
        float("inf"),
    ),
    *(
        [],
        {},
        [[]],
        [None],
        [0.0],
        [0.0, 1.0, 2.0],
        [1e308, 1e308],
        {"": 1},
        {"low": 0.0},
        {"extends": "x"},
        [{}] * 2000,
        "0o17",
    ),
]
RAW = [
    "*a", "&a [*a]", "!!binary aGVsbG8=", "!!set {a}", "!!python/name:os.system", '"\\ud800"', '"\\e[31m"', "\t",
    "\x00", "2024-99-99", "<<: {a: 1}", ".nan", "-.inf", "0o17", "1_000", "1:30", "017", "[" * 100, "{", "'", "- x",
    "? [a]\n: b",
]  # fmt: skip


def outcome(load_it: Callable[[str], Any], path: Path) -> str | None:
    """What is told, or None where there is a recipe; any other exception is a failure of the test."""
    try:
        load_it(str(path))
    except UserError as error:
        str(error).encode("utf-8", "backslashreplace")
        return str(error)
    return None


def leaves(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of all values of a recipe, sections too."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in items for place in leaves(item, (*at, key)))]


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    value = copy.copy(value)
    value[place[0]] = changed(value[place[0]], place[1:], new)
    return value


shipped_ones = {name: (RECIPES / f"{name}.yaml").read_text(encoding="utf-8") for name in LOADS}


@quick
@given(data=st.data(), name=st.sampled_from(sorted(LOADS)))
def test_values_of_recipes_that_ship_are_replaced(tmp_path: Path, data: st.DataObject, name: str) -> None:
    recipe = yaml.safe_load(shipped_ones[name])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(leaves(recipe)))
        recipe = changed(recipe, place, data.draw(st.sampled_from(VALUES) | st.text(max_size=8) | st.floats()))
    path = tmp_path / "recipe.yaml"
    path.write_bytes(yaml.safe_dump(recipe, allow_unicode=True).encode("utf-8", "surrogatepass"))
    outcome(LOADS[name], path)


@quick
@given(data=st.data(), name=st.sampled_from(sorted(LOADS)))
def test_text_of_recipes_that_ship_is_damaged(tmp_path: Path, data: st.DataObject, name: str) -> None:
    content = shipped_ones[name].encode()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.sampled_from([0, 0, 1, 7, 60]))
        put = data.draw(st.sampled_from([text.encode() for text in RAW]) | st.binary(max_size=3))
        content = content[:at] + put + content[at + cut :]
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    outcome(LOADS[name], path)


@pytest.mark.parametrize("name", sorted(LOADS))
def test_any_value_at_any_key(tmp_path: Path, name: str) -> None:
    recipe = yaml.safe_load(shipped_ones[name])
    path = tmp_path / "recipe.yaml"
    tried = list(product(leaves(recipe), VALUES))
    for place, value in random.Random(name).sample(tried, min(len(tried), 150)):
        path.write_text(yaml.safe_dump(changed(recipe, place, value)), encoding="utf-8")
        said = outcome(LOADS[name], path)
        assert said is None or str(path) in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"timing": {"tail_s": 1e6}}, "timing.tail_s: Input should be less than or equal to 600, got 1000000.0"),
        (
            {"timing": {"next_turn_gap_s": [0.5, 1e308]}},
            "next_turn_gap_s.high: Input should be less than or equal to 600",
        ),
        ({"partition_size": 10**12}, "partition_size: Input should be less than or equal to 100000"),
        ({"speech": {"renditions": 10**9}}, "speech.renditions: Input should be less than or equal to 10000"),
        ({"timing": {"takes": 10**9}}, "timing.takes: Input should be less than or equal to 10000"),
        ({"seed": 2**64}, "seed: Input should be less than 9223372036854775808, got 18446744073709551616"),
        ({"output": {"sample_rate": 1}}, "output.sample_rate: Input should be greater than or equal to 8000"),
        ({"output": {"sample_rate": 10**9}}, "output.sample_rate: Input should be less than or equal to 192000"),
        ({"layout": {"user_tokens": 10**9}}, "layout.user_tokens: Input should be less than or equal to 1000"),
        ({"timing": {"tail_s": float("nan")}}, "timing.tail_s: Input should be a finite number, got nan"),
        ({"name": "a/b"}, "name: String should match pattern"),
        ({"name": "x" * 300}, "name: String should have at most 100 characters"),
        ({"name": "CON"}, "name: expected a name that every system accepts for a file"),
        ({"name": "x."}, "name: expected a name that every system accepts for a file"),
        ({"name": ".."}, "name: String should match pattern"),
    ],
)
def test_absurd_values_are_told_with_their_range(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"extends": "turn_taking"} | change))
    said = outcome(checking.load, path)
    assert said is not None and says in said
    assert f"{path}:" in said


def test_a_configuration_of_a_model_that_no_machine_holds(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    for key, value in (("num_hidden_layers", 10**9), ("rope_theta", float("inf")), ("hidden_size", 10**20)):
        path.write_text(yaml.safe_dump({"extends": "sft_small", "model": {"config": {key: value}}}))
        said = outcome(LOADS["training/sft_small"], path)
        assert said is not None and f"model: {key}: expected" in said


def test_chains(tmp_path: Path) -> None:
    for number in range(2000):
        (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
    said = outcome(checking.load, tmp_path / "0.yaml")
    assert said is not None and f"extends: more than {LONGEST_CHAIN} recipes extend one another" in said


def test_what_cannot_be_extended(tmp_path: Path) -> None:
    path, link = tmp_path / "recipe.yaml", tmp_path / "link.yaml"
    link.symlink_to(path)
    (tmp_path / "huge.yaml").write_bytes(b"# " + b"x" * (1 << 21))
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    for named, says in (
        ("link.yaml", "link.yaml extends this recipe itself"),
        (".", "no such recipe"),
        ("/dev/zero", "no such recipe"),
        ("/proc/self/mem/x", "no such recipe"),
        ("circle.yaml", "no such recipe"),
        ("huge.yaml", "is too large"),
        ("x" * 4096, "no such recipe"),
        ("s3://bucket/x", "no such recipe"),
        ("~nosuchuser/x", "no such recipe"),
        ([1], "no such recipe"),
    ):
        path.write_text(yaml.safe_dump({"extends": named}))
        said = outcome(checking.load, path)
        assert said is not None and says in said and len(said) < 2000


def test_prompts_that_never_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    llm = {"url": "http://localhost:1/v1", "model": "x"}
    path = tmp_path / "recipe.yaml"
    for prompt in ("/dev/zero", str(tmp_path / "pipe"), str(tmp_path)):
        rewriting = {"engine": "llm", "llm": llm | {"prompt": prompt}}
        path.write_text(yaml.safe_dump({"extends": "turn_taking", "rewriting": rewriting}))
        said = outcome(checking.load, path)
        assert said is not None and f"rewriting.llm.prompt: {prompt}: cannot be read" in said


def test_doctor_looks_at_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    for name in (["x"], "x" * 300, "..", "/etc", "a\nb", 7, None):
        path.write_text(yaml.safe_dump({"extends": "turn_taking", "name": name}))
        with contextlib.suppress(UserError):
            found = list(doctor.examine(str(path), lambda name: (tmp_path / "out" / name, tmp_path / "work")))
            assert not all(finding.is_well for finding in found)


def test_nothing_is_made_of_a_bomb(tmp_path: Path) -> None:
    """As it was found: fifteen lines that would fill the memory."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 15)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    for command in (["build"], ["plan"], ["doctor"], ["train", "sft"], ["train", "dpo"], ["dpo-pairs", "."]):
        ended = duplexgen(*command, "bomb.yaml", cwd=tmp_path)
        assert ended.status == 2
        assert "bomb.yaml: line 5: expected at most 50,000 values" in ended.said
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.yaml"]
