"""Markdown, HTML and code as paragraphs of plain text, in the order in which they would be read out."""

import functools
import html
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import DialogueRejected
from .characters import unified, without_marks
from .numbers import ordinal
from .steps import LeftOut, Step, applied

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

CODE_LEFT_OUT = "code_left_out"
IMAGE_LEFT_OUT = "image_left_out"
LINK_LEFT_OUT = "link_left_out"
HTML_LEFT_OUT = "html_left_out"
CITATION_LEFT_OUT = "citation_left_out"
MARK_BEFORE_NUMBER = "layout_mark_before_number"

_ZH_DIGITS = "零一二三四五六七八九十"
_HTML_TAGS = re.compile(
    "a|abbr|b|big|blockquote|center|code|dd|del|details|dl|dt|em|font|h[1-6]|i|img|ins|kbd|mark|ol|pre|q|s|small|span|strike|"
    "strong|sub|summary|sup|table|tbody|td|th|thead|tt|u|ul|var"
)
_BREAKING_TAGS = re.compile("br|hr|p|li|tr|div")
_TAG = re.compile(r"</?([A-Za-z][\w-]*)[^<>]*>")
_ATTRIBUTES = re.compile(r"</?[\w-]+((?:\s+[\w:-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'=<>`]+)))*)\s*/?>")
_PROSE = re.compile(r"[\w\s.,?!;:'\"()-]*")
_CODE_LINE = re.compile(
    r"^\s*(?:def|class|local|public|private|static|void|function|const|let|var|#include|#define|using|return|elif|else:|"
    r"SELECT|INSERT|UPDATE|CREATE)\b.*[(){};:=<>*]\s*\S*$"
    r"|^\s*(?:import|from)\s[\w.]+(?:\s(?:import|as)\s\w.*)?;?$|^\s*</?(?:html|head|body|div|script|style|meta|!DOCTYPE)\b"
    r"|[{};]\s*$|^\s*[})\]]+[;,]?\s*$|^\s*(?://|/\*|<\?|#!)|[\w\])]\s*(?:==|!=|\+=|-=|:=|=>|->|&&|\|\|)\s*\S"
    r"|\w\([^()]*\)\s*[;{:]\s*$|^\s*[\w.\[\]]+\s*=\s*[\w\"'\[({].*$|^\s*[\w.]{0,80}[a-z]\.?\w{0,80}\(\S*\)$"
    r"|\w\.\w+\(.{0,200}\w\.\w{1,80}\("
)
_LATEX = re.compile(
    r"\\(?:frac|sqrt|sum|int|begin|end|left|right|mathbf|mathrm|alpha|beta|theta|pi|lambda|infty|cdot|text)\b|\$\$"
    r"|\$[^$\n]{0,80}[\\^_][^$\n]{0,80}\$|\$[A-Za-z][^$\n]{0,40}\$"
)
_PREPARED = (
    Step(re.compile(r"^ *[•·] +", re.MULTILINE), "* "),
    Step(re.compile(r"^([ >*+-]*)>=", re.MULTILINE), r"\1≥", ">="),  # this > does not start a quotation
    Step(re.compile(r"^ *[–—] +", re.MULTILINE), "- ", "–—"),
    Step(
        re.compile(r"^\[\^\w{1,20}\]:|\[(?:\^\w{1,20}|\d{1,3})\](?![(:\[])|［\d{1,3}］", re.MULTILINE),
        lambda m: LeftOut(" " * m.string[m.end() : m.end() + 1].isalnum(), CITATION_LEFT_OUT),
    ),
    Step(re.compile(r"(?<=\d)\*\*(?=\d)"), "^", "*"),
    Step(re.compile(r"(?<=\d) ?\* ?(?=\d)|(?<=\b[A-Za-z\d])\*(?=[A-Za-z\d]\b)"), " × ", "*"),
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z][A-Za-z\d]{1,31});")
_NUMBER = re.compile(r"(?:US\$|[$£€¥₹])?\s?[.]?\d")
_LAYOUT = frozenset("*_#>`~|=+-\\[]()!<&;:\"'.,/")  # marks of Markdown; a mark before a number is looked at apart
_INLINE_LAYOUT = _LAYOUT - frozenset("+-=/")
_BEFORE_WIDE = re.compile(r"(?<![^\s\u2e80-\uffff])[^\s\u2e80-\uffff]++(?=[\u2e80-\uffff])")
_LONGEST_ADDRESS = 2000
_FULL_STOPS = ".!?:;,。！？：；，"


