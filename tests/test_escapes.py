"""Text that is not ours: nothing of it steers a terminal or is taken for HTML or Markdown, and all of it is shown."""

import io
import re
import unicodedata

import pytest
import rich.console
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.table import Table

from duplexgen.pipeline.escapes import Markdown, code, fill, markdown, one_line, paragraphs, plot_text, printable, table
from duplexgen.pipeline.show.terminal import Console

GFM = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
SHOWN = {"html_inline", "html_block", "em_open", "strong_open", "s_open", "link_open", "image", "heading_open"}
BLOCKS = {"bullet_list_open", "ordered_list_open", "blockquote_open", "fence", "code_block", "hr", "table_open"}
HOSTILE = [
    *(
        "\x1b[31m",
        "\x1b]0;title\x07",
        "\r",
        "\x9b1m",
        "\u202e",
        "\u2066",
        "<script>",
        "<b>",
        "|",
        "\\|",
        "[bold]",
        "[/]",
    ),
    *(
        "$x^$",
        "**b**",
        "_i_",
        "__s__",
        "~~s~~",
        "`",
        "``",
        "# h",
        "- l",
        "1. l",
        "> q",
        "===",
        "---",
        "![i](u)",
        "[l](u)",
    ),
    *(
        "&lt;",
        "&amp;",
        "\\",
        "\n",
        "\n\n",
        "\n    ",
        "\t",
        "\n# h",
        "\n|a|b|\n|-|-|\n",
        "<!--",
        "-->",
        "<?",
        "<http://x>",
    ),
    *("```\n", "~~~\n", "{{", "$name", "${name}", "café", "图书馆", "👩‍👩‍👧", "עברית", "held_out", "a", " "),
]
texts = st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(), max_size=4), max_size=8).map("".join)

unhurried = settings(deadline=None)


def types_of(source: str) -> set[str]:
    tokens = GFM.parse(source)
    return {token.type for token in tokens} | {child.type for token in tokens for child in token.children or []}


def words_of(source: str) -> str:
    """What a reader sees, without white space."""
    inline = [child for token in GFM.parse(source) for child in token.children or []]
    return "".join("".join(child.content for child in inline if child.type in ("text", "code_inline")).split())


@unhurried
@given(texts)
def test_a_terminal_is_not_steered(text: str) -> None:
    shown = printable(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert printable(shown) == shown
    assert not {"\n", "\t"} & set(one_line(text))
    shown.encode("utf-8")


@pytest.mark.parametrize(
    "text", ["Où est-il ?", "图书馆在哪里？", "مرحبا \u200f!", "👩‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "می‌خواهم", "e\u0301", "[A] · █ ␣"]
)
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert unicodedata.normalize("NFC", text) and printable(text) == one_line(text) == text
    assert words_of(markdown(text)) == "".join(text.split())


@unhurried
@given(texts)
def test_markdown_shows_the_text_and_nothing_else(text: str) -> None:
    expected = "".join(printable(text).split())
    for source in (f"before {markdown(text)} after", f"before\n\n{paragraphs(text)}\n\nafter", f"# {markdown(text)}"):
        found = types_of(source)
        assert not found & (SHOWN - {"heading_open" if source.startswith("#") else ""}), source
        assert not found & BLOCKS, source
        assert expected in words_of(source)


@unhurried
@given(texts)
def test_code_shows_the_text(text: str) -> None:
    source = f"before {code(text)} after"
    assert not types_of(source) & SHOWN
    assert words_of(source) == "".join(f"before{printable(text)}after".split())


@unhurried
@given(st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_table_has_as_many_cells_as_it_was_given(rows: list[list[str]]) -> None:
    made = table(("one", "two", "three"), [[*row[:2], code(row[2])] for row in rows])
    tokens = GFM.parse(made)
    cells = [tokens[at + 1] for at, token in enumerate(tokens) if token.type == "td_open"]
    assert len(cells) == 3 * len(rows)
    assert not types_of(made) & SHOWN
    shown = ["".join("".join(child.content for child in cell.children or []).split()) for cell in cells]
    assert shown == ["".join(printable(text).split()) for row in rows for text in row]


@unhurried
@given(texts)
def test_templates_take_markdown_as_it_is_and_escape_the_rest(text: str) -> None:
    filled = fill(
        "---\n$front\n---\n\n# $name\n\n$name\n\nin `$name`, $ours",
        {"front": Markdown("a: b"), "name": text, "ours": Markdown("**b**")},
    )
    body = filled.removeprefix("---\na: b\n---\n")
    assert {token.type for token in GFM.parse(body)} <= {
        "heading_open",
        "inline",
        "heading_close",
        "paragraph_open",
        "paragraph_close",
    }
    assert types_of(body) & SHOWN == {"heading_open", "strong_open"}
    assert words_of(body).count("".join(printable(text).split())) >= 3
    with pytest.raises(KeyError):
        fill("$missing", {})


@unhurried
@pytest.mark.filterwarnings("ignore:Glyph")
@given(texts)
def test_a_plot_draws_the_text(text: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    canvas = FigureCanvasAgg(figure)
    figure.text(0, 0, plot_text(text))
    canvas.draw()  # raises at mathematics that is none


@unhurried
@given(texts)
def test_the_console_shows_text_in_tables_and_lines(text: str) -> None:
    console = Console()
    console.file = io.StringIO()
    console.width = 2000
    rows = Table("head", title=text)
    rows.add_row(text)
    for shown in (text, rows):
        console.print(shown, soft_wrap=True)
    written = console.file.getvalue()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", written)
    assert all(mark in written for mark in ("[bold]", "[/]") if mark in text)


def test_rich_alone_would_be_steered() -> None:
    """What the console is for."""
    console = rich.console.Console(file=io.StringIO())
    console.print("\x1b[31m")
    assert "\x1b" in console.file.getvalue()  # type: ignore[attr-defined]
