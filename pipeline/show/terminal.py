"""The one way to a terminal: whatever a caller hands over, nothing in it steers the terminal or is taken for markup."""

import sys
from collections.abc import Iterable

import rich.console
from rich.segment import Segment

from ..escapes import one_line, printable


def say(text: str, error: bool = False) -> None:
    """Print a text of one or more lines, those of ours; ids and texts in it keep to their line by `one_line`."""
    stream = sys.stderr if error else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=stream)


def say_line(text: str, error: bool = False) -> None:
    """Print a text as one line, whatever it holds."""
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
