"""Rows of JSON files, read piece by piece, so that a file of any length takes the same memory.

Bytes that are not UTF-8 become lone surrogates: they reject a row only if they are in text that is spoken.
"""

import codecs
import gzip
import io
import json
import re
from collections.abc import Iterator
from typing import IO, Any

from ..dialogue import Rejection
from .row import LONGEST_ROW, RestLost, Row, Unusable

PIECE = 2**16  # bytes of one read
LONGEST_TOKEN = 20  # characters; a mistake this near to the end of the window may only be a token cut in two
LONGEST_NUMBER = 4300  # digits; Python refuses longer ones
DEEPEST = 1000  # characters of indentation that count
SPACE = re.compile("[ \t\n,\ufeff]*")
NOT_UTF8 = re.compile("[\udc80-\udcff]")

Bytes = IO[bytes] | gzip.GzipFile


def line_rows(name: str, stream: Bytes) -> Iterator[Row | Rejection]:
    r"""Every line (it ends in \n, \r\n or \r) is one JSON value, or a rejection."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape")
    number = 0
    while line := text.readline(LONGEST_ROW):
        number += 1
        where = f"{name}:{number}"
        if len(line) == LONGEST_ROW and not line.endswith("\n"):
            while (rest := text.readline(LONGEST_ROW)) and not rest.endswith("\n"):
                pass
            yield _too_long(where)
            continue
        line = line.strip("\ufeff \t\n")
        if not line:
            continue
        try:
            yield Row(where, DECODER.decode(line))
        except (ValueError, RecursionError) as error:
            yield _rejection(where, line, _why(error))


def value_rows(name: str, stream: Bytes) -> Iterator[Row | Rejection]:
    """Every item of a list, or every value of a file of JSON values one after the other.

    If a value is broken, only that value is rejected, as long as the next one can be found: it starts a line that is
    indented no deeper. Raises RestLost if it cannot be found, or if a list has no end.
    """
    text = _Text(stream)
    number, in_list, separated, outside = 0, False, False, False
    usual: int | None = None  # indentation of the last value that could be read
    while char := text.next():
        separated |= text.separated
        if char == ("]" if in_list else "[") and not outside:
            in_list = not in_list
            text.go(text.at + 1)
            continue
        number += 1
        outside |= not in_list  # from here on, a list is a value like others
        line, starts_line, indent = text.line, text.starts_line, text.indent
        where = f"{name}#{number}" if in_list else f"{name}:{line}"
        try:
            row = Row(where, text.value(), is_alone=not in_list)
            usual = indent
            yield row
            continue
        except _TooLong:
            rejection = _too_long(where)
        except (ValueError, RecursionError) as error:
            broken, its_line = text.until_line_of(error)
            rejection = _rejection(where, broken, f"line {its_line}: {_why(error)}")
        next_start = text.to_next_line(max(indent, usual or 0), "{[]" if in_list else None)
        if (next_start == "]" and usual is None) or (not next_start and (in_list or not starts_line)):
            raise RestLost(f"{where} (line {line}) and all items after it are lost: {rejection.detail}")
        yield rejection
    if in_list and (separated or number <= 1):  # without a comma, [ was the start of a line and not of a list
        raise RestLost(f"the list has no end: the items after item {number} are missing")


class _TooLong(ValueError):
    pass


class _Text:
    """A window on a text: `text[at:]` comes next."""

    def __init__(self, stream: Bytes) -> None:
        self._stream = stream
        utf8 = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
        self._failure: Exception | None = None
        self._ended = False
        self.text = ""
        self.at = 0
        self.line = 1  # of `text[at]`, as `indent` and `starts_line`
        self.indent = 0
        self.starts_line = True
        self.separated = False  # whether `next` passed a comma

    def next(self) -> str:
        """Pass white space and commas. Returns the character that comes next; at the end, an empty string."""
        self.separated = False
        while True:
            space = SPACE.match(self.text, self.at)
            end = space.end() if space else self.at
            self.separated |= "," in self.text[self.at : end]
            self.go(end)
            if end < len(self.text):
                return self.text[end]
            if not self._more():
                return ""

    def value(self) -> Any:
        """Pass and return the JSON value that comes next. Raises ValueError or RecursionError, passing nothing."""
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                unfinished = error.pos + LONGEST_TOKEN > len(self.text) or error.msg.startswith("Unterminated string")
                if not unfinished or not self._more():
                    if unfinished and not self._ended:
                        raise _TooLong from error
                    raise
                continue
            if end == len(self.text) and self.text[-1] not in '}]"' and self._more():  # a number may have more digits
                continue
            self.go(end)
            return value

    def until_line_of(self, error: Exception) -> tuple[str, int]:
        """The text up to the end of the line with the mistake that `value` raised, and the number of that line."""
        pos: int = getattr(error, "pos", self.at)
        end = self.text.find("\n", pos)
        return self.text[self.at : end if end >= 0 else None], self.line + self.text.count("\n", self.at, pos)

    def to_next_line(self, indent: int, start: str | None) -> str:
        """Go to the next line that is indented by `indent` characters at most and starts with one of `start`.

        start: None: any character but white space and those that end a value. Returns the first character of the line;
        an empty string, at the end of the text, if there is no such line.
        """
        first = f"[{re.escape(start)}]" if start else r"[^\s\]},]"
        pattern = re.compile(rf"\n[ \t]{{0,{min(indent, DEEPEST)}}}(?={first})")
        while not (match := pattern.search(self.text, self.at)):
            self.go(max(self.at, len(self.text) - DEEPEST - 2))
            if not self._more():
                self.go(len(self.text))
                return ""
        self.go(match.end())
        return self.text[self.at]

    def go(self, end: int) -> None:
        """Pass the text before `end`."""
        passed = self.text[self.at : end]
        last = passed.rpartition("\n")[2]
        self.line += passed.count("\n")
        if len(last) < len(passed):
            self.indent, self.starts_line = 0, True
        if self.starts_line:
            self.indent += len(last) - len(last.lstrip(" \t"))
            self.starts_line = not last.strip(" \t")
        self.at = end

    def _more(self) -> bool:
        """Double the window; False at the end of the text, or at the length of the longest row.

        Text before a failure of the stream is read before the failure is raised.
        """
        rest = self.text[self.at :]
        if self._ended or len(rest) >= LONGEST_ROW:
            return False
        if self._failure:
            raise self._failure
        pieces, wanted = [rest], max(PIECE, len(rest))
        try:
            while wanted > 0 and not self._ended:
                data = self._stream.read1(wanted)  # type: ignore[union-attr]
                self._ended = not data
                pieces.append(self._decoder.decode(data, final=self._ended))
                wanted -= len(data)
        except Exception as error:
            self._failure = error
        self.text, self.at = "".join(pieces), 0
        return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) == len(pairs):
        return mapping
    firsts: dict[str, Any] = {}
    for key, value in pairs:
        if firsts.setdefault(key, value) != value:
            mapping[key] = Unusable("a key that appears twice")
    return mapping


def _whole(digits: str) -> int | Unusable:
    return int(digits) if len(digits) <= LONGEST_NUMBER else Unusable(f"a number of {len(digits)} digits")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole)


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at character {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else str(error)


def _rejection(where: str, text: str, why: str) -> Rejection:
    if wrong := NOT_UTF8.search(text):
        return Rejection(where, "source", "invalid_text", f"not UTF-8 at character {wrong.start() + 1}")
    return Rejection(where, "source", "broken_json", why)


def _too_long(where: str) -> Rejection:
    return Rejection(where, "source", "row_too_long", f"longer than {LONGEST_ROW} characters")
