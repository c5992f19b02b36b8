"""Evaluating a model: timing metrics, and where asked for what is said (BayLing-Duplex section 4.2)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...pipeline import __version__
from ...pipeline.dataset.reader import MANIFEST, Dataset
from ...pipeline.errors import UserError
from ...pipeline.measures.transcript import Recogniser
from ...pipeline.show.progress import Display
from ...pipeline.storage.atomic import file_sha256, write_json
from ..models.model import DuplexModel, load_model
from . import items
from .evaluation_report import write_plot
from .items import Item, Settings, Unmeasured
from .judge import Judge
from .metrics import Figure, Interruption, TurnTaking, interruption_figures, turn_taking_figures
from .recipe import EvaluationRecipe
from .scores import read_answers, scored
from .stimuli import opened

FORMAT_VERSION = 2
RESULT = "evaluation.json"
PARTIAL = "evaluation.partial.json"  # figures of timing alone, while what is said is being judged
AUDIO_FOLDER = "audio"
JUDGED = "judged"  # a folder: what the judge has answered


@dataclass(frozen=True)
class Content:
    """How what is said is looked at, where the recipe asks for it."""

    recogniser: Recogniser | None = None
    judge: Judge | None = None
    answers: dict[str, list[str]] | None = None  # of spoken questions, by dialogue id

    @classmethod
    def of(cls, recipe: EvaluationRecipe, out: Path) -> "Content":
        """Raises UserError if what is asked for cannot be had: packages, a model, an endpoint that answers, a file."""
        answers = read_answers(Path(recipe.answers).expanduser()) if recipe.answers else None
        judge = Judge(recipe.judge, out / JUDGED) if recipe.judge else None
        if judge:
            judge.check()
        return cls(Recogniser(recipe.transcripts.whisper, None) if recipe.transcripts else None, judge, answers)


def evaluate(
    folder: Path,
    sets: Sequence[Path],
    out: Path,
    settings: Settings,
    display: Display,
) -> dict[str, Any]:
    """Run a model over evaluation sets and write evaluation.json and a plot to `out`; returns what the JSON says.

    Raises UserError before any work if the model or a set cannot be used, or `out` has results already.
    """
    if (out / RESULT).exists():
        raise UserError(f"{out / RESULT} is there already. Choose another folder with --out, or remove it.")
    model = load_model(folder, settings.device, settings.recipe.precision)
    data_sets = opened(list(sets), model.format)
    content = Content.of(settings.recipe, out)
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
                if settings.recipe.keep_audio:
                    items.keep(found, out / AUDIO_FOLDER, model.format.sample_rate)
        # Items come in an order that depends on the batch, and the bootstrap draws them by their place.
        result["figures"][name] = figures([measured[one] for one in sorted(measured)], settings.recipe.seed)
    result["items"].sort(key=lambda item: (item["set"], item["dialogue_id"]))
    if content.judge or content.answers:
        write_json(out / PARTIAL, as_json(result))
        scored(result, content.judge, content.answers, settings.recipe.seed, display)
    write_json(out / RESULT, as_json(result))
    (out / PARTIAL).unlink(missing_ok=True)
    write_plot(result, out)
    return result


def _row(item: Item, sample_rate: int, content: Content) -> dict[str, Any]:
    row = item.to_json()
    if content.recogniser:
        (heard,) = content.recogniser.transcribe([(items.reply(item), sample_rate)], skip_silence=True)
        row["reply"] = heard.text
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
    """What the figures are of: the recipe, how much was run, and checksums of the model and of each set."""
    files = sorted(path for pattern in ("*.safetensors", "*.json") for path in folder.glob(pattern))
    return {
        "format_version": FORMAT_VERSION,
        "software": __version__,
        "recipe": settings.recipe.model_dump(mode="json"),
        "limit": settings.limit,
        "device": settings.device,
        "model": {"name": folder.resolve().name, "files": {path.name: file_sha256(path) for path in files}},
        "sets": {
            dataset.path.resolve().name: {"manifest_sha256": file_sha256(dataset.path / MANIFEST)} for dataset in sets
        },
    }


def as_json(result: dict[str, Any]) -> dict[str, Any]:
    """The result with its figures as plain values."""
    by_set = {name: {key: asdict(found) for key, found in of.items()} for name, of in result["figures"].items()}
    return result | {"figures": by_set}
