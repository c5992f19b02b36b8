"""Reads YAML into plain values with their lines. Every YAML file of a user is read here.

Limits are checked before any value is made: bytes, depth, and the number of values with each alias expanded. Values are
texts, numbers, true and false, null, lists and mappings. A date is a text; so are `1:30` and `017` (YAML 1.1 reads
them as ninety and fifteen); `3e-7` is a number.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from ..errors import UserError
from ..escapes import one_line
from ..storage.paths import read_text, shortened

MOST_VALUES = 50_000  # the values of an alias count each time it is used
DEEPEST = 32  # sections within sections
LONGEST_NUMBER = 60  # characters

Location = tuple[int | str, ...]

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_PLAIN = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}
_TRUE = {"true", "yes", "on"}
_WORDS = {*_TRUE, "false", "no", "off"}
_RESOLVED = (
    ("bool", r"(?i:true|false|yes|no|on|off)", "tTfFyYnNoO"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+)", "-+0123456789"),
    # an exponent needs a sign or a dot: 12345e7 is more likely the name of a commit
    (
        "float",
        r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+][0-9]+|\.(?i:inf))"
        r"|\.(?i:nan)",
        "-+0123456789.",
    ),
    ("merge", r"<<", "<"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def dotted(location: Location) -> str:
    """`("sources", 0, "path")` as people write it: `sources[0].path`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{one_line(shortened(part, 60))}" for part in location)
    return text.lstrip(".") or "recipe"


@dataclass(frozen=True, slots=True)
class RepeatedKey:
    """A key that a mapping has more than once."""

    location: Location
    line: int
    first_line: int


@dataclass(slots=True)
class Document:
    """The content of a file. `lines` maps a location such as `("sources", 0, "path")` to its line, from 1."""

    path: Path
    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    repeated: list[RepeatedKey] = field(default_factory=list)


def read(path: Path) -> Document:
    """Raises UserError, with file, line and key, if a file is not YAML, too large, or has a value that is not plain."""
    root = compose(read_text(path), path)
    document = Document(path)
    if root is not None:
        document.value = _Builder(document).value(root, ())
    return document


def compose(text: str, path: Path) -> yaml.Node | None:
    """The nodes of a file's text, with any tags, within the limits; None if it is empty. Raises UserError."""
    try:
        return _composed(_Loader(text))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}: line {line}: not YAML: it holds the character U+{error.character:04X}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = "" if isinstance(error, _TooMuch) else "not YAML: "
        raise UserError(f"{path}: {where}{what}{getattr(error, 'problem', None) or error}") from None


def _composed(loader: "_Loader") -> yaml.Node | None:
    try:
        root: yaml.Node | None = loader.get_single_node()
    except (ValueError, OverflowError) as error:  # of PyYAML's own conversions, such as of "\\UFFFFFFFF"
        mark: Any = loader.get_mark()
        raise yaml.MarkedYAMLError(problem=str(error), problem_mark=mark) from error
    return root


class _TooMuch(yaml.MarkedYAMLError):
    """YAML beyond the limits."""


@dataclass(frozen=True, slots=True)
class _Size:
    values: int
    depth: int


