"""The report of an evaluation: a table, and the distributions behind it."""

from pathlib import Path
from typing import Any

from rich.table import Column, Table

from ...pipeline.escapes import plot_text
from ...pipeline.storage.atomic import atomic_path
from .metrics import REPLY_WITHIN_S, STOP_WITHIN_S, Figure
from .targets import PAUSE

PLOT = "timing.png"
SHARE, SECONDS, SCORE, RATE = "{:.1%}", "{:.2f} s", "{:.2f}", "{:.3f}"
LABELS = {
    "tt_sr_3s": ("TT SR@3s", SHARE),
    "early_share": ("started before the user's end", SHARE),
    "no_reply_share": ("no reply", SHARE),
    "reply_delay_s": ("reply delay", SECONDS),
    "overlap_s": ("Overlap", SECONDS),
    "isr_2s": ("ISR@2s", SHARE),
    "silent_at_barge_in_share": ("silent at barge-in (overlap 0)", SHARE),
    "overlap_speaking_s": ("Overlap, if speaking at barge-in", SECONDS),
    "isr_2s_speaking": ("ISR@2s, if speaking at barge-in", SHARE),
    "answered_3s": ("second question answered within 3 s", SHARE),
    "quiet_3s": ("silent until 3 s after a silence request", SHARE),
    "take_over_share": ("take-over in a pause", SHARE),
    "false_stop_share": ("false stops at asides", SHARE),
    "false_start_share": ("false starts at asides", SHARE),
    "silent_at_aside_share": ("silent at the aside", SHARE),
    "undecided_share": ("no false stop or start could be told", SHARE),
    "s2s": ("S2S score", SCORE),
    "q2_s2s": ("Q2 S2S score", SCORE),
    "qa_accuracy": ("spoken QA accuracy", SHARE),
    "tor": ("TOR", RATE),
    "latency_s": ("latency", SECONDS),
    "backchannels_per_s": ("backchannels per second", RATE),
    "jsd": ("JSD", RATE),
    "relation": ("relation to the interruption, 0 to 5", SCORE),
    "stop_latency_s": ("stop latency", SECONDS),
    "response_latency_s": ("response latency", SECONDS),
}


def table(result: dict[str, Any]) -> Table:
    """The figures of each set."""
    names = Column("evaluation set", overflow="fold")
    report = Table(names, "figure", "value", "95 % interval", "items", title=result["model"]["name"])
    for name, figures in result["figures"].items():
        for number, (key, figure) in enumerate(figures.items()):
            label, form = _label(key)
            report.add_row("" if number else name, label, *_cells(figure, form))
        report.add_section()
    return report


def _label(key: str) -> tuple[str, str]:
    """What a figure is called, and how it is written. key: of one kind, it starts with the kind and a dot."""
    kind, _, name = key.rpartition(".")
    label, form = LABELS[name]
    return (f"{kind.replace('_', ' ')}: {label}" if kind else label), form


def _cells(figure: Figure, form: str) -> tuple[str, str, str]:
    value = "none" if figure.value is None else form.format(figure.value)
    interval = "" if figure.low is None else f"{form.format(figure.low)} … {form.format(figure.high)}"
    return value, interval, str(figure.items)


def problems(result: dict[str, Any]) -> list[str]:
    """What did not count, and why: a line per row that was not measured, and one line for all unjudged replies."""
    lines = [f"not measured: {row['set']}: {row['reason']}: {row['detail']}" for row in result["unmeasured"]]
    unjudged = [item for item in result["items"] if item.get("judge", {}).get("problem")]
    if unjudged:
        first = unjudged[0]
        lines.append(
            f"not judged: {len(unjudged)} items, the first {first['dialogue_id']}: {first['judge']['problem']}"
        )
    return lines


def write_plot(result: dict[str, Any], out: Path) -> None:
    """Write histograms of reply delays and of overlaps for each set; no file if there are no items."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    shown = [panel for name in result["figures"] for panel in _panels(name, result["items"])]
    if not shown:
        return
    canvas = Canvas(figsize=(8, 2.6 * len(shown)), layout="constrained")
    FigureCanvasAgg(canvas)
    for axis, (title, values, limit_s) in zip(canvas.subplots(len(shown), squeeze=False)[:, 0], shown, strict=True):
        axis.hist(values, bins=40, color="#3b6ea5")
        axis.axvline(limit_s, color="#b03a2e", linestyle="--")
        axis.set_title(plot_text(title), fontsize=9)
        axis.set_ylabel("items", fontsize=8)
        axis.tick_params(labelsize=8)
    with atomic_path(out / PLOT) as path:
        canvas.savefig(path, format="png", dpi=110, metadata={"Software": None})


def _panels(name: str, items: list[dict[str, Any]]) -> list[tuple[str, list[float], float]]:
    """Title, values and limit (s) of each quantity that was measured on a set."""
    of_set = [item for item in items if item["set"] == name]
    delays = [item["delay_s"] for item in of_set if item.get("delay_s") is not None and item.get("kind") != PAUSE]
    overlaps = [item["overlap_s"] for item in of_set if "overlap_s" in item]
    return [
        (title, values, limit_s)
        for title, values, limit_s in (
            (f"{name}: user's end to the assistant's first sound (s)", delays, REPLY_WITHIN_S),
            (f"{name}: barge-in to the assistant's stop (s)", overlaps, STOP_WITHIN_S),
        )
        if values
    ]
