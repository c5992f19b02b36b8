"""Prints to the terminal. No text that is printed here controls the terminal or is read as markup."""

import sys
from collections.abc import Iterable

import rich.console
from rich.segment import Segment

from ..escapes import one_line, printable


def say(text: str, error: bool = False) -> None:
    """Print our own text of one or more lines; ids and texts in it must have gone through `one_line`."""
    stream = sys.stderr if error else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream)


def say_line(text: str, error: bool = False) -> None:
    """Print any text as one line."""
    say(one_line(text), error)


class Console(rich.console.Console):
    """Rich without its markup, its emoji names and its colours for numbers: text is shown as it is."""

    def __init__(self, stderr: bool = False, quiet: bool = False) -> None:
        super().__init__(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
