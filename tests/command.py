"""Calling the command in this process, where its Ray is and its voice engine is known."""

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from duplexgen import cli


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    said: str  # on both streams


def duplexgen(*arguments: str | Path, cwd: Path) -> Ended:
    """Run a command to its end; whatever it raises beside its exit is a failure of the test."""
    said = io.StringIO()
    status = 0
    with contextlib.chdir(cwd), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), _given(arguments):
        try:
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Ended(status, said.getvalue())


@contextlib.contextmanager
def _given(arguments: tuple[str | Path, ...]) -> Iterator[None]:
    with mock.patch.object(sys, "argv", ["duplexgen", *map(str, arguments)]):
        yield