@dataclass(slots=True)
class Plain:
    """A text without its markup: paragraphs, and a note for each omission."""

    paragraphs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _as_written(url: str) -> str:
    return url


@functools.cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # Indented code and HTML blocks are off: in chat text an indented line is an indented line.
    parser = MarkdownIt("commonmark", {"html": True, "store_labels": True})
    parser.normalizeLink = parser.normalizeLinkText = _as_written  # type: ignore[assignment, method-assign]  # what is left out is compared
    return parser.enable(["table", "strikethrough"]).disable(["code", "html_block"])


def plain(text: str, language: str) -> Plain:
    """`text` without its markup; list items, cells and headings become sentences of their own.

    Raises DialogueRejected: `code` if code is more than half of it, `math` if it has LaTeX that cannot be said,
    `not_heard` if the markup hides something, `unclear_sign` if a mark may be layout or a sign of a number.
    """
    if _LATEX.search(text):
        raise DialogueRejected("math", f"has LaTeX: {_around(_LATEX, text)!r}")
    _check_bare_code(text)
    reader = _Reader(language, len(text))
    source = applied(_without_comments(text, reader.out.notes), _PREPARED, reader.out.notes)
    environment: dict[str, Any] = {}
    reader.read(_parser().parse(source, environment))
    reader.read_definitions(environment, source.split("\n"))
    _check_all_read(source, reader.read_characters, _LAYOUT)
    return reader.out


def _without_comments(text: str, notes: list[str]) -> str:
    kept: list[str] = []
    while True:
        before, opened, rest = text.partition("<!--")
        _, closed, after = rest.partition("-->")
        if not (opened and closed):
            return "".join([*kept, text])
        kept.append(before)
        notes.append(HTML_LEFT_OUT)
        text = after


def _check_all_read(written: str, read_characters: "Counter[str]", layout: frozenset[str]) -> None:
    """Raise DialogueRejected if a character that is not layout was read less often than it is written."""
    if lost := _content(written, layout) - read_characters:
        some = "".join(sorted(lost))[:40]
        raise DialogueRejected("not_heard", f"what the markup of {written[:60]!r} hides: {some!r}")


def _decoded(text: str) -> str:
    return _ENTITY.sub(lambda m: html.unescape(m[0]), text)  # a bare "&#99" stays as it is


def _content(text: str, layout: frozenset[str] = frozenset()) -> "Counter[str]":
    return Counter(c for c in _decoded(text).casefold() if not c.isspace() and c not in layout)


