"""Whatever a YAML file holds: plain values within bounds, or a message with file and line."""

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.recipe.file import RECIPES
from duplexgen.pipeline.recipe.yaml_file import DEEPEST, MOST_VALUES, read
from duplexgen.pipeline.storage.paths import LARGEST_TEXT_BYTES

MOST_MEMORY = 1 << 28  # bytes, for the largest file that is read; a bomb would take all there is


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path: Path) -> str:
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as error:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert str(error.value).startswith(f"{path}:")
    return str(error.value).removeprefix(f"{path}:").strip()


def lines(*, of: int, item: str) -> str:
    """Mappings in which each key holds ten of what the key before holds."""
    made = [f"a0: &a0 [{item}]"]
    made += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, of)]
    return "\n".join(made)


BOMBS = {
    "laughs": (lines(of=15, item="lol"), "expected at most 50,000 values, counting the values of an alias"),
    "merges": (
        "a0: &a0 {x: 1}\n" + "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 15)),
        "expected at most 50,000 values, counting the values of an alias",
    ),
    "in itself": ("a: &a [1, *a]", "1: *a is used inside the value that it names"),
    "in itself, as a section": ("x: 1\na: &a\n  b: {c: *a}", "3: *a is used inside the value that it names"),
    "in itself, as a key": ("&a {*a : 1}", "is used inside the value that it names"),
    "flow": ("[" * 100_000, "expected at most 32 sections"),
    "block": ("\n".join(" " * n + "-" for n in range(1000)), "expected at most 32 sections"),
    "sections": ("\n".join(" " * n + f"k{n}:" for n in range(1000)), "expected at most 32 sections"),
    "compact": ("- " * 100_000, "expected at most 32 sections"),
    "chain": (
        "a0: &a0 [1]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 300)),
        "expected at most 32 sections",
    ),
    "many": ("[" + "1," * (MOST_VALUES + 1) + "]", "expected at most 50,000 values"),
    "large": ("# " + "x" * LARGEST_TEXT_BYTES, "is too large: expected at most 1,048,576 bytes"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_told_before_they_are_built(tmp_path: Path, name: str) -> None:
    text, says = BOMBS[name]
    assert says in refused(written(tmp_path, text))


def test_a_sparse_file_of_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(10**9)
    assert "is too large" in refused(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        assert refused(path) == "cannot be read: expected a plain file, not a folder, pipe or device"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("name: x".encode("utf-16"), "line 1: cannot be read as text: expected UTF-8"),
        (b"a: 1\nname: caf\xe9", "line 2: cannot be read as text: expected UTF-8"),
        (b"a: 1\nb: \x00", "line 2: not YAML: it holds the character U+0000"),
        ("a: 1\nb: \x1b[31m", "line 2: not YAML: it holds the character U+001B"),
        ("a: 1\n\tb: 2", "line 2: not YAML"),
        ("a: 1\n---\nb: 2", "line 2: not YAML"),
        ('a: 1\nb: "\\UFFFFFFFF"', "line 2: not YAML"),
        ('a: 1\nb: "\\U00110000"', "line 2: not YAML"),
        ('a: "\\xg"', "line 1: not YAML"),
        (f"%YAML 1.{'9' * 5000}\n---\na: 1", "line 1: not YAML"),
        ("a: !<%ff> x", "line 1: not YAML"),
        ("a: *b", "line 1: not YAML: found undefined alias 'b'"),
        ('a: "\\ud800"', "1: a: holds half a character (U+D800)"),
        ('a:\n  - "\\udc00\\ud800 x"', "2: a[0]: holds half a character (U+DC00)"),
        ('"\\udfff": 1', "1: recipe: holds half a character (U+DFFF)"),
        ('a:\n  b: "\\e[31m"', "2: a.b: holds the control character U+001B"),
        ('a: "\\r"', "holds the control character U+000D"),
        ('a: "\\N"', "holds the control character U+0085"),
        ("a: !!binary aGVsbG8=", "1: a: has the tag !!binary"),
        ("a: !!set {x, y}", "1: a: has the tag !!set"),
        ("a: !!omap [x: 1]", "1: a: has the tag !!omap"),
        ("a: !!timestamp 2024-99-99", "1: a: has the tag !!timestamp"),
        ("a: !!python/name:os.system x", "1: a: has the tag !!python/name:os.system"),
        ("a: !mine x", "1: a: has the tag !mine"),
        ("a: !!int ten", "1: a: is not a valid int, got 'ten'"),
        ("a: !!float x", "is not a valid float"),
        ("a: !!bool perhaps", "is not a valid bool"),
        (f"a: {'9' * 5000}", "1: a: is not a valid int"),
        ("1: x", "1: recipe: has a key that is not a text"),
        ("a: {no: x}", "1: a: has a key that is not a text"),
        ("a: {null: x}", "has a key that is not a text"),
        ("? [a, b]\n: x", "has a key that is not a text"),
        ("? {a: b}\n: x", "has a key that is not a text"),
        ("<<: 7", "merges with << a value that is not a section"),
        ("a: <<", "has the tag !!merge"),
    ],
)
def test_what_is_told(tmp_path: Path, content: str | bytes, says: str) -> None:
    assert says in refused(written(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-99-99", "2024-99-99"),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("017", "017"),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("-12", -12),
        ("3e-7", 3e-7),
        ("1.0e-5", 1e-5),
        ("12345e7", "12345e7"),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("=", "="),
        ('"\\ud83d\\ude00"', "😀"),
        ("!!str 5", "5"),
        ("图书馆 café 😀", "图书馆 café 😀"),
    ],
)
def test_values(tmp_path: Path, text: str, value: object) -> None:
    assert read(written(tmp_path, f"\ufeffa: {text}")).value == {"a": value}


def test_what_is_merged_gives_way_to_what_is_said(tmp_path: Path) -> None:
    text = "one: &one {a: 1, b: 1}\ntwo: &two {b: 2, c: 2}\nboth:\n  <<: [*one, *two]\n  a: 3\n  a: 4\n"
    document = read(written(tmp_path, text))
    assert document.value["both"] == {"a": 4, "b": 1, "c": 2}
    assert document.value["both"] == yaml.safe_load(text)["both"]
    assert [(one.location, one.line, one.first_line) for one in document.repeated] == [(("both", "a"), 6, 5)]
    assert document.lines["both", "b"] == 1 and document.lines["both", "c"] == 2


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=20), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=plain)
def test_json_is_read_as_it_is_or_told(tmp_path: Path, value: Any) -> None:
    """JSON is YAML; what Python writes of it must come back, but for control characters and half ones."""
    try:
        found = read(written(tmp_path, json.dumps({"value": value}))).value
    except UserError as error:
        assert "character" in str(error)
    else:
        assert found == {"value": value}


