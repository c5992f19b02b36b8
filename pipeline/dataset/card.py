"""The data card of a data set: README.md, with its statistics, and a plot."""

import json
from pathlib import Path
from typing import Any

import yaml

from ..escapes import Markdown, code, fill, markdown, one_line, paragraphs, plot_text, table
from ..layouts.layouts import LAYOUTS
from ..storage.atomic import atomic_path
from . import people
from .manifest import CARD
from .statistics import TRANSFER_OFFSET, Statistics, Tally

TEMPLATES = Path(__file__).resolve().parent.parent.parent / "data_cards"
AUDIO = """`audio` is FLAC at {sample_rate} Hz: **channel 0 is the user, channel 1 the assistant**.

```python
import io

import soundfile
from datasets import Audio

rows = rows.cast_column("audio", Audio(decode=False))  # `datasets` 4 and later decode with torchcodec, or not at all
samples, rate = soundfile.read(io.BytesIO(rows[0]["audio"]["bytes"]))
user, assistant = samples.T
```
"""
READ_REJECTED = """
rejected = load_dataset(folder, "rejected", split="train")"""
NO_AUDIO = "Audio was left out. Its codes are in `user_codes` and `assistant_codes`."
EMBEDDED = "All speech is synthetic: there is no recording of a person in it."
CLONED = """All speech is synthetic, in voices cloned from the recordings of the bank that the recipe names.
Its card says where they come from and under which licences."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
PLOT_COLUMNS = 2
OFFSETS_PLOT = "plots/transfer_offsets.png"
NUMBERED = """The number in a name such as `gain_db[2]` counts events; of `noise` it counts clips, of `bursts` bursts.
`source[2]` counts the folders of the effect, then its embedded kinds."""


def write(folder: Path, about: dict[str, Any], statistics: Statistics) -> list[str]:
    """Write the card of a data set of dialogues and its plots; returns their paths, relative to `folder`.

    about: the manifest without its list of files.
    """
    recipe = about["recipe"]
    dialogue = statistics.get("dialogue_s")
    plot = OFFSETS_PLOT if people.write_plot(folder / OFFSETS_PLOT, statistics) else None
    layout = LAYOUTS[recipe["layout"]["name"]].Spec.model_validate(recipe["layout"])
    with_audio = recipe["output"]["audio"] == "flac"
    words = {
        "description": paragraphs(recipe["description"]),
        "scenario": recipe["timing"]["scenario"].replace("_", "-"),
        "hours": f"{dialogue.total / 3600:.2f}" if dialogue else "0",
        "sources": _sources(recipe, about["sources"]),
        "audio": Markdown(AUDIO.format(sample_rate=recipe["output"]["sample_rate"]) if with_audio else NO_AUDIO),
        "people": people.section(statistics, plot),
        "remark": Markdown(layout.remark({name: tally.mean for name, tally in statistics})),
        "layout": Markdown(layout.columns_in_words),
        "acoustics": Markdown(_acoustics(recipe["acoustics"], about["stages"])),
        "speech_engine": recipe["speech"]["engine"],
        "voices": CLONED if recipe["speech"]["cosyvoice"] else EMBEDDED,
        "assistant_voice": recipe["speech"]["assistant_voice"],
        "speech_tokenizer": recipe["tokens"]["speech_tokenizer"],
        "text_tokenizer": recipe["tokens"]["text_tokenizer"],
    }
    front_matter = dialogues_front_matter(recipe) | {
        "task_categories": ["audio-to-audio", "text-to-speech"],
        "tags": ["full-duplex", "spoken-dialogue", "turn-taking", "duplexgen", recipe["timing"]["scenario"]],
    }
    return [*write_card(folder, "dataset.md", front_matter, words, about, statistics), *([plot] if plot else [])]


def dialogues_front_matter(recipe: dict[str, Any]) -> dict[str, Any]:
    """The licence and the languages of dialogues. recipe: the one that they were built from."""
    languages = sorted({source["language"] for source in recipe["sources"]})
    return {"license": one_line(recipe["license"]), "language": languages}


def write_card(
    folder: Path,
    template: str,
    front_matter: dict[str, Any],
    words: dict[str, Any],
    about: dict[str, Any],
    statistics: Statistics,
) -> list[str]:
    """Fill in a template of data_cards/ and write the plot; returns their paths, relative to `folder`.

    words: the fields of the template that only this kind of data set has. about: the manifest without its files.
    """
    plot = "plots/timing.png"
    _write_plot(folder / plot, statistics)
    recipe, emitted = about["recipe"], about["ledger"][-1]["emitted"]
    parts = {"default": "data"}
    if any(counts["rejected"] for counts in about["ledger"]):
        parts["rejected"] = "rejected"  # `datasets` refuses to read a table without rows
    front = front_matter | {
        "size_categories": [next((name for most, name in SIZES if emitted < most), "n>1M")],
        "pretty_name": one_line(recipe["name"]),
        "configs": [
            {"config_name": name, "data_files": [{"split": "train", "path": f"{part}/*.parquet"}]}
            for name, part in parts.items()
        ],
    }
    fields = words | {
        "front_matter": Markdown(yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip()),
        "name": recipe["name"],
        "read_rejected": Markdown(READ_REJECTED if "rejected" in parts else ""),
        "dialogues": emitted,
        "ledger": _ledger(about["ledger"]),
        "statistics": _statistics(statistics),
        "plot": Markdown(plot),
        "seed": recipe["seed"],
        "version": about["software"]["duplexgen"],
    }
    text = fill((TEMPLATES / template).read_text(encoding="utf-8"), fields)
    with atomic_path(folder / CARD) as path:
        path.write_text(text, encoding="utf-8")
    return [CARD, plot]


def _sources(recipe: dict[str, Any], prints: dict[str, Any]) -> Markdown:
    rows = []
    for source in recipe["sources"]:
        read_from = (f"{markdown(name)} {code(value[:12])}" for name, value in prints[source["name"]].items() if value)
        cells = [source[key] for key in ("name", "shape", "language", "license")]
        rows.append([*cells, Markdown(", ".join(read_from))])
    return table(("source", "shape", "language", "licence", "read from"), rows)


def _acoustics(effects: list[dict[str, Any]], stages: dict[str, Any]) -> str:
    """What was done to the user's channel, in its order, and how many files of noise were left out."""
    if not effects:
        return "Nothing was done to it."
    prints = stages["tracks"]["shape"]["shaped_by"].get("effects", ())
    folders = [folder for one in prints for folder in one.get("folders", ())]
    left_out = sum(folder["left_out"] for folder in folders)
    files = f" Of the files of noise, {sum(folder['files'] for folder in folders):,} could be used, {left_out:,} not."
    named = ({key: value for key, value in effect.items() if key != "folders"} for effect in effects)  # paths are local
    listed = "; ".join(code(json.dumps(effect, ensure_ascii=False)) for effect in named)
    return f"The effects, in order: {listed}. {NUMBERED}{files if folders else ''}"