def _check_bare_code(text: str) -> None:
    """Raise DialogueRejected for code without a fence: lines that prose never has."""
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
        self.read_characters: Counter[str] = Counter()  # of the source: those that were read, or left out with a note
        self.lists: list[_List] = []  # around the current token, the outermost first
        self.mark = ""  # of Markdown, before the text that comes next
        self.opening = ""  # what is said before a list item, such as `First, `
        self.header: list[str] = []
        self.row: list[str] | None = None
        self.code_length = 0

    def read(self, tokens: "list[Token]") -> None:
        lists = _lists(tokens)
        for index, token in enumerate(tokens):
            match token.type:
                case "ordered_list_open" | "bullet_list_open":
                    self.lists.append(lists[index])
                case "ordered_list_close" | "bullet_list_close":
                    self.lists.pop()
                case "list_item_open":
                    self._take(token.info)
                    opening = self.lists[-1].opening(self.language)
                    self.opening += opening
                    self.mark = "" if opening else self.lists[-1].mark
                case "list_item_close" if self.opening:
                    self._add(" ")  # an item of nothing but its number
                case "blockquote_open":
                    self.mark = ">"
                case "heading_open":
                    self.mark = "#" if token.markup[0] == "#" else ""
                case "tr_open":
                    self.row = []
                case "tr_close":
                    self._end_row()
                case "table_close":
                    self.header = []
                case "inline":
                    self._take(token.content)
                    self._add(self._inline(token))
                case "fence":
                    self._take(token.content + token.info)
                    self._fence(token)

    def read_definitions(self, environment: dict[str, Any], lines: list[str]) -> None:
        """Targets of links that stand by themselves: `[1]: http://…`."""
        for definition in [*environment.get("references", {}).values(), *environment.get("duplicate_refs", [])]:
            first, end = definition["map"]
            self._take("\n".join(lines[first:end]))
            self.out.notes.append(LINK_LEFT_OUT)

    def _take(self, text: str) -> None:
        self.read_characters += _content(text)

    def _inline(self, token: "Token") -> str:
        text, read_characters = _inline(token, self.out.notes)
        _check_all_read(token.content, read_characters, _INLINE_LAYOUT)
        mark, self.mark = self.mark, ""
        if mark and _NUMBER.match(text.lstrip()):
            if mark == ">" or (mark in "-+" and self.lists and self.lists[-1].items == 1):
                raise DialogueRejected(
                    "unclear_sign", f"layout, or a sign of the number: {mark} {text.lstrip()[:40]!r}"
                )
            self.out.notes.append(MARK_BEFORE_NUMBER)
        return text

    def _add(self, text: str) -> None:
        text = text.strip()
        if self.row is not None:
            self.row.append(text)
        elif text or self.opening:
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
        content = without_marks(unified(token.content), self.out.notes)
        if _PROSE.fullmatch(content) and not any(_CODE_LINE.search(line) for line in content.split("\n")):
            self._add(content)
            if token.info.strip() and CODE_LEFT_OUT not in self.out.notes:
                self.out.notes.append(CODE_LEFT_OUT)
            return
        fences = len(token.info) + 2 * len(token.markup) + 2
        self.code_length = min(self.code_length + len(content) + fences, self.length)
        if self.code_length * 2 > self.length:
            raise DialogueRejected("code", f"{self.code_length} of {self.length} characters are code")
        if CODE_LEFT_OUT not in self.out.notes:
            self.out.notes.append(CODE_LEFT_OUT)


def _inline(token: "Token", notes: list[str]) -> tuple[str, "Counter[str]"]:
    """The text of one block, and the characters of its source that are in it or were left out with a note."""
    parts: list[str] = []
    read_characters = Counter[str]()
    children = token.children or []
    for child, after in zip(children, [*children[1:], None], strict=False):
        left_out = ""
        if child.type != "text" and _ends_in_address(parts):
            parts.append(" ")  # text after the address must not be left out with its path
        match child.type:
            case "text" | "code_inline":
                parts.append(child.content)
            case "softbreak" | "hardbreak":
                parts.append("\n")
            case "html_inline":
                left_out = child.content
                parts.append(_tag_text(child.content, after.content if after else ""))
                if _has_attributes(child.content):
                    notes.append(HTML_LEFT_OUT)
            case "image":
                left_out = f"{child.attrs.get('src')} {child.attrs.get('title', '')} {child.meta.get('label', '')}"
                parts.append(f" {child.content} ")
                notes.append(IMAGE_LEFT_OUT)
            case "link_open" if child.info != "auto":
                left_out = f"{child.attrs.get('href')} {child.attrs.get('title', '')} {child.meta.get('label', '')}"
                notes.append(LINK_LEFT_OUT)
        read_characters += _content(left_out)
    text = _decoded("".join(parts))
    # Pictures go last: without them a sign that follows one would stand first in its line, where it is layout.
    return without_marks(unified(_BEFORE_WIDE.sub(_address_apart, text)), notes), read_characters + _content(text)


