"""What a training recipe needs and this machine lacks, and how much memory and time training takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel

from ..pipeline.dataset.dialogues import DIALOGUES
from ..pipeline.dataset.schema import SIDES
from ..pipeline.errors import UserError
from ..pipeline.pairs.kind import PREFERENCES
from ..pipeline.recipe.file import find, read, validate
from ..pipeline.show.findings import Finding
from .data import Batches, TrainingData
from .devices import check_precision, machine_bytes
from .memory import Sizes, loading, memory, operations
from .models.lora import adapt, new_ids
from .models.networks import outline
from .packing import PackedData
from .recipe import TRAINING_RECIPES, Common, DPORecipe, SFTRecipe
from .sequences import SequenceFormat

GPUS = (1, 8, 32)
GB, TERA = 1e9, 1e12
ASSUMED_TFLOPS = 400.0  # of a GPU: 40 % of what an H100 has in bf16. Nobody has measured it with these models
ASSUMED_LONGEST = 4096  # positions, as long as there are no data
MODEL_NEEDED = "Expected a folder with config.json and weights (*.safetensors), or the name of a model of the Hub."


@dataclass(frozen=True)
class Work:
    """What the data sets of a recipe are to a model."""

    format: SequenceFormat
    longest: int  # positions of a row
    rows: int  # per epoch
    positions: float  # per epoch


def examine(name: str) -> Iterator[Finding]:
    """Check everything that training by a recipe needs. Loads no weights and writes nothing.

    Raises UserError if there is no such recipe, or if it is not YAML.
    """
    file = read(find(name, TRAINING_RECIPES), TRAINING_RECIPES)
    recipe, mistakes = validate(file, DPORecipe if isinstance(file.raw.get("model"), str) else SFTRecipe)
    yield from (Finding("recipe", False, str(mistake)) for mistake in mistakes)
    if recipe is None or mistakes:
        return
    yield Finding("recipe", True, str(file.path))
    if recipe.lora and find_spec("peft") is None:
        yield Finding("packages", False, "`lora` needs peft: pip install 'duplexgen[train]'")
    work: Work | None = None
    try:
        work = _work(recipe)
        says = f"{work.rows:,} rows per epoch, {work.positions:,.0f} positions, {work.longest:,} in the longest"
        yield Finding("data", True, says)
    except UserError as error:
        yield Finding("data", False, str(error))
    try:
        sizes = Sizes.of(_outlined(recipe, work))
    except UserError as error:
        yield Finding("model", False, str(error))
        return
    yield Finding("model", *_weights(recipe, sizes))
    yield from _memory(recipe, sizes, work)
    if work:
        yield Finding("time", True, _time(recipe, sizes, work))
    yield from _here(recipe, sizes, work)


def _work(recipe: Common) -> Work:
    """Raises UserError if a data set is missing, or if they do not go together."""
    sides = [f"{side}_" for side in SIDES] if isinstance(recipe, DPORecipe) else [""]
    data = TrainingData(recipe.data_folders, PREFERENCES if isinstance(recipe, DPORecipe) else DIALOGUES, sides)
    columns = recipe.optimization.pack_columns
    rows = data if columns is None else PackedData(data, columns, recipe.seed)
    batches = Batches(rows, recipe.seed, recipe.optimization.batch_size, recipe.optimization.shuffle_rows, recipe.mix)
    taken = batches.rows_per_epoch
    means = [
        sum(int(group.lengths.sum()) for group in groups) / sum(len(group.lengths) for group in groups)
        for groups in rows.groups
    ]
    positions = sum(count * mean for count, mean in zip(taken, means, strict=True)) * len(sides)
    return Work(data.format, rows.longest, sum(taken), positions)


def _start(recipe: Common) -> tuple[str | None, dict[str, Any] | None]:
    """What the recipe starts from: the name of a model, or a configuration."""
    if isinstance(recipe, DPORecipe):
        return recipe.model, None
    assert isinstance(recipe, SFTRecipe)
    return recipe.model.pretrained, recipe.model.config


def _outlined(recipe: Common, work: Work | None) -> PreTrainedModel:
    """The network, without memory. Raises UserError if nothing can be said of it."""
    pretrained, config = _start(recipe)
    depth = recipe.model.depth if isinstance(recipe, SFTRecipe) else None
    if work is None and pretrained is None:
        raise UserError("it is made for the vocabulary of its data: nothing can be said of it without them.")
    try:
        if pretrained is None:
            assert config and work
            configuration: Any = AutoConfig.for_model(**config, vocab_size=work.format.size)
        else:
            configuration = AutoConfig.from_pretrained(pretrained, trust_remote_code=False)
        text = configuration.get_text_config()
        if work:
            text.vocab_size = max(text.vocab_size, work.format.size)
        network = outline(configuration, work.format if work else None, depth)
    except Exception as error:  # classes of transformers may raise any error for strange configurations
        raise UserError(f"{pretrained or config}: {str(error).splitlines()[0]} {MODEL_NEEDED}") from error
    if recipe.lora and find_spec("peft"):
        new = new_ids(work.format) if work else []
        adapt(network, recipe.lora, new, recipe.seed, recipe.optimization.precision)
    return network


def _weights(recipe: Common, sizes: Sizes) -> tuple[bool, str]:
    pretrained, _ = _start(recipe)
    trained = "" if sizes.trained == sizes.weights else f", {sizes.trained / 1e6:,.1f} million of them trained"
    says = f"{pretrained or 'random weights'}: {sizes.weights / 1e6:,.1f} million weights{trained}"
    if pretrained and Path(pretrained).is_dir() and not list(Path(pretrained).glob("*.safetensors")):
        return False, f"{says}, which are not there. {MODEL_NEEDED}"
    return True, says


def _memory(recipe: Common, sizes: Sizes, work: Work | None) -> Iterator[Finding]:
    longest = work.longest if work else ASSUMED_LONGEST
    if not work:
        yield Finding("memory", True, f"reckoned for rows of {longest:,} positions, as the data are not there")
    for devices in GPUS:
        need = memory(sizes, recipe, longest, devices, _sides(recipe))
        parts = ", ".join(f"{name} {size / GB:,.1f}" for name, size in vars(need).items())
        plural = "GPU" if devices == 1 else "GPUs"
        yield Finding("memory", True, f"{devices:2} {plural}: {need.total / GB:,.1f} GB each: {parts}")


def _sides(recipe: Common) -> int:
    return len(SIDES) if isinstance(recipe, DPORecipe) else 1


def _time(recipe: Common, sizes: Sizes, work: Work) -> str:
    settings = recipe.optimization
    epochs = settings.epochs or (settings.steps or 0) * settings.batch_size / work.rows
    mean = work.positions / work.rows / _sides(recipe)
    hours = epochs * operations(sizes, recipe, int(work.positions), mean) / (ASSUMED_TFLOPS * TERA) / 3600
    spans = ", ".join(f"{hours / devices:,.1f} h on {devices}" for devices in GPUS)
    return (
        f"{epochs:.3g} epochs: {hours:,.1f} GPU-hours ({spans}), if a GPU reaches {ASSUMED_TFLOPS:g} TFLOP/s, which is "
        "assumed and not measured"
    )


def _here(recipe: Common, sizes: Sizes, work: Work | None) -> Iterator[Finding]:
    """What this machine has: its GPUs, and memory to load the model."""
    count = torch.cuda.device_count()
    loaded, room = loading(sizes, recipe, max(1, count)), machine_bytes()
    who = "one process loads the whole model" if recipe.optimization.sharded else "each process loads the whole model"
    says = f"{who}, {loaded / GB:,.1f} GB in all; this machine has {room / GB:,.1f} GB of memory"
    yield Finding("machine", loaded <= room, says)
    if not count:
        return
    try:
        check_precision(recipe.optimization.precision, "optimization.precision: fp32")
    except UserError as error:
        yield Finding("gpu", False, str(error))
    need = memory(sizes, recipe, work.longest if work else ASSUMED_LONGEST, count, _sides(recipe)).total
    room = torch.cuda.get_device_properties(0).total_memory
    advice = "" if need <= room else ": set optimization.sharded, gradient_checkpointing or a smaller micro_batch_size"
    says = (
        f"{count} × {torch.cuda.get_device_name()}, {room / GB:,.1f} GB each, of which training takes {need / GB:,.1f}"
    )
    yield Finding("gpu", need <= room, says + advice)