SNIPPETS = [
    *(
        "&a",
        "*a",
        "<<: *a",
        "!!set",
        "!!binary",
        "? ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "|\n",
        ">-\n",
        "'",
        '"',
        "\t",
        "\r",
    ),
    *(
        "\n",
        "  ",
        "#",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "\x85",
        "\u2028",
        "\ufeff",
        "\x00",
        '"\\ud800"',
        "1:30",
        "=",
        "@",
    ),
    *(
        "2024-99-99",
        ".nan",
        "1e308",
        "0o17",
        "null",
        "a: ",
        "extends: x\n",
        "\U0010ffff",
        "`",
        "&",
        "*",
        "!",
        "!<x>",
        "~",
    ),
]


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from(SNIPPETS) | st.text(max_size=6), max_size=30), raw=st.binary(max_size=20))
def test_nothing_else_is_raised(tmp_path: Path, parts: list[str], raw: bytes) -> None:
    content = "".join(parts).encode("utf-8", "surrogatepass") + (raw if len(raw) % 3 == 0 else b"")
    try:
        value = read(written(tmp_path, content)).value
    except UserError:
        return
    json.dumps(value, ensure_ascii=False).encode()  # plain, and of whole characters


def test_those_that_ship_are_read_as_before() -> None:
    for path in RECIPES.rglob("*.yaml"):
        if path.parent.name != "cluster":
            assert read(path).value == yaml.safe_load(path.read_text(encoding="utf-8")), path


def test_bounds_leave_room(tmp_path: Path) -> None:
    assert read(written(tmp_path, "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1))).value is not None
    names = [f"voice-{number:05}" for number in range(20_000)]
    assert read(written(tmp_path, yaml.safe_dump(names))).value == names
