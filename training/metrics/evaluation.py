"""Evaluating a model: its timing and, if the recipe says so, the words of its replies (BayLing-Duplex section 4.2)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...pipeline import __version__
from ...pipeline.dataset.reader import MANIFEST, Dataset
from ...pipeline.dialogue import BARGE_IN, KINDS
from ...pipeline.errors import UserError
from ...pipeline.measures.transcript import Recogniser
from ...pipeline.show.progress import Display
from ...pipeline.storage.atomic import file_sha256, write_json
from ...pipeline.storage.model_files import place
from ...pipeline.tokens.section import Tokens
from ...pipeline.tokens.speech.glm4voice_decoder import GLM4VoiceDecoder
from ..models.model import DuplexModel, load_model
from . import items
from .evaluation_report import write_plot
from .items import Item, Settings, Unmeasured
from .judge import S2S, Judge, Scale
from .metrics import (
    Aside,
    Figure,
    Interruption,
    Measured,
    Pause,
    TurnTaking,
    aside_figures,
    interruption_figures,
    pause_figures,
    turn_taking_figures,
)
from .recipe import EvaluationRecipe
from .scores import read_answers, scored
from .stimuli import count, opened
from .targets import PAUSE

FORMAT_VERSION = 2
RESULT = "evaluation.json"
PARTIAL = "evaluation.partial.json"  # only figures of timing, while the replies are being judged
AUDIO_FOLDER = "audio"
JUDGE_FOLDER = "judged"  # the judge's answers
Timing = TypeVar("Timing", bound=Measured)


@dataclass(frozen=True)
class Content:
    """What the words of replies are measured with, as far as the recipe asks for it."""

    recogniser: Recogniser | None = None
    judge: Judge | None = None
    answers: dict[str, list[str]] | None = None  # to spoken questions, by dialogue id

    @classmethod
    def of(cls, recipe: EvaluationRecipe, out: Path, scale: Scale = S2S) -> "Content":
        """scale: of the judge.

        Raises UserError if something that the recipe needs is missing: a package, a model, an endpoint, a file.
        """
        files = [read_answers(path) for path in recipe.answer_files]
        answers = {id_: accepted for file in files for id_, accepted in file.items()} if files else None
        judge = Judge(recipe.judge, out / JUDGE_FOLDER, scale=scale) if recipe.judge else None
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

    Raises UserError if the model or a set cannot be used, or `out` has results already: the first item is not run then.
    """
    if (out / RESULT).exists():
        raise UserError(f"{out / RESULT} is there already. Choose another folder with --out, or remove it.")
    decoder = settings.recipe.decoder
    model = load_model(folder, settings.device, settings.recipe.precision, place(decoder) if decoder else None)
    data_sets = opened(list(sets), model.format)
    content = Content.of(settings.recipe, out)
    result: dict[str, Any] = about(model, folder, data_sets, settings)
    result["items"], result["unmeasured"], result["figures"] = [], [], {}
    for data_set in data_sets:
        name = data_set.path.resolve().name
        timings: dict[tuple[str, str], Measured] = {}
        with display.counting(name, count(data_set, settings.limit)) as report:
            for done, item in enumerate(items.run(model, data_set, settings), start=1):
                report(done)
                if isinstance(item, Unmeasured):
                    result["unmeasured"].append(item.to_json())
                    continue
                timings[item.stimulus.dialogue_id, item.stimulus.kind] = item.measured
                result["items"].append(_row(item, model.format.sample_rate, content))
                if settings.recipe.keep_audio:
                    items.keep(item, out / AUDIO_FOLDER, model.format.sample_rate)
        # The order of items depends on the batch, and the bootstrap draws them by their place.
        ordered = [(kind, timings[id_, kind]) for id_, kind in sorted(timings)]
        result["figures"][name] = figures(ordered, settings.recipe.seed)
    result["items"].sort(key=lambda item: (item["set"], item["dialogue_id"], item.get("kind", "")))
    if content.judge or content.answers:
        write_json(out / PARTIAL, as_json(result))
        scored(result, content.judge, content.answers, settings.recipe.seed, display)
    write_json(out / RESULT, as_json(result))
    (out / PARTIAL).unlink(missing_ok=True)
    write_plot(result, out)
    return result


