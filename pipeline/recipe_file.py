"""A recipe as a file: where it is, what it says on which line, and what is wrong with its form."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from pipeline.errors import UserError
from pipeline.recipe import Section

Location = tuple[int | str, ...]
Problem = tuple[Location, str]  # where in a recipe, and what is wrong
S = TypeVar("S", bound=Section)
WITH_MODELS = ("paper", "smollm2")  # folders of recipes whose models must be downloaded first
RECIPES = Path(__file__).resolve().parent.parent / "recipes"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a recipe: where (`line`, dotted `key`) and what was expected."""

    line: int
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe as read from disk, before it is checked.

    `lines` maps a location such as `("sources", 0, "path")` to its line, the first being 1.
    """

    path: Path
    raw: dict[str, Any]
    lines: dict[Location, int]
    repeated: tuple[Mistake, ...]

    @property
    def base(self) -> Path:
        """The folder that paths in the recipe are relative to."""
        return self.path.parent

    def line_of(self, location: Location) -> int:
        """Line of a key, or of the nearest section around a key that is missing."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)

    def mistake(self, location: Location, message: str) -> Mistake:
        return Mistake(self.line_of(location), dotted(location), message)


def dotted(location: Location) -> str:
    """`("sources", 0, "path")` as people write it: `sources[0].path`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".") or "recipe"


def shipped(folder: Path = RECIPES) -> list[str]:
    """Names of the recipes that come with the package; those of one kind share a folder, WITH_MODELS below it."""
    files = [*folder.glob("*.yaml"), *(file for name in WITH_MODELS for file in folder.glob(f"{name}/*.yaml"))]
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in files)


def find(name: str, folder: Path = RECIPES) -> Path:
    """The file that a path or a bare name means; a file in the working folder wins over one shipped in `folder`."""
    path = Path(name)
    if path.is_file():
        return path
    if (bundled := name.removesuffix(".yaml")) in shipped(folder):
        return folder / f"{bundled}.yaml"
    raise UserError(
        f"{name}: no such recipe. Expected a YAML file, or the name of one that ships: {', '.join(shipped(folder))}."
    )


def read(path: Path) -> RecipeFile:
    """Read a recipe's YAML and where its keys stand; raises UserError if it is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{path}: {line}not YAML: {getattr(error, 'problem', None) or error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text: {error}") from None
    if not isinstance(raw, dict):
        raise UserError(f"{path}: line 1: expected a mapping of sections, such as `name:` and `sources:`.")
    lines: dict[Location, int] = {}
    repeated: list[Mistake] = []
    _walk(node, (), lines, repeated)
    return RecipeFile(path, raw, lines, tuple(repeated))


def _walk(node: yaml.Node | None, location: Location, lines: dict[Location, int], repeated: list[Mistake]) -> None:
    if node is None:
        return
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*location, index), lines, repeated)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*location, key.value)
            line = key.start_mark.line + 1
            if here in lines:
                repeated.append(Mistake(line, dotted(here), f"is said twice, first on line {lines[here]}"))
            lines[here] = line
            _walk(value, here, lines, repeated)


def load(name: str, model: type[S], folder: Path) -> tuple[S, Path]:
    """A recipe whose form is all there is to check, and the folder its paths start at.

    name: a YAML file, or the bare name of one shipped in `folder`. Raises UserError with every mistake at once.
    """
    file = read(find(name, folder))
    recipe, mistakes = validate(file, model)
    return checked(file, recipe, mistakes), file.base


def checked(file: RecipeFile, recipe: S | None, mistakes: Iterable[Mistake]) -> S:
    """The recipe if nothing is wrong with it; raises UserError that lists its mistakes otherwise."""
    found = sorted(set(mistakes), key=lambda mistake: (mistake.line, mistake.key))
    if recipe is not None and not found:
        return recipe
    listed = "\n".join(f"  {file.path}:{mistake.line}: {mistake.key}: {mistake.message}" for mistake in found)
    count = "1 mistake" if len(found) == 1 else f"{len(found)} mistakes"
    raise UserError(f"{count} in the recipe, nothing was done:\n{listed}")


def validate(file: RecipeFile, model: type[S]) -> tuple[S | None, list[Mistake]]:
    """The recipe if its form is right, and every mistake of form."""
    try:
        return model.model_validate(file.raw), list(file.repeated)
    except ValidationError as error:
        found = [file.mistake(_location(problem["loc"]), _message(problem)) for problem in error.errors()]
        return None, [*file.repeated, *found]


def _location(loc: tuple[int | str, ...]) -> Location:
    # A union of types adds the name of each alternative to the location; those are no keys.
    return tuple(part for part in loc if isinstance(part, int) or "[" not in part)


def _message(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "is not a key of a recipe here"
    if problem["type"] == "missing":
        return "is missing"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem["input"]
    return message if isinstance(given, dict | list) else f"{message}, got {given!r}"
