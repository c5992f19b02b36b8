"""Tables 1, 2 and 5 of BayLing-Duplex (section 4), with figures of a model beside theirs.

Their figures are those that the text around the tables gives; a dash stands where it gives none. Of the turn-based
model of table 5 it gives the differences from BayLing-Duplex (SFT), from which its figures follow, if Alpaca-Eval of
table 5 is the S2S score of table 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from .metrics import Figure
from .recipe import Tables

SFT, DPO, MOSHI, TURN_BASED = "BayLing-Duplex (SFT)", "BayLing-Duplex (+DPO)", "Moshi", "turn-based SFT"
PERCENT, SECONDS, SCORE = 100.0, 1.0, 1.0


@dataclass(frozen=True)
class Row:
    """One figure: where ours comes from, and theirs, as the paper writes them."""

    label: str
    set_name: str  # a key of `tables` in the recipe
    figure: str
    scale: float
    theirs: Mapping[str, str]


LLAMA, WEB = ("Llama Questions, %", "llama_questions"), ("Web Questions, %", "web_questions")
TABLE_1 = [
    Row(*LLAMA, "qa_accuracy", PERCENT, {SFT: "44.3", DPO: "46.0", MOSHI: "21.0"}),
    Row(*WEB, "qa_accuracy", PERCENT, {SFT: "18.0", DPO: "18.1", MOSHI: "9.2"}),
]
TABLE_2 = [
    Row("TT SR@3s, %", "turn_taking", "tt_sr_3s", PERCENT, {SFT: "88.9", DPO: "92.0", MOSHI: "71.9"}),
    Row("S2S score", "turn_taking", "s2s", SCORE, {SFT: "3.23", DPO: "3.39", MOSHI: "2.17"}),
    Row("Overlap, s", "interruption", "overlap_s", SECONDS, {SFT: "1.51", DPO: "1.10", MOSHI: "2.07"}),
    Row("ISR@2s, %", "interruption", "isr_2s", PERCENT, {DPO: "100.0"}),
    Row("Q2 S2S score", "interruption", "q2_s2s", SCORE, {DPO: "3.27"}),
]
TABLE_5 = [
    Row(*LLAMA, "qa_accuracy", PERCENT, {SFT: "44.3", TURN_BASED: "45.3"}),
    Row(*WEB, "qa_accuracy", PERCENT, {SFT: "18.0", TURN_BASED: "15.9"}),
    Row("Alpaca-Eval, 1 to 5", "turn_taking", "s2s", SCORE, {SFT: "3.23", TURN_BASED: "3.16"}),
]
TABLES = {
    "Table 1: spoken question answering": TABLE_1,
    "Table 2: turn-taking and interruption": TABLE_2,
    "Table 5: quality of the replies": TABLE_5,
}


def tables(result: Mapping[str, Any], sets: Tables) -> list[Table]:
    """The paper's tables, with the figures of an evaluation; one that was not measured is a dash."""
    return [_table(title, rows, result, sets) for title, rows in TABLES.items()]


def _table(title: str, rows: list[Row], result: Mapping[str, Any], sets: Tables) -> Table:
    columns = [name for name in (SFT, DPO, MOSHI, TURN_BASED) if any(name in row.theirs for row in rows)]
    table = Table("", result["model"]["name"], "items", *columns, title=title)
    for row in rows:
        of_set: Mapping[str, Figure] = result["figures"].get(getattr(sets, row.set_name), {})
        ours = of_set.get(row.figure)
        items = str(ours.items) if ours else ""
        table.add_row(row.label, _ours(ours, row.scale), items, *(row.theirs.get(name, "–") for name in columns))
    return table


def _ours(figure: Figure | None, scale: float) -> str:
    """A figure with its interval, as the paper writes such figures."""
    if figure is None or figure.value is None:
        return "–"
    digits = 1 if scale == PERCENT else 2
    value, low, high = (
        None if one is None else f"{one * scale:.{digits}f}" for one in (figure.value, figure.low, figure.high)
    )
    return f"{value}" if low is None else f"{value} [{low}, {high}]"