def _row(item: Item, sample_rate: int, content: Content) -> dict[str, Any]:
    row = item.to_json()
    if content.recogniser and item.stimulus.is_answered:
        (transcript,) = content.recogniser.transcribe([(items.reply(item), sample_rate)], skip_silence=True)
        row["reply"] = transcript.text
    return row


def figures(timings: Sequence[tuple[str, Measured]], seed: int) -> dict[str, Figure]:
    """Figures over the items of one set, each with its kind.

    Interruptions are counted together; then by kind, if there are kinds beside BARGE_IN. So are asides, by kind in any
    case. The name of a figure of one kind starts with the kind.
    """
    turns = [timing for _, timing in timings if isinstance(timing, TurnTaking)]
    pauses = [timing for _, timing in timings if isinstance(timing, Pause)]
    interruptions = [(kind, timing) for kind, timing in timings if isinstance(timing, Interruption)]
    asides = [(kind, timing) for kind, timing in timings if isinstance(timing, Aside)]
    return {
        **(turn_taking_figures(turns, seed) if turns else {}),
        **(_of_kind(PAUSE, pause_figures(pauses, seed)) if pauses else {}),
        **_together_and_by_kind(interruptions, interruption_figures, seed),
        **_together_and_by_kind(asides, aside_figures, seed),
    }


def _together_and_by_kind(
    timings: Sequence[tuple[str, Timing]], figures_of: Callable[[Sequence[Timing], int], dict[str, Figure]], seed: int
) -> dict[str, Figure]:
    if not timings:
        return {}
    together = figures_of([timing for _, timing in timings], seed)
    kinds = [kind for kind in KINDS if any(kind == own for own, _ in timings)]
    if kinds == [BARGE_IN]:
        return together
    for kind in kinds:
        together |= _of_kind(kind, figures_of([timing for own, timing in timings if own == kind], seed))
    return together


def _of_kind(kind: str, figures: dict[str, Figure]) -> dict[str, Figure]:
    return {f"{kind}.{name}": figure for name, figure in figures.items()}


def about(model: DuplexModel, folder: Path, sets: Sequence[Dataset], settings: Settings) -> dict[str, Any]:
    """What was evaluated, and how: the recipe, the limit, and checksums of the model, its decoder and each set."""
    files = sorted(path for pattern in ("*.safetensors", "*.json") for path in folder.glob(pattern))
    return {
        "format_version": FORMAT_VERSION,
        "software": __version__,
        "recipe": settings.recipe.model_dump(mode="json"),
        "limit": settings.limit,
        "device": settings.device,
        "model": {"name": folder.resolve().name, "files": {path.name: file_sha256(path) for path in files}},
        "decoder_sha256": decoder_checksum(model.format.tokens),
        "sets": {
            dataset.path.resolve().name: {"manifest_sha256": file_sha256(dataset.path / MANIFEST)} for dataset in sets
        },
    }


def decoder_checksum(tokens: Tokens) -> str | None:
    """Of GLM-4-Voice's decoder; None if the tokenizer needs none. Raises UserError if its folder is not whole."""
    section = tokens.glm4voice
    if section is None or section.decoder is None:
        return None
    return GLM4VoiceDecoder(place(section.decoder), section.device).checksum()


def as_json(result: dict[str, Any]) -> dict[str, Any]:
    """The result with its figures as plain values."""
    by_set = {
        name: {key: asdict(figure) for key, figure in of_set.items()} for name, of_set in result["figures"].items()
    }
    return result | {"figures": by_set}
