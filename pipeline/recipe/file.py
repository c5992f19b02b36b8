"""A recipe as a file: its place, its keys with their lines, and the mistakes of its form.

A recipe may say `extends:`, another recipe by its path beside it or by the name of one that ships. Its own keys
win: sections are merged key by key, lists and values are replaced, and `null` removes a key.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..errors import UserError
from ..storage import paths
from . import yaml_file
from .sections import HIDDEN, Section
from .yaml_file import Location, dotted

__all__ = [
    "EXTENDS",
    "RECIPES",
    "Location",
    "Mistake",
    "Place",
    "Problem",
    "RecipeFile",
    "checked",
    "described",
    "dotted",
    "find",
    "load",
    "read",
    "shipped",
    "validate",
]

Problem = tuple[Location, str]  # where in a recipe, and what is wrong
S = TypeVar("S", bound=Section)
WITH_MODELS = ("paper", "smollm2")  # folders of recipes whose models must be downloaded first
EXTENDS = "extends"
KEY_OF_PART: dict[Location, str] = {("layout",): "name"}
"""Sections whose keys are those of one part, which this key names: another part takes over none of them."""
LONGEST_CHAIN = 16  # recipes that extend one another
MOST_SHOWN = 50  # mistakes
UNKNOWN = "extra_forbidden"  # pydantic's name of a key that a section does not have
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file, the first being 1."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a recipe: where (`place`, dotted `key`) and what was expected."""

    place: Place
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.message}"


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe as read from disk, with what it extends, before it is checked.

    `places` maps a location such as `("sources", 0, "path")` to the line that says it.
    """

    path: Path
    raw: dict[str, Any]
    places: dict[Location, Place]
    repeated: tuple[Mistake, ...]

    @property
    def base(self) -> Path:
        """The folder that relative paths of sources start at: that of the file whose `sources` count."""
        return self.place_of(("sources",)).path.parent

    def place_of(self, location: Location) -> Place:
        """Place of a key, or of the nearest section around a key that is missing."""
        while location and location not in self.places:
            location = location[:-1]
        return self.places.get(location, Place(self.path, 1))

    def mistake(self, location: Location, message: str) -> Mistake:
        return Mistake(self.place_of(location), dotted(location), message)


def shipped(folder: Path = RECIPES) -> list[str]:
    """Names of the recipes that come with the package; those of one kind share a folder, WITH_MODELS below it."""
    files = [*folder.glob("*.yaml"), *(file for name in WITH_MODELS for file in folder.glob(f"{name}/*.yaml"))]
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in files)


def find(name: str, folder: Path = RECIPES) -> Path:
    """The file that a path or a bare name means; a file in the working folder wins over one shipped in `folder`.

    Raises UserError if there is none.
    """
    if problem := paths.problem(name):
        raise UserError(f"{paths.shortened(name)} {problem}.")
    path = Path(name)
    if _is_file(path):
        return path
    if (bundled := name.removesuffix(".yaml")) in shipped(folder):
        return folder / f"{bundled}.yaml"
    if path.suffix in (".yaml", ".yml"):
        raise UserError(f"{name}: there is no such file, and no recipe of this name ships.")
    names = shipped(folder)
    if similar := get_close_matches(name, names, cutoff=0.75):
        raise UserError(f"{name}: no such recipe. Did you mean {' or '.join(similar)}?")
    raise UserError(f"{name}: no such recipe. Expected a YAML file, or the name of one that ships: {', '.join(names)}.")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder on the way to it may not be read
        return False


def read(path: Path, folder: Path = RECIPES) -> RecipeFile:
    """Read a recipe's YAML, the recipes that it extends, and the lines of all keys.

    folder: where recipes of its kind ship. Raises UserError if one of them is missing or is not YAML.
    """
    return _read(path, folder, ())


def _read(path: Path, folder: Path, below: tuple[Path, ...]) -> RecipeFile:
    """below: the recipes that extend this one."""
    own = _read_one(path)
    if EXTENDS not in own.raw:
        return own
    name, place = own.raw.pop(EXTENDS), own.places.pop((EXTENDS,))
    extended = _extended(name, path.parent, folder)
    if extended is None:
        names, got = ", ".join(shipped(folder)), paths.shortened(repr(name))
        raise UserError(
            f"{place}: {EXTENDS}: no such recipe, got {got}. Expected a YAML file, relative to {path.parent}, or "
            f"the name of one that ships: {names}."
        )
    chain = (*below, path.resolve())
    if extended.resolve() in chain:
        raise UserError(f"{place}: {EXTENDS}: {name} extends this recipe itself. Expected one that does not.")
    if len(chain) == LONGEST_CHAIN:
        raise UserError(f"{place}: {EXTENDS}: more than {LONGEST_CHAIN} recipes extend one another. Expected fewer.")
    return _merged(_read(extended, folder, chain), own)


def _extended(name: object, beside: Path, folder: Path) -> Path | None:
    if not isinstance(name, str) or paths.problem(name):
        return None
    if _is_file(beside / name):
        return beside / name
    bundled = name.removesuffix(".yaml")
    return folder / f"{bundled}.yaml" if bundled in shipped(folder) else None


def _merged(under: RecipeFile, over: RecipeFile) -> RecipeFile:
    """Two recipes as one: the keys of the second, and those keys of the first that the second does not replace."""

    def merge(old: Any, new: Any, location: Location) -> Any:
        if not (isinstance(old, dict) and isinstance(new, dict)) or _is_of_another_part(old, new, location):
            replaced.add(location)
            return new
        both = old | {key: merge(old[key], new[key], (*location, key)) if key in old else new[key] for key in new}
        return {key: value for key, value in both.items() if value is not None or key not in old}

    replaced: set[Location] = set()
    raw = merge(under.raw, over.raw, ())
    places = {
        location: place
        for location, place in under.places.items()
        if not any(location[:length] in replaced for length in range(len(location) + 1))
    }
    return RecipeFile(over.path, raw, places | over.places, (*under.repeated, *over.repeated))


def _is_of_another_part(old: dict[str, Any], new: dict[str, Any], location: Location) -> bool:
    key = KEY_OF_PART.get(location)
    return key is not None and key in new and new[key] != old.get(key)


def _read_one(path: Path) -> RecipeFile:
    document = yaml_file.read(path)
    if not isinstance(document.value, dict):
        raise UserError(f"{path}: line 1: expected a mapping of sections, such as `name:` and `sources:`.")
    places = {location: Place(path, line) for location, line in document.lines.items()}
    repeated = (
        Mistake(Place(path, one.line), dotted(one.location), f"appears twice, first on line {one.first_line}")
        for one in document.repeated
    )
    return RecipeFile(path, document.value, places, tuple(repeated))


def load(name: str, model: type[S], folder: Path) -> tuple[S, Path]:
    """A recipe of which only the form is checked, and the folder that its paths start at.

    name: a YAML file, or the bare name of one shipped in `folder`. Raises UserError with every mistake at once.
    """
    file = read(find(name, folder), folder)
    recipe, mistakes = validate(file, model)
    return checked(file, recipe, mistakes), file.base


def checked(file: RecipeFile, recipe: S | None, mistakes: Iterable[Mistake]) -> S:
    """The recipe if it has no mistakes; otherwise raises UserError with the list of them."""
    ordered = sorted(set(mistakes), key=lambda one: (one.place.path != file.path, one.place, one.key, one.message))
    if recipe is not None and not ordered:
        return recipe
    listed = "\n".join(f"  {mistake}" for mistake in ordered[:MOST_SHOWN])
    if len(ordered) > MOST_SHOWN:
        listed += f"\n  and {len(ordered) - MOST_SHOWN:,} more"
    count = "1 mistake" if len(ordered) == 1 else f"{len(ordered)} mistakes"
    raise UserError(f"{count} in the recipe, nothing was done:\n{listed}")


def validate(file: RecipeFile, model: type[S]) -> tuple[S | None, list[Mistake]]:
    """The recipe if its form is right, and every mistake of form."""
    try:
        return model.model_validate(file.raw), list(file.repeated)
    except ValidationError as error:
        mistakes = [
            file.mistake(_location(problem["loc"]), _message(problem) + _similar(problem, model))
            for problem in error.errors()
        ]
        return None, [*file.repeated, *mistakes]


def described(error: ValidationError, most: int = 3) -> str:
    """The first mistakes of a file that a program wrote, on one line: keys, and what was expected there."""
    return "; ".join(f"{dotted(_location(one['loc']))}: {_message(one)}" for one in error.errors()[:most])


def _similar(problem: Any, model: type[Section]) -> str:
    """Keys that an unknown key may stand for, as the end of a message; "" if there are none."""
    if problem["type"] != UNKNOWN:
        return ""
    similar = get_close_matches(str(problem["loc"][-1]), _keys(model))
    return f"; did you mean {' or '.join(similar)}?" if similar else ""


@cache
def _keys(model: type[Section]) -> list[str]:
    """All keys of a recipe, those of its sections included."""
    schema = model.model_json_schema()
    parts = (schema, *schema.get("$defs", {}).values())
    return sorted({key for part in parts for key in part.get("properties", ())})


def _location(loc: tuple[int | str, ...]) -> Location:
    # A union of types adds the name of each alternative to the location. Those are not keys.
    return tuple(part for part in loc if isinstance(part, int) or "[" not in part)


def _message(problem: Any) -> str:
    if problem["type"] == UNKNOWN:
        return "is not a key of a recipe here"
    if problem["type"] == "missing":
        return "is missing"
    message: str = problem["msg"].removeprefix("Value error, ")
    value = problem["input"]
    if isinstance(value, dict | list) or problem["type"] == HIDDEN:
        return message
    return f"{message}, got {paths.shortened(repr(value))}"
