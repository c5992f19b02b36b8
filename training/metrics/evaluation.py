"""Evaluating a model: timing metrics, and where asked for what is said (BayLing-Duplex section 4.2)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...pipeline import __version__
from ...pipeline.dataset.reader import MANIFEST, Dataset
from ...pipeline.errors import UserError
from ...pipeline.show.progress import Display
from ...pipeline.storage.atomic import file_sha256, write_json
from ..models.model import DuplexModel, load_model
from . import items
from .evaluation_report import write_plot
from .items import Item, Settings, Unmeasured
from .judge import Judge
from .metrics import Figure, Interruption, TurnTaking, interruption_figures, turn_taking_figures
from .scores import read_answers, scored
from .stimuli import opened
from .transcribe import Transcriber

FORMAT_VERSION = 1
RESULT = "evaluation.json"
PARTIAL = "evaluation.partial.json"  # figures of timing alone, while what is said is being judged
AUDIO_FOLDER = "audio"


@dataclass(frozen=True)
class Content:
    """How what is said is looked at; all of it is off by default."""

    transcriber: Transcriber | None = None
    judge: Judge | None = None
    answers: dict[str, list[str]] | None = None  # of spoken questions, by dialogue id


def content_of(whisper: str | None, judge_url: str | None, judge_model: str | None, answers: Path | None) -> Content:
    """What was asked for; raises UserError if it cannot be had."""
    if (judge_url is None) != (judge_model is None):
        raise UserError("a judge needs both --judge, its endpoint, and --judge-model, the name of the model there.")
    if (judge_url or answers) and whisper is None:
        raise UserError("--judge and --answers look at transcripts: say with what to make them, --transcripts large-v3")
    return Content(
        Transcriber(whisper) if whisper else None,
        Judge(judge_url, judge_model) if judge_url and judge_model else None,
        read_answers(answers) if answers else None,
    )


def evaluate(
    folder: Path,
    sets: Sequence[Path],
    out: Path,
    settings: Settings,
    content: Content,
    keep_audio: bool,
    display: Display,
) -> dict[str, Any]:
    """Run a model over evaluation sets and write evaluation.json and a plot to `out`; returns what the JSON says.

    Raises UserError before any work if the model or a set cannot be used, or `out` has results already.
    """
    if (out / RESULT).exists():
        raise UserError(f"{out / RESULT} is there already. Choose another folder with --out, or remove it.")
    model = load_model(folder, settings.device, settings.precision)
    data_sets = opened(list(sets), model.format)
    result: dict[str, Any] = about(model, folder, data_sets, settings)
    result["items"], result["unmeasured"], result["figures"] = [], [], {}
    for data_set in data_sets:
        name = data_set.path.resolve().name
        rows = data_set.manifest.rows
        measured: dict[str, TurnTaking | Interruption] = {}
        with display.counting(name, min(rows, settings.limit or rows)) as report:
            for done, found in enumerate(items.run(model, data_set, settings), start=1):
                report(done)
                if isinstance(found, Unmeasured):
                    result["unmeasured"].append(asdict(found))
                    continue
                measured[found.stimulus.dialogue_id] = found.measured
                result["items"].append(_row(found, model.format.sample_rate, content))
                if keep_audio:
                    items.keep(found, out / AUDIO_FOLDER, model.format.sample_rate)
        # Items come in an order that depends on the batch, and the bootstrap draws them by their place.
        result["figures"][name] = figures([measured[one] for one in sorted(measured)], settings.seed)
    result["items"].sort(key=lambda item: (item["set"], item["dialogue_id"]))
    if content.judge or content.answers:
        write_json(out / PARTIAL, as_json(result))
        scored(result, content.judge, content.answers, settings.seed, display)
    write_json(out / RESULT, as_json(result))
    (out / PARTIAL).unlink(missing_ok=True)
    write_plot(result, out)
    return result


def _row(item: Item, sample_rate: int, content: Content) -> dict[str, Any]:
    row = item.to_json()
    if content.transcriber:
        row["reply"] = content.transcriber.transcribe(items.reply(item), sample_rate)
    return row


def figures(measured: Sequence[TurnTaking | Interruption], seed: int) -> dict[str, Figure]:
    """Of the items of one set."""
    turns = [found for found in measured if isinstance(found, TurnTaking)]
    barge_ins = [found for found in measured if isinstance(found, Interruption)]
    return {
        **(turn_taking_figures(turns, seed) if turns else {}),
        **(interruption_figures(barge_ins, seed) if barge_ins else {}),
    }


def about(model: DuplexModel, folder: Path, sets: Sequence[Dataset], settings: Settings) -> dict[str, Any]:
    """What the figures are of: settings, and checksums of the model and of each set."""
    files = sorted(path for pattern in ("*.safetensors", "*.json") for path in folder.glob(pattern))
    return {
        "format_version": FORMAT_VERSION,
        "software": __version__,
        "settings": {name: value for name, value in asdict(settings).items() if name != "batch"},
        "model": {"name": folder.resolve().name, "files": {path.name: file_sha256(path) for path in files}},
        "sets": {
            dataset.path.resolve().name: {"manifest_sha256": file_sha256(dataset.path / MANIFEST)} for dataset in sets
        },
    }


def as_json(result: dict[str, Any]) -> dict[str, Any]:
    """The result with its figures as plain values."""
    by_set = {name: {key: asdict(found) for key, found in of.items()} for name, of in result["figures"].items()}
    return result | {"figures": by_set}