def _address_apart(m: re.Match[str]) -> str:
    """A space between an address and a wide comma after it: a narrow comma would become part of the address."""
    return f"{m[0]} " if "://" in m[0] or "www." in m[0] else m[0]


def _ends_in_address(parts: list[str]) -> bool:
    end = parts[-1][-_LONGEST_ADDRESS:].rsplit(maxsplit=1)[-1:] if parts and not parts[-1][-1:].isspace() else []
    return any("://" in one or "www." in one for one in end)


def _tag_text(tag: str, after: str) -> str:
    """Nothing for a tag of HTML, a break for `<br>`, the words of a placeholder like `<your name>`."""
    matched = _TAG.fullmatch(tag)
    name = matched.group(1).lower() if matched else ""
    if _BREAKING_TAGS.fullmatch(name):
        return "\n"
    if name == "sup" and tag[1] != "/" and re.fullmatch(r"[-+−]?\d+", after):
        return "^"
    if _HTML_TAGS.fullmatch(name):
        return "" if _ATTRIBUTES.fullmatch(tag) else tag  # "a <b and c> d" is not bold type
    return tag.strip("</>")


def _has_attributes(tag: str) -> bool:
    matched = _ATTRIBUTES.fullmatch(tag)
    return bool(matched and matched[1])


@dataclass(slots=True)
class _List:
    """A list while it is read: its mark, or its numbers as they are written."""

    mark: str
    numbers: list[int] = field(default_factory=list)
    items: int = 0
    read: int = 0  # items so far
    alone: bool = False  # its only number is the only one of the text, so it may not be a list: "1990. It was"

    def opening(self, language: str) -> str:
        """The words before the next item; none in a list of bullets."""
        if not self.numbers:
            return ""
        position, self.read = self.read, self.read + 1
        number = self.numbers[position]
        if self.alone:
            return f"{number}。" if language == "zh" else f"{number}. "
        if len(set(self.numbers)) == 1:
            number += position  # 1. 1. 1. is shown as 1. 2. 3.
        if language == "zh":
            return f"第{_ZH_DIGITS[number] if number <= 10 else number}，"
        return f"{ordinal(str(number)).capitalize()}, " if number else "Zero, "


def _lists(tokens: "list[Token]") -> dict[int, _List]:
    """The lists of a text, by the position of the token that opens each."""
    lists: dict[int, _List] = {}
    inside: list[_List] = []
    for index, token in enumerate(tokens):
        match token.type:
            case "ordered_list_open" | "bullet_list_open":
                lists[index] = _List(token.markup)
                inside.append(lists[index])
            case "list_item_open":
                inside[-1].items += 1
                if token.info:
                    inside[-1].numbers.append(int(token.info))
            case "ordered_list_close" | "bullet_list_close":
                inside.pop()
    numbered = [one for one in lists.values() if one.numbers]
    if sum(len(one.numbers) for one in numbered) == 1:
        numbered[0].alone = True
    return lists


def _lines(text: str, language: str) -> list[str]:
    """A block as paragraphs. A line that was broken on purpose (verse, a list without markers) is a paragraph."""
    joined: list[list[str]] = []
    quotes = 0
    before = ""
    for line in filter(None, (re.sub(r"[^\S\n]+", " ", line).strip() for line in text.split("\n"))):
        wrapped = before and (before in ",，" or line[0].islower() or quotes % 2)
        if wrapped and before not in ".!?:。！？：":
            joined[-1].append(line)
        else:
            joined.append([line])
            quotes = 0
        quotes += line.count('"')
        before = line[-1]
    return [
        line if line[-1] in _FULL_STOPS or line[-1] in "\"')" else line + ("。" if language == "zh" else ".")
        for line in map(" ".join, joined)
    ]


def _around(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return text[max(0, match.start() - 10) : match.end() + 30] if match else ""
