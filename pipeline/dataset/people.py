"""The timing of a data set beside that of people, as papers report it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..escapes import Markdown, table
from ..storage.atomic import atomic_path
from .statistics import TRANSFER_OFFSET, Statistics, Tally

MODE_BIN_S = 0.1
SHORT_S = 0.2
SHOWN_S = (-1.0, 2.0)  # of the plot
LEVINSON = "Levinson & Torreira 2015, Switchboard, doi:10.3389/fpsyg.2015.00731"
STIVERS = "Stivers et al. 2009, answers to yes-no questions, doi:10.1073/pnas.0903616106"
HELDNER = "Heldner & Edlund 2010, doi:10.1016/j.wocn.2010.08.002"
HEAD = ("", "here", "people", "source")
REMARK = """Measured by voice activity on the audio, before any effect: of {dialogues} dialogues, {minutes} minutes.
The first four rows are the quantities of dGSLM (arXiv 2203.16502). An IPU is speech bounded by 200 ms of silence of
its speaker. A silence of both is a pause if the same speaker goes on, and a gap if the other one does. The floor
transfer offset is the time from the end of one speaker to the start of the other; it is negative if they overlap.

{table}

Two things differ by design. A model has to hear the end of a turn before it can answer, so no reply overlaps the turn
that it answers, and none comes before the recipe's `reply_delay_s`; among people, many do, and about half of all floor
transfers here are replies. And what interrupts or accompanies a reply counts as overlap as a whole, so overlaps are
longer."""
PLOT = "\n\n![floor transfer offsets]({plot})"
NOT_MEASURED = "No speech was measured on the audio."


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: what it is, its figure here, and what is published about people."""

    what: str
    here: str
    people: str = "–"
    source: str = "–"

    @property
    def cells(self) -> tuple[str, str, str, str]:
        return self.what, self.here, self.people, self.source


def lines(statistics: Statistics) -> Iterator[Line]:
    """The table of timing; nothing if no dialogue was measured."""
    measured = statistics.get("measured_s")
    if measured is None:
        return
    for name, what in (("ipu_s", "IPUs"), ("pause_s", "Pauses"), ("gap_s", "Gaps"), ("overlap_s", "Overlaps")):
        count, total_s = _sum(statistics.get(name))
        minutes = measured.total / 60
        yield Line(f"{what} per minute", f"{count / minutes:.1f}, {total_s / minutes:.1f} s")
    yield from _of_offsets(statistics.get(TRANSFER_OFFSET))
    share = _sum(statistics.get("overlap_s"))[1] / measured.total
    yield Line("Overlap, share of the time", f"{share * 100:.1f} %", "under 5 %", LEVINSON)
    yield Line("Overlap, median", _median_ms(statistics.get("overlap_s")), "about 205 ms", LEVINSON)
    pause, gap = (_median_ms(statistics.get(name)) for name in ("pause_s", "gap_s"))
    yield Line("Pause and gap, medians", f"{pause} and {gap}", "pauses are longer", HELDNER)


def _of_offsets(offsets: Tally | None) -> Iterator[Line]:
    if offsets is None:
        return
    start_s = mode_s(offsets)
    bin_ms = f"{start_s * 1000:.0f} to {(start_s + MODE_BIN_S) * 1000:.0f} ms"
    yield Line("Floor transfer offset, most frequent", bin_ms, "100 to 200 ms", LEVINSON)
    yield Line("Floor transfer offset, median", _median_ms(offsets))
    languages = "7 to 469 ms in ten languages, 208 ms over all"
    yield Line("Floor transfer offset, mean", f"{offsets.mean * 1000:.0f} ms", languages, STIVERS)
    yield Line("Floor transfers under 200 ms", _percent(share_below(offsets, SHORT_S)), "about half", LEVINSON)
    yield Line("Floor transfers with overlap", _percent(share_below(offsets, 0.0)), "30 to 40 %", LEVINSON)


def mode_s(tally: Tally) -> float:
    """The start of the bin of 100 ms that has the most values; of equal bins, the first."""
    counts = _by_100_ms(tally)
    return float(tally.quantity.low + int(counts.argmax()) * MODE_BIN_S)


def share_below(tally: Tally, value: float) -> float:
    """The share of values below one that is an edge of the histogram's bins."""
    width = (tally.quantity.high - tally.quantity.low) / tally.quantity.bins
    return float(tally.histogram[: round((value - tally.quantity.low) / width)].sum() / tally.count)


def _by_100_ms(tally: Tally) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    bins = round((tally.quantity.high - tally.quantity.low) / MODE_BIN_S)
    return np.asarray(tally.histogram.reshape(bins, -1).sum(axis=1))


def _sum(tally: Tally | None) -> tuple[int, float]:
    return (tally.count, tally.total) if tally else (0, 0.0)


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def _median_ms(tally: Tally | None) -> str:
    return f"{tally.quantile(0.5) * 1000:.0f} ms" if tally else "none"


def section(statistics: Statistics, plot: str | None) -> Markdown:
    """The part of a card about timing. plot: the path of the plot of offsets; None: there is none."""
    measured = statistics.get("measured_s")
    if measured is None:
        return Markdown(NOT_MEASURED)
    figures = table(HEAD, (line.cells for line in lines(statistics)))
    text = REMARK.format(dialogues=measured.count, minutes=f"{measured.total / 60:.1f}", table=figures)
    return Markdown(text + (PLOT.format(plot=plot) if plot else ""))


def write_plot(target: Path, statistics: Statistics) -> bool:
    """Plot floor transfer offsets in bins of 100 ms; returns False, and writes nothing, if there are none."""
    tally = statistics.get(TRANSFER_OFFSET)
    if tally is None:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    counts = _by_100_ms(tally)
    edges_ms = (tally.quantity.low + np.arange(len(counts) + 1) * MODE_BIN_S) * 1000
    axis.axvspan(100, 200, color="#e8b04b", alpha=0.5, label="most frequent between people")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.stairs(counts, edges_ms, fill=True, color="#3b6ea5", label="here")
    axis.set_xlim(SHOWN_S[0] * 1000, SHOWN_S[1] * 1000)
    axis.set_xlabel("floor transfer offset (ms); negative: overlap", fontsize=9)
    axis.set_ylabel("count", fontsize=9)
    axis.legend(fontsize=8)
    with atomic_path(target) as path:
        figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
    return True
