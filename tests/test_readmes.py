"""The texts that people read first: their links lead somewhere, and they name what a recipe may say."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from duplexgen.pipeline.acoustics.effects import EFFECTS
from duplexgen.pipeline.dataset.recipe import Output, Recipe
from duplexgen.pipeline.events.section import Events
from duplexgen.pipeline.exports.exporters import EXPORTERS
from duplexgen.pipeline.layouts.layouts import LAYOUTS
from duplexgen.pipeline.recipe.file import shipped
from duplexgen.pipeline.recipe.sections import Section
from duplexgen.pipeline.rewriting.section import Rewriting
from duplexgen.pipeline.scenarios.scenarios import SCENARIOS
from duplexgen.pipeline.sources.section import Source
from duplexgen.pipeline.sources.shapes import SHAPES
from duplexgen.pipeline.speech.engines import ENGINES
from duplexgen.pipeline.speech.section import Gate, Speech
from duplexgen.pipeline.tokens.section import Tokens
from duplexgen.pipeline.tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS

ROOT = Path(__file__).resolve().parents[1]
TEXTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "training/README.md")),
    ROOT / "pipeline/exports/README.md",
    *sorted((ROOT / "recipes").rglob("README.md")),
]
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")
SECTIONS: list[type[Section]] = [
    *(Recipe, Source, Rewriting, Events, Speech, Gate, Tokens, Output),
    *(scenario.Spec for scenario in SCENARIOS.values()),
    *(layout.Spec for layout in LAYOUTS.values()),
    *(effect.Spec for effect in EFFECTS.values()),
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(text: Path) -> None:
    broken = [
        where for where, anchor in LINK.findall(text.read_text(encoding="utf-8")) if not _leads(text, where, anchor)
    ]
    assert broken == []


def _leads(text: Path, where: str, anchor: str) -> bool:
    target = text.parent / where if where else text
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(text: Path) -> set[str]:
    """Of its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", text.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_of_a_recipe_is_named(section: type[Section]) -> None:
    named = _named("recipes/README.md")
    assert [key for key in section.model_fields if key not in named] == []


def test_all_that_a_recipe_may_name_is_named() -> None:
    tables: list[dict[str, Any]] = [ENGINES, SPEECH_TOKENIZERS, TEXT_TOKENIZERS, SCENARIOS, LAYOUTS, EFFECTS]
    ours = (name for table in tables for name, part in table.items() if part.__module__.startswith("duplexgen."))
    shown = [name for name in shipped() if not name.startswith("smollm2/")]  # which are shown as a group
    assert {*ours, *shown, *SHAPES} <= _named("recipes/README.md")


def _named(file: str) -> set[str]:
    """Words that a text sets as code, and the sections that it sets in bold."""
    text = (ROOT / file).read_text(encoding="utf-8")
    return {
        re.split(r"[:= ]", word)[0] for word in re.findall(r"`([^`\n]+)`|\*\*(\w+)\*\*", text) for word in word if word
    }


def test_the_readme_is_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("above", ["pipeline", "training"])
def test_contributing_shows_every_room(above: str) -> None:
    house = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(f"    {above}/")[1].split("\n    recipes/")[0]
    rooms = {path.parent.name for path in (ROOT / above).glob("*/*.py")}
    assert [room for room in sorted(rooms) if f"\n      {room}/ " not in house] == []


def test_contributing_says_why_each_dependency_is_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Why each dependency")[1].lower()
    names = [re.split(r"[<>=\[ ]", wanted)[0].lower() for wanted in project["dependencies"]]
    assert [name for name in names if name not in table] == []


def test_each_exporter_has_a_row_and_a_section_with_what_to_write_next() -> None:
    text = (ROOT / "pipeline/exports/README.md").read_text(encoding="utf-8")
    sections = {section.partition("\n")[0]: section for section in text.split("\n## ")[1:]}
    assert [*sections] == [*EXPORTERS] == re.findall(r"^\| `([a-z][a-z-]*)` \|", text, re.MULTILINE)
    assert all("\n```" in section for section in sections.values())
    assert all(f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8") for name in EXPORTERS)
