"""Shows the text of others as it is, without letting it do anything: on a terminal, in Markdown, in a plot.

Texts, ids and names of files come from people and models. Characters that would control a terminal, reverse a line,
or be read as HTML or Markdown are escaped; all others, in any language, are shown as they are.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

# Controls but for \n and \t, separators of lines, overrides of the direction of writing, surrogates. Joiners stay.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]")
_MARKED = re.compile(r"[\\`*{}\[\]<>|~$#&!]|(?<![^\W_])_|_(?![^\W_])")  # held_out is not emphasis, _this_ is
# A bar becomes an entity as well: `\|` would end a cell in some places, and show the backslash in others.
_AS_ENTITY = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;"}
_STARTING = re.compile(r"^(?:[-+=]|\d+(?=[.)]))")  # what starts a list, a heading or a numbered line
_PLACE = re.compile(r"`\$(\w+)`|\$(\w+)")


class Markdown(str):
    """Markdown of our own: what `fill` and `table` take as it is."""

    __slots__ = ()


def printable(text: str) -> str:
    """Text for a terminal, line by line: characters that would control it are escaped, as in `\\x1b`."""
    return _STEERING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """Text for a terminal, on one line: line breaks are escaped as well."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def visible(name: str, most: int = 40) -> str:
    """A name in a sentence: invisible characters and joiners are escaped, and a long name is cut."""
    text = "".join(one if one.isprintable() else repr(one)[1:-1] for one in name[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


def plot_text(text: str) -> str:
    """A label for matplotlib, which reads `$…$` as mathematics."""
    return one_line(text).replace("$", r"\$")


def markdown(text: str) -> Markdown:
    """Markdown that shows the text, in a line that has begun or in a cell of a table."""
    return Markdown(_MARKED.sub(lambda match: _AS_ENTITY.get(match[0], f"\\{match[0]}"), _joined(text)))


def paragraphs(text: str) -> Markdown:
    """Markdown that shows the text, line by line."""
    return Markdown("\n".join(_started(markdown(line)) for line in printable(text).strip().split("\n")))


def code(text: str) -> Markdown:
    """A span of code."""
    line = _joined(text)
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence, room = "`" * (longest + 1), " " if longest else ""
    return Markdown(f"{fence}{room}{line}{room}{fence}" if line else "")


def _joined(text: str) -> str:
    return re.sub(r"[ \t\n]+", " ", printable(text)).strip(" ")


def _started(line: str) -> str:
    """A line of Markdown that starts no list, no heading and no other block."""
    return _STARTING.sub(lambda match: f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}", line)


def fill(template: str, values: Mapping[str, object]) -> str:
    """A template of data_cards/ with each `$name` replaced by its value.

    A value that is Markdown stays as it is. Any other is shown as text, or as code where its name stands in backticks.
    Raises KeyError if a value is missing.
    """

    def put(match: re.Match[str]) -> str:
        in_code, name = match[1] is not None, match[1] or match[2]
        value = values[name]
        if isinstance(value, Markdown):
            return value
        if in_code:
            return code(str(value))
        shown = markdown(str(value))
        return shown if template[: match.start()].rpartition("\n")[2] else _started(shown)

    return _PLACE.sub(put, template)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Markdown:
    """A table of Markdown; cells that are not Markdown are shown as text."""
    cells = ([_cell(value) for value in row] for row in rows)
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells)))


def _cell(value: object) -> str:
    if isinstance(value, Markdown):
        return value.replace("|", r"\|")
    return markdown(str(value))
