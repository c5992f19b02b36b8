"""Markdown, HTML and code as paragraphs of plain text, in the order in which they would be read out."""

import functools
import html
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import DialogueRejected
from .numbers import ordinal

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

CODE_LEFT_OUT = "code_left_out"
IMAGE_LEFT_OUT = "image_left_out"

_ZH_DIGITS = "零一二三四五六七八九十"
_HTML_TAGS = re.compile(
    "a|abbr|b|big|blockquote|center|code|dd|del|details|dl|dt|em|font|h[1-6]|i|img|ins|kbd|mark|ol|pre|q|s|small|span|strike|"
    "strong|sub|summary|sup|table|tbody|td|th|thead|tt|u|ul|var"
)
_BREAKING_TAGS = re.compile("br|hr|p|li|tr|div")
_TAG = re.compile(r"</?([A-Za-z][\w-]*)[^<>]*>")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_PROSE = re.compile(r"[\w\s.,?!;:'\"()-]*")
_CODE_LINE = re.compile(
    r"^\s*(?:def|class|local|public|private|static|void|function|const|let|var|#include|#define|using|return|elif|else:|"
    r"SELECT|INSERT|UPDATE|CREATE)\b.*[(){};:=<>*]\s*\S*$"
    r"|^\s*(?:import|from)\s[\w.]+(?:\s(?:import|as)\s\w.*)?;?$|^\s*</?(?:html|head|body|div|script|style|meta|!DOCTYPE)\b"
    r"|[{};]\s*$|^\s*[})\]]+[;,]?\s*$|^\s*(?://|/\*|<\?|#!)|[\w\])]\s*(?:==|!=|\+=|-=|:=|=>|->|&&|\|\|)\s*\S"
    r"|\w\([^()]*\)\s*[;{:]\s*$|^\s*[\w.\[\]]+\s*=\s*[\w\"'\[({].*$|^\s*[\w.]*[a-z]\.?\w*\(\S*\)$|\w\.\w+\(.*\w\.\w+\("
)
_LATEX = re.compile(
    r"\\(?:frac|sqrt|sum|int|begin|end|left|right|mathbf|mathrm|alpha|beta|theta|pi|lambda|infty|cdot|text)\b|\$\$"
    r"|\$[^$\n]{0,80}[\\^_][^$\n]{0,80}\$|\$[A-Za-z][^$\n]{0,40}\$"
)
_BULLET = re.compile(r"^[ ]*[•·–—][ ]+", re.MULTILINE)
_CITATION = re.compile(r"\[\^?\d{1,3}\]")
_STARS_AS_TIMES = re.compile(r"(?<=\d)\s*\*\s*(?=\d)")
_FULL_STOPS = ".!?:;,。！？：；，"


@dataclass(slots=True)
class Plain:
    paragraphs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@functools.cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # Indented code and HTML blocks are off: in chat text an indented line is an indented line.
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).disable(["code", "html_block"])


def plain(text: str, language: str) -> Plain:
    """`text` without its markup; list items, cells and headings become sentences of their own.

    Raises DialogueRejected: `code` if code is more than half of it, `math` if it has LaTeX that cannot be said.
    """
    if _LATEX.search(text):
        raise DialogueRejected("math", f"has LaTeX: {_around(_LATEX, text)!r}")
    _check_bare_code(text)
    source = _STARS_AS_TIMES.sub(" × ", _CITATION.sub("", _COMMENT.sub("", _BULLET.sub("- ", text))))
    reader = _Reader(language, len(text))
    reader.read(_parser().parse(source))
    return reader.out


def _check_bare_code(text: str) -> None:
    """Code that stands there without a fence: lines that no prose has."""
    outside = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in outside.split("\n") if line.strip()]
    code = [line for line in lines if _CODE_LINE.search(line)]
    if len(code) >= 2 or (code and len(lines) == 1 and len(code[0]) > 20):
        raise DialogueRejected("code", f"has lines of code: {code[0].strip()[:80]!r}")