class _Loader(yaml.SafeLoader):
    """Counts the nodes that it composes, so that memory never holds more than the limits allow."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's name)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = self._depth = self._deepest = 0
        self._sizes: dict[int, _Size] = {}  # by the id() of nodes that are whole

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, super().compose_node(parent, index))
        values, deepest = self._values, self._deepest
        self._values += 1
        self._depth += 1
        self._deepest = self._depth
        self._check(event)
        node = super().compose_node(parent, index)
        self._sizes[id(node)] = _Size(self._values - values, self._deepest - self._depth + 1)
        self._depth -= 1
        self._deepest = max(deepest, self._deepest)
        return node

    def _alias(self, event: yaml.AliasEvent, node: yaml.Node | None) -> yaml.Node | None:
        size = self._sizes.get(id(node))
        if size is None:
            _refuse(event, f"*{event.anchor} is used inside the value that it names")
        self._values += size.values
        self._deepest = max(self._deepest, self._depth + size.depth)
        self._check(event)
        return node

    def _check(self, event: yaml.Event) -> None:
        if self._deepest > DEEPEST:
            _refuse(event, f"expected at most {DEEPEST} sections and lists within each other")
        if self._values > MOST_VALUES:
            _refuse(
                event, f"expected at most {MOST_VALUES:,} values, counting the values of an alias (*name) each time"
            )


for _name, _pattern, _first in _RESOLVED:
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"(?:{_pattern})\\Z"), list(_first))


def _refuse(event: yaml.Event, message: str) -> NoReturn:
    raise _TooMuch(problem=message, problem_mark=event.start_mark)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Builder:
    """Turns nodes into plain values, and notes the line of each in the document."""

    document: Document

    def value(self, node: yaml.Node, location: Location) -> Any:
        self.document.lines.setdefault(location, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        self._check_tag(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*location, index)) for index, item in enumerate(node.value)]
        return self._mapping(node, location)

    def _mapping(self, node: yaml.Node, location: Location) -> dict[str, Any]:
        lines = self.document.lines
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            key, line = self._key(key_node, location), key_node.start_mark.line + 1
            here = (*location, key)
            first_line = lines.setdefault(here, line)
            if key in mapping:
                self.document.repeated.append(RepeatedKey(here, line, first_line))
                lines[here] = line
            mapping[key] = self.value(value_node, here)
        for part in self._merged(node, location):  # own keys win, then those of the first merge
            for name, value in self._mapping(part, location).items():
                mapping.setdefault(name, value)
        return mapping

    def _merged(self, node: yaml.Node, location: Location) -> Iterator[yaml.MappingNode]:
        """The mappings that `<<` names."""
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for part in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    if not isinstance(part, yaml.MappingNode):
                        self._refuse(part, location, "merges with << a value that is not a section")
                    yield part

    def _key(self, node: yaml.Node, location: Location) -> str:
        key = self._scalar(node, location) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            self._refuse(node, location, "has a key that is not a text: expected a word (in quotes, if it is a number)")
        return key

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> Any:
        text = node.value
        self._check_tag(node, location)
        if node.tag == f"{_TAG}null":
            return None
        try:
            if node.tag == f"{_TAG}bool":
                return _truth(text)
            if node.tag in (f"{_TAG}int", f"{_TAG}float"):
                return _number(text, node.tag == f"{_TAG}float")
        except ValueError:
            self._refuse(node, location, f"is not a valid {node.tag.removeprefix(_TAG)}, got {text[:60]!r}")
        return self._text(node, location)

    def _check_tag(self, node: yaml.Node, location: Location) -> None:
        if node.tag not in _PLAIN:
            tag = shortened(node.tag.replace(_TAG, "!!"), 60)
            self._refuse(node, location, f"has the tag {tag}: expected a plain value, list or section")

    def _text(self, node: yaml.ScalarNode, location: Location) -> str:
        """A text of whole characters; pairs of surrogates, as JSON writes them, are joined."""
        text = str(node.value)
        if _SURROGATE.search(text):
            try:
                text = text.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                match = _SURROGATE.search(text)
                assert match is not None
                self._refuse(node, location, f"holds half a character (U+{ord(match[0]):04X}): expected whole ones")
        if match := _CONTROL.search(text):
            self._refuse(node, location, f"holds the control character U+{ord(match[0]):04X}: expected text without")
        return text

    def _refuse(self, node: yaml.Node, location: Location, message: str) -> NoReturn:
        raise UserError(f"{self.document.path}:{node.start_mark.line + 1}: {dotted(location)}: {message}")


def _truth(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ValueError(text)
    return text.lower() in _TRUE


def _number(text: str, is_float: bool) -> int | float:
    """Raises ValueError if it is not a number, or longer than any useful one."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError(text)
    bare = text.replace("_", "").lower()
    if not is_float:
        return int(bare, 0)
    return float(bare.replace(".inf", "inf").replace(".nan", "nan"))
