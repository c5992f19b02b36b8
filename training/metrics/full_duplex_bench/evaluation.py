"""Full-Duplex-Bench over a model: its items are played, and scored from the outputs.

    find the items ──▶ load the model ──▶ play those that have no outputs ──▶ score the outputs ──▶ evaluation.json

The outputs of an item count once its folder is whole, so a run that was stopped continues. Scores are computed anew
each time.
"""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from ....pipeline.errors import DialogueRejected, UserError
from ....pipeline.show.progress import Display
from ....pipeline.storage.atomic import file_sha256, locked, write_json
from ....pipeline.storage.model_files import place
from ....pipeline.storage.places import check_out, is_inside
from ...models.model import DuplexModel, load_model
from ..evaluation import RESULT, Content, about, as_json
from ..items import Settings, Unmeasured
from ..recipe import EvaluationRecipe
from . import COMMIT
from .inputs import INPUT, Item, found, read_json
from .outputs import is_there, missing, write
from .scores import RELATION, figures, judged, read_people, scored

RUN = "run.json"  # what the outputs are of
SHAPING = ("seed", "temperature", "top_p", "precision", "transcripts")  # keys of the recipe that change outputs


def evaluate(folder: Path, root: Path, out: Path, settings: Settings, display: Display) -> dict[str, Any]:
    """Run a model over the items in `root`; write outputs and evaluation.json to `out`; return what the JSON says.

    Raises UserError if the model or the folder cannot be used, if `out` has something else, or if what the recipe
    needs is missing: nothing is played then.
    """
    recipe = settings.recipe
    _check(recipe, root, out)
    items, left_out = found(root, settings.limit)
    people = read_people(Path(recipe.icc_gt_distribution).expanduser()) if recipe.icc_gt_distribution else None
    decoder = place(recipe.decoder) if recipe.decoder else None
    model = load_model(folder, settings.device, recipe.precision, decoder)
    result = about(model, folder, [], settings)
    with locked(out.parent / f".{out.name}.lock", f"{out} is being written by another process"):
        _check_run(out, result)
        content = Content.of(recipe, out, RELATION)
        write_json(out / RUN, _run(result))
        unplayed = _played(model, items, out, settings, content, display)
        finished = [item for item in items if is_there(item, out)]
        rows, unread = scored(finished, out, people)
        if content.judge:
            judged(rows, content.judge, display)
        result |= {
            "full_duplex_bench": {"commit": COMMIT},
            "sets": _sets(finished),
            "items": rows,
            "unmeasured": [one.to_json() for one in (*left_out, *unplayed, *unread)],
            "figures": {
                name: figures([row for row in rows if row["set"] == name], recipe.seed) for name in _names(rows)
            },
        }
        write_json(out / RESULT, as_json(result))
    return result


def notes(result: dict[str, Any]) -> list[str]:
    """What a reader of the table has to know: whether words were heard, and why a figure is missing."""
    lines = list[str]()
    wordless = Counter(row["set"] for row in result["items"] if row.get("words", 0) is None)
    if wordless:
        sets = ", ".join(f"{name} ({count} items)" for name, count in wordless.items())
        lines.append(
            f"without words: {sets}. Segments of speech stand in their place, and the duration alone tells a turn. For "
            "words, use a recipe with `transcripts`, such as full_duplex_bench, or run the benchmark's asr.py over the "
            "outputs, and then this command again."
        )
    if any(row.get("jsd", 0) is None for row in result["items"]):
        lines.append(
            "without JSD: items of backchannels. It needs people's times, `icc_gt_distribution:` in the recipe: the "
            "file of that name in v1_v1.5/evaluation of the benchmark's repository has them for its own items."
        )
    return lines


def _check(recipe: EvaluationRecipe, root: Path, out: Path) -> None:
    for key in ("answers", "tables"):
        if getattr(recipe, key) is not None:
            raise UserError(f"the recipe {recipe.name} says {key}, which is for data sets. Use full_duplex_bench.")
    check_out(out)
    if is_inside(out, root) or is_inside(root, out):
        raise UserError(f"{out} and {root} are not apart: the inputs stay as they are. Choose another --out.")


def _run(result: dict[str, Any]) -> dict[str, Any]:
    """What changes the outputs."""
    shaping = {key: result["recipe"][key] for key in SHAPING}
    return shaping | {"model": result["model"]["files"], "decoder": result["decoder_sha256"], "commit": COMMIT}


def _check_run(out: Path, result: dict[str, Any]) -> None:
    """Raise UserError if the folder has anything but outputs of this model and recipe."""
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        stored = read_json(out / RUN)
    except DialogueRejected:
        stored = None
    if not isinstance(stored, dict):
        raise UserError(f"{out} has something else than outputs of Full-Duplex-Bench. Choose another --out.")
    if other := [key for key, value in _run(result).items() if stored.get(key) != value]:
        raise UserError(f"{out} has outputs with another {', '.join(other)}. Choose another --out, or remove it.")


def _played(
    model: DuplexModel, items: Sequence[Item], out: Path, settings: Settings, content: Content, display: Display
) -> list[Unmeasured]:
    """Play the items that have no outputs; returns those that cannot be played."""
    todo = missing(items, out)
    there = len(items) - len(todo)
    unplayed = list[Unmeasured]()
    with display.counting("played", len(items)) as report:
        report(there)
        for done, item in enumerate(write(model, todo, out, settings, content.recogniser), start=there + 1):
            report(done)
            if isinstance(item, Unmeasured):
                unplayed.append(item)
    return unplayed


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["set"] for row in rows))


def _sets(items: Sequence[Item]) -> dict[str, Any]:
    """How many items each folder has, and a checksum of their inputs."""
    sets = dict[str, Any]()
    for name in dict.fromkeys(item.set_name for item in items):
        own = [item for item in items if item.set_name == name]
        digests = "".join(f"{item.id} {file_sha256(item.folder / INPUT)}\n" for item in own)
        inputs = sha256(digests.encode("utf-8", "backslashreplace")).hexdigest()
        sets[name] = {"task": own[0].task.value, "items": len(own), "inputs_sha256": inputs}
    return sets