def _ledger(ledger: list[dict[str, Any]]) -> Markdown:
    figures = ("stage", "planned", "emitted", "rejected")
    rows = [
        [*(counts[key] for key in figures), _listed(counts["reasons"]), _listed(counts["notes"])] for counts in ledger
    ]
    return table((*figures, "why", "changed, not rejected"), rows)


def _listed(counts: dict[str, int]) -> str:
    """Names and their counts, the largest count first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _statistics(statistics: Statistics) -> Markdown:
    rows = []
    for _, tally in statistics.distributions():
        figures = (tally.mean, tally.least, tally.quantile(0.05), tally.quantile(0.5), tally.quantile(0.95), tally.most)
        rows.append([_label(tally), tally.count, *(f"{figure:.4g}" for figure in figures)])
    return table(("", "count", "mean", "least", "5 %", "median", "95 %", "most"), rows)


def _label(tally: Tally) -> str:
    unit = tally.quantity.unit
    return f"{tally.quantity.title} ({unit})" if unit else tally.quantity.title


def _write_plot(target: Path, statistics: Statistics) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tallies = [tally for name, tally in statistics.distributions() if name != TRANSFER_OFFSET]
    rows = -(-len(tallies) // PLOT_COLUMNS)
    figure = Figure(figsize=(11, 2.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, PLOT_COLUMNS, squeeze=False).flatten()
    for axis, tally in zip(axes, tallies, strict=False):
        axis.stairs(tally.histogram, tally.quantity.edges, fill=True, color="#3b6ea5")
        bins = tally.histogram.nonzero()[0]
        width = tally.quantity.edges[1] - tally.quantity.edges[0]
        axis.set_xlim(tally.quantity.edges[bins[0]] - 2 * width, tally.quantity.edges[bins[-1] + 1] + 2 * width)
        axis.set_title(plot_text(_label(tally)), fontsize=9)
        axis.set_ylabel("count", fontsize=8)
        axis.tick_params(labelsize=8)
    for axis in axes[len(tallies) :]:
        axis.set_axis_off()
    with atomic_path(target) as path:
        figure.savefig(path, format="png", dpi=110, metadata={"Software": None})
