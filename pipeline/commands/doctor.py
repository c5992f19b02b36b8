"""What a recipe needs and this machine lacks, and how to get it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from ..acoustics.effects import make_effects
from ..dataset.recipe import Recipe
from ..errors import UserError
from ..events.writers import make_writer
from ..recipe.file import Problem, RecipeFile
from ..rewriting.rewriters import REWRITERS
from ..show.findings import Finding
from ..speech.engines import ENGINES
from ..stages.speech import SpeechStage
from ..storage.objects import ObjectPath, Place
from ..storage.places import deepest
from ..storage.targets import target_of
from ..tokens.tokenizers import SPEECH_TOKENIZERS
from . import checking

GB = 1e9
SPEECH_GB_PER_HOUR = 0.1  # FLAC at 24 kHz, one channel: 61 to 96 MB measured
AUDIO_GB_PER_HOUR = 0.06  # of dialogue as FLAC at 16 kHz, two channels: 54 to 61 MB measured
TOKENS_GB_PER_HOUR = 0.001  # of dialogue without audio: 0.4 to 0.8 MB measured
LEAST_FREE_GB = 1.0


def examine(name: str, places: Callable[[str], tuple[Place, Path]]) -> Iterator[Finding]:
    """Check everything that a build of a recipe needs. Loads no model and speaks nothing. It writes nothing but
    checksums of files, to the user's cache folder.

    places: gives the folders of the data set and of the stages for the name of a recipe.
    Raises UserError if there is no such recipe, or if it is not YAML.
    """
    file, recipe, mistakes = checking.examine(name)
    for mistake in mistakes:
        yield Finding("recipe", False, str(mistake))
    if not mistakes:
        yield Finding("recipe", True, f"{file.path}: all parts that it names are here")
    if recipe:
        yield from _endpoints(recipe, file)
        yield from _gpus(recipe)
    if recipe and not mistakes:
        yield from _effects(recipe)
    out, work = places(recipe.name if recipe else file.path.stem)
    try:
        target_of(out, work).check()
    except UserError as error:
        yield Finding("folders", False, str(error))
    yield from _disk(recipe, out, work)


def _endpoints(recipe: Recipe, file: RecipeFile) -> Iterator[Finding]:
    problems: list[tuple[str, Problem]] = []
    if recipe.rewriting.engine in REWRITERS:
        rewriter = REWRITERS[recipe.rewriting.engine](recipe.rewriting)
        problems += (("rewriting", problem) for problem in rewriter.probe())
    if recipe.events:
        writer = make_writer(recipe.events, recipe.rewriting, recipe.seed)
        problems += (("events", problem) for problem in writer.probe())
    for part, (location, message) in problems:
        yield Finding(part, False, str(file.mistake(location, message)))


def _effects(recipe: Recipe) -> Iterator[Finding]:
    """What effects use; files of noise are read, which may take minutes the first time."""
    for effect in make_effects(recipe.acoustics):
        try:
            yield from (Finding(effect.name, True, line) for line in effect.about())
        except UserError as error:
            yield Finding(effect.name, False, str(error))


def _gpus(recipe: Recipe) -> Iterator[Finding]:
    shares = {}
    if recipe.speech.engine in ENGINES:
        shares["speech"] = SpeechStage(recipe.speech, recipe.seed).num_gpus
    if recipe.tokens.speech_tokenizer in SPEECH_TOKENIZERS:
        shares["tokens"] = SPEECH_TOKENIZERS[recipe.tokens.speech_tokenizer](recipe.tokens).num_gpus
    parts = [part for part, share in shares.items() if share]
    if not parts:
        return
    asks = f"{parts[0]} asks" if len(parts) == 1 else f"{' and '.join(parts)} ask"
    if address := os.environ.get("RAY_ADDRESS"):
        yield Finding("gpu", True, f"{asks} for a GPU of the cluster at {address}")
        return
    gpus = _gpus_here()
    least = sum(shares.values())  # all stages run at the same time, with at least one actor each
    if least <= len(gpus):
        yield Finding("gpu", True, ", ".join(gpus))
        return
    yield Finding(
        "gpu",
        False,
        f"{asks} for at least {least:g} GPUs, and this machine has {len(gpus) or 'none'}. Set RAY_ADDRESS to "
        "a cluster that has them, or num_gpus to a smaller share, or to 0 to use the processor.",
    )


def _gpus_here() -> list[str]:
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return result.stdout.strip().splitlines() if result.returncode == 0 else []


def _disk(recipe: Recipe | None, out: Place, work: Path) -> Iterator[Finding]:
    with_audio = recipe is None or recipe.output.audio == "flac"
    gb_per_hour = AUDIO_GB_PER_HOUR if with_audio else TOKENS_GB_PER_HOUR
    folders = [(work, f"one hour of speech takes {SPEECH_GB_PER_HOUR:g} GB, one hour of dialogue {gb_per_hour:g} GB")]
    if not isinstance(out, ObjectPath):
        folders.append((out, f"one hour of dialogue takes {gb_per_hour:g} GB"))
    for folder, takes in folders:
        parent = deepest(folder)
        if not os.access(parent, os.W_OK | os.X_OK):
            yield Finding("folders", False, f"{folder}: {parent} is not writable. Choose another folder, or allow it.")
        free_gb = shutil.disk_usage(parent).free / GB
        is_well = free_gb >= LEAST_FREE_GB
        advice = "" if is_well else f". Expected at least {LEAST_FREE_GB:g} GB: make room, or choose another folder"
        yield Finding("disk", is_well, f"{folder}: {free_gb:.{0 if is_well else 2}f} GB free; {takes}{advice}")