class _Reader:
    """Walks markdown-it's flat tokens; each block ends a paragraph."""

    def __init__(self, language: str, length: int) -> None:
        self.language = language
        self.length = length
        self.out = Plain()
        self.numbers: list[int | None] = []  # of the lists we are in; None: bullets
        self.opening = ""
        self.header: list[str] = []
        self.row: list[str] | None = None
        self.code_length = 0

    def read(self, tokens: "list[Token]") -> None:
        for index, token in enumerate(tokens):
            match token.type:
                case "ordered_list_open":
                    several = sum(t.type == "list_item_open" and t.level == token.level + 1 for t in tokens[index:]) > 1
                    self.numbers.append(int(token.attrs.get("start", 1)) if several else None)
                case "bullet_list_open":
                    self.numbers.append(None)
                case "ordered_list_close" | "bullet_list_close":
                    self.numbers.pop()
                case "list_item_open":
                    self.opening = self._item_opening()
                case "tr_open":
                    self.row = []
                case "tr_close":
                    self._end_row()
                case "table_close":
                    self.header = []
                case "inline":
                    self._add(_inline(token, self.out.notes))
                case "fence":
                    self._fence(token)

    def _item_opening(self) -> str:
        number = self.numbers[-1]
        if number is None:
            return ""
        self.numbers[-1] = number + 1
        if self.language == "zh":
            return f"第{number}，" if number > 10 else f"第{_ZH_DIGITS[number]}，"
        return f"{ordinal(str(number)).capitalize()}, " if number else ""

    def _add(self, text: str) -> None:
        text = text.strip()
        if self.row is not None:
            self.row.append(text)
        elif text:
            self.out.paragraphs.extend(_lines(self.opening + text, self.language))
            self.opening = ""

    def _end_row(self) -> None:
        row, self.row = self.row or [], None
        if not self.header:
            self.header = row
            return
        cells = [cell for cell in row if cell]
        pairs = [f"{name}: {cell}" if name else cell for name, cell in zip(self.header, row, strict=False) if cell]
        self._add(": ".join(cells) if len(self.header) <= 2 else ", ".join([row[0], *pairs[1:]]))

    def _fence(self, token: "Token") -> None:
        content = token.content
        if _PROSE.fullmatch(content) and not any(_CODE_LINE.search(line) for line in content.split("\n")):
            self._add(content)
            return
        fences = len(token.info) + 2 * len(token.markup) + 2
        self.code_length = min(self.code_length + len(content) + fences, self.length)
        if self.code_length * 2 > self.length:
            raise DialogueRejected("code", f"{self.code_length} of {self.length} characters are code")
        if CODE_LEFT_OUT not in self.out.notes:
            self.out.notes.append(CODE_LEFT_OUT)


def _inline(token: "Token", notes: list[str]) -> str:
    parts: list[str] = []
    for child in token.children or []:
        match child.type:
            case "text" | "code_inline":
                parts.append(child.content)
            case "softbreak" | "hardbreak":
                parts.append("\n")
            case "html_inline":
                parts.append(_tag_text(child.content))
            case "image" if child.content.strip():
                parts.append(child.content)
            case "image":
                notes.append(IMAGE_LEFT_OUT)
    return html.unescape("".join(parts))


def _tag_text(tag: str) -> str:
    """Nothing for a tag of HTML, a break for `<br>`, the words of a placeholder like `<your name>`."""
    matched = _TAG.fullmatch(tag)
    name = matched.group(1).lower() if matched else ""
    if _BREAKING_TAGS.fullmatch(name):
        return "\n"
    return "" if _HTML_TAGS.fullmatch(name) else tag.strip("</>")


def _lines(text: str, language: str) -> list[str]:
    """A block as paragraphs: a line broken for its sense (verse, a list without markers) is one of its own."""
    joined: list[str] = []
    for line in filter(None, (re.sub(r"[^\S\n]+", " ", line).strip() for line in text.split("\n"))):
        before = joined[-1] if joined else ""
        wrapped = before and (before[-1] in ",，" or line[0].islower() or before.count('"') % 2)
        if wrapped and before[-1] not in ".!?:。！？：":
            joined[-1] += ("" if language == "zh" else " ") + line
        else:
            joined.append(line)
    return [
        line if line[-1] in _FULL_STOPS or line[-1] in "\"')" else line + ("。" if language == "zh" else ".")
        for line in joined
    ]


def _around(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return text[max(0, found.start() - 10) : found.end() + 30] if found else ""
