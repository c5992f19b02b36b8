"""From a source to the terminal and the card: texts that would steer either are shown as what they are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from duplexgen.pipeline.dataset import card
from duplexgen.pipeline.dataset.recipe import Recipe
from duplexgen.pipeline.dataset.statistics import Statistics
from duplexgen.pipeline.escapes import printable
from duplexgen.pipeline.storage.atomic import write_json
from tests.command import duplexgen
from tests.corpus import TURNS, recipe_dict

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
EVIL = "<script>alert(1)</script> | a | [bold]b[/] [/] $x^$ `c` **d** \u202e *e* &lt; <img src=x>"
STEERS = "\x1b[31mred\x1b]0;title\x07 \r\x9b2J\x08 \x1b(0"
ID = f"evil {EVIL}".replace("\u202e", "")  # what does not print is no id
FILE = "talk \x1b[31m\r| <b> `x` [red].jsonl"
GFM = MarkdownIt("commonmark", {"html": True}).enable("table")


def site(folder: Path) -> Path:
    """A recipe over a folder of hostile names and rows."""
    (folder / "rows").mkdir()
    rows: list[Any] = [
        {"id": "good", "data": TURNS[:4]},
        {"id": ID, "data": TURNS[:4]},
        {"id": f"steering {STEERS}", "data": TURNS[:2]},
        {"id": "text", "data": [f"{TURNS[0]} {STEERS}", TURNS[1]]},
        {"id": "markup", "data": [TURNS[0], f"{TURNS[1]} {EVIL}"]},
        {"id": ["list"], STEERS: EVIL},
    ]
    (folder / "rows" / FILE).write_text("\n".join(map(json.dumps, rows)) + f'\n{{"id": "{EVIL}')
    recipe = recipe_dict(folder) | {
        "description": f"{EVIL}\n\n# {EVIL}\n- {EVIL}\n|a|b|\n|-|-|\n<h1>\n```\n===\n    code",
        "license": f"evil {EVIL}\n---\n# x",
        "sources": [{"name": "rows", "shape": "ultrachat", "path": "rows", "license": f"{EVIL}\n| x |"}],
        "max_rejected_share": 1.0,
    }
    path = folder / "evil.yaml"
    path.write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    return path


def table_sizes(body: str) -> list[list[int]]:
    """Cells of each row of each table."""
    found: list[list[int]] = []
    for token in GFM.parse(body):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append(0)
        elif token.type in ("th_open", "td_open"):
            found[-1][-1] += 1
    return found


def check_card(folder: Path, headings: set[str]) -> str:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert not STEERING.search(text)
    _, front, body = re.split(r"^---\n", text, maxsplit=2, flags=re.MULTILINE)
    assert yaml.safe_load(front)["language"] == ["en"]
    tokens = GFM.parse(body)
    types = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or []}
    assert not types & {"html_inline", "html_block", "code_block", "hr", "blockquote_open"}
    items = [tokens[at + 2].content for at, token in enumerate(tokens) if token.type == "list_item_open"]
    assert len(items) in (0, 7) and all(item.startswith("`") for item in items), "the columns, and nothing else"
    shown = {tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"}
    assert shown == headings
    for rows in table_sizes(body):
        assert len(set(rows)) == 1, rows
    return body


@pytest.mark.usefixtures("ray_session")
def test_from_a_source_to_the_card(tmp_path: Path) -> None:
    recipe = site(tmp_path)
    said = {}
    for command in (
        ["plan", recipe.name],
        ["doctor", recipe.name],
        ["build", recipe.name, "--out", "set"],
        ["build", recipe.name, "--out", "set"],
        ["inspect", "set"],
        ["inspect", "set", "0"],
        ["inspect", "set", "1"],
        ["inspect", "set", ID],
        ["inspect", "set", f"nobody {STEERS}"],
        ["verify", "set"],
        ["dpo-pairs", "set", "--out", "pairs"],
        ["inspect", "pairs", "0"],
        ["verify", "pairs"],
    ):
        ended = duplexgen(*command, cwd=tmp_path)
        assert not STEERING.search(ended.said), command
        assert ended.status == ("nobody" in command[-1]) * 2, (command, ended.said)
        said[" ".join(command)] = ended.said
    assert ID in said["inspect set 1"]
    assert "[bold]b[/] [/]" in said["inspect set 1"]

    headings = {
        "Read it",
        "Where the text comes from",
        "What happened to each dialogue",
        "Timing and size",
        "Timing beside that of people",
        "turn_taking",
    }
    body = check_card(tmp_path / "set", headings)
    words = "".join(child.content for token in GFM.parse(body) for child in token.children or [])
    assert words.count(printable("<script>alert(1)</script> | a | [bold]b[/] [/] $x^$ `c` **d**")) >= 3
    check_card(tmp_path / "pairs", {"timing", "Read it", "What happened to each dialogue", "Timing and size"})


@pytest.mark.usefixtures("ray_session")
def test_what_verify_lists_keeps_to_its_line(tmp_path: Path) -> None:
    recipe = site(tmp_path)
    assert duplexgen("build", recipe.name, "--out", "out", cwd=tmp_path).status == 0
    (tmp_path / "out" / "x\n\x1b[31m[red]\r out: every checksum and every invariant holds").write_text("")
    ended = duplexgen("verify", "out", cwd=tmp_path)
    assert ended.status == 1
    assert not STEERING.search(ended.said)
    assert r"x\n\x1b[31m[red]\r out: every checksum" in ended.said
    assert not [line for line in ended.said.splitlines() if line.startswith(("out: every", " out: every"))]


def test_what_is_lost_keeps_to_its_line(tmp_path: Path) -> None:
    (tmp_path / f"rows {STEERS}\n").mkdir()
    (tmp_path / f"rows {STEERS}\n" / "x\nall is well.jsonl").write_text("{")
    recipe = recipe_dict(tmp_path)
    recipe["sources"] = [{"name": "rows", "shape": "ultrachat", "path": "link"}]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (tmp_path / "link").symlink_to(f"rows {STEERS}\n")
    for command in (["plan", "recipe.yaml"], ["plan", "recipe.yaml", "--work", f"a\nb {STEERS}"]):
        ended = duplexgen(*command, cwd=tmp_path)
        assert ended.status == 2 and not STEERING.search(ended.said)
        assert len(ended.said.strip().splitlines()) == 3, ended.said
        assert r"x\nall is well.jsonl: no row could be read" in ended.said


def test_a_card_of_a_manifest_from_elsewhere(tmp_path: Path) -> None:
    """Whatever stands in the manifest of somebody's data set, the tables have their cells."""
    recipe = Recipe.model_validate(recipe_dict(tmp_path)).model_dump(mode="json")
    recipe |= {"name": f"{EVIL} {STEERS}", "license": f"{EVIL}\n---\n", "description": f"{STEERS}\n# {EVIL}"}
    recipe["sources"][0] |= {"name": EVIL, "shape": STEERS, "license": "\n|a|\n"}
    recipe["speech"] |= {"engine": "`` ` ``<b>", "assistant_voice": STEERS}
    counts = {
        "stage": EVIL,
        "planned": 1,
        "emitted": 0,
        "rejected": 1,
        "reasons": {f"{EVIL}\n": 1},
        "notes": {STEERS: 2},
    }
    about = {
        "recipe": recipe,
        "ledger": [counts],
        "sources": {EVIL: {"a|b\r": "`|`" * 9}},
        "stages": {},
        "software": {"duplexgen": "<b>"},
    }
    statistics = Statistics()
    statistics.add("dialogue_s", 1.0)
    card.write(tmp_path, about, statistics)
    check_card(
        tmp_path,
        {"Read it", "Where the text comes from", "What happened to each dialogue", "Timing and size"}
        | {"Timing beside that of people"}
        | {
            re.search(r"^# (.*)$", (tmp_path / "README.md").read_text(), re.MULTILINE)[1]  # type: ignore[index]
        },
    )


def test_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    for name in ("bad\udcff", "esc\x1b[31m", "[red]x[/red]"):
        ended = duplexgen("verify", name, cwd=tmp_path)
        assert ended.status == 2 and not STEERING.search(ended.said)
    assert "[red]x[/red]" in ended.said


def test_json_of_a_name_that_is_no_text(tmp_path: Path) -> None:
    """A recording of such a name is talked to, and what is written down of it can be read."""
    write_json(tmp_path / "x.json", {"user": "bad\udcff.wav", "text": "café 图"})
    assert json.loads((tmp_path / "x.json").read_text()) == {"user": "bad\udcff.wav", "text": "café 图"}
