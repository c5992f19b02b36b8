"""The data card of a built data set: README.md with the statistics of the run, and its plots."""

from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import yaml

from pipeline.shards.atomic import atomic_path
from pipeline.shards.statistics import Statistics, Tally

TEMPLATE = Path(__file__).resolve().parent.parent.parent / "data_cards" / "dataset.md"
CARD = "README.md"
KEEP_BYTES = """
rows = rows.cast_column("audio", Audio(decode=False))  # FLAC bytes; with torchcodec installed, leave this line out"""
AUDIO = "`audio` is FLAC at {sample_rate} Hz: **channel 0 is the user, channel 1 the assistant**."
NO_AUDIO = "Audio was left out; the codes are what is kept of it, `user_codes` and `assistant_codes`."
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
PLOT_COLUMNS = 2


def write(folder: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
    """Write the card and its plots; returns their paths, relative to `folder`.

    about: the manifest, all but its files.
    """
    plot = "plots/timing.png"
    _write_plot(folder / plot, statistics)
    recipe, ledger = about["recipe"], about["ledger"]
    emitted = ledger[-1]["emitted"]
    dialogue = statistics.get("dialogue_s")
    early = statistics.get("assistant_before_user_end")
    with_audio = recipe["output"]["audio"] == "flac"
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        front_matter=yaml.safe_dump(_front_matter(recipe, emitted), sort_keys=False, allow_unicode=True).strip(),
        name=recipe["name"],
        description=recipe["description"].strip(),
        scenario=recipe["timing"]["scenario"].replace("_", "-"),
        dialogues=emitted,
        hours=f"{dialogue.total / 3600:.2f}" if dialogue else "0",
        sources="\n".join(_source_lines(recipe, about["sources"])),
        ledger="\n".join(_ledger_lines(ledger)),
        statistics="\n".join(_statistics_lines(statistics)),
        plot=plot,
        keep_bytes=KEEP_BYTES if with_audio else "",
        audio=AUDIO.format(sample_rate=recipe["output"]["sample_rate"]) if with_audio else NO_AUDIO,
        early_share=f"{early.mean:.1%}" if early else "none",
        user_tokens=recipe["layout"]["user_tokens"],
        text_tokens=recipe["layout"]["text_tokens"],
        speech_engine=recipe["speech"]["engine"],
        assistant_voice=recipe["speech"]["assistant_voice"],
        speech_tokenizer=recipe["tokens"]["speech_tokenizer"],
        text_tokenizer=recipe["tokens"]["text_tokenizer"],
        seed=recipe["seed"],
        version=about["software"]["duplexgen"],
    )
    with atomic_path(folder / CARD) as path:
        path.write_text(text, encoding="utf-8")
    return [CARD, plot]


def _front_matter(recipe: dict[str, Any], dialogues: int) -> dict[str, Any]:
    size = next((name for most, name in SIZES if dialogues < most), "n>1M")
    return {
        "license": recipe["license"],
        "language": sorted({source["language"] for source in recipe["sources"]}),
        "task_categories": ["audio-to-audio", "text-to-speech"],
        "tags": ["full-duplex", "spoken-dialogue", "turn-taking", "duplexgen", recipe["timing"]["scenario"]],
        "size_categories": [size],
        "pretty_name": recipe["name"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}],
    }


def _source_lines(recipe: dict[str, Any], prints: dict[str, Any]) -> Iterator[str]:
    yield "| source | shape | language | licence | read from |"
    yield "|---|---|---|---|---|"
    for source in recipe["sources"]:
        what = ", ".join(f"{name} `{value[:12]}`" for name, value in prints[source["name"]].items() if value)
        yield f"| {source['name']} | {source['shape']} | {source['language']} | {source['license']} | {what} |"


def _ledger_lines(ledger: list[dict[str, Any]]) -> Iterator[str]:
    yield "| stage | planned | emitted | rejected | why | changed, not rejected |"
    yield "|---|---|---|---|---|---|"
    for counts in ledger:
        why, notes = (_counted(counts[key]) for key in ("reasons", "notes"))
        figures = " | ".join(str(counts[key]) for key in ("stage", "planned", "emitted", "rejected"))
        yield f"| {figures} | {why} | {notes} |"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _statistics_lines(statistics: Statistics) -> Iterator[str]:
    yield "| | count | mean | least | 5 % | median | 95 % | most |"
    yield "|---|---|---|---|---|---|---|---|"
    for _, tally in statistics.distributions():
        figures = (tally.mean, tally.least, tally.quantile(0.05), tally.quantile(0.5), tally.quantile(0.95), tally.most)
        cells = " | ".join(f"{figure:.4g}" for figure in figures)
        yield f"| {_label(tally)} | {tally.count} | {cells} |"


def _label(tally: Tally) -> str:
    unit = tally.quantity.unit
    return f"{tally.quantity.title} ({unit})" if unit else tally.quantity.title


def _write_plot(target: Path, statistics: Statistics) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tallies = [tally for _, tally in statistics.distributions()]
    rows = -(-len(tallies) // PLOT_COLUMNS)
    figure = Figure(figsize=(11, 2.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, PLOT_COLUMNS, squeeze=False).flatten()
    for axis, tally in zip(axes, tallies, strict=False):
        axis.stairs(tally.histogram, tally.quantity.edges, fill=True, color="#3b6ea5")
        filled = tally.histogram.nonzero()[0]
        width = tally.quantity.edges[1] - tally.quantity.edges[0]
        axis.set_xlim(tally.quantity.edges[filled[0]] - 2 * width, tally.quantity.edges[filled[-1] + 1] + 2 * width)
        axis.set_title(_label(tally), fontsize=9)
        axis.set_ylabel("count", fontsize=8)
        axis.tick_params(labelsize=8)
    for axis in axes[len(tallies) :]:
        axis.set_axis_off()
    with atomic_path(target) as path:
        figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
