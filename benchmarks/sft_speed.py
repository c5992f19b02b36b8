"""Tokens per second of SFT beside a plain transformers Trainer: same model, data, batch size, precision and device.

    python -m benchmarks.sft_speed out/train_turn_taking [--steps 30] [--recipe sft_small]

Each run trains in a process of its own, ours first. Tokens are those of the sequences, without padding. The first steps
are not counted. The Trainer pads each batch to its longest row, takes rows in random order or, in the third line, those
of similar length together, and computes the plain mean loss over the same positions (labels of the user's positions are
-100). It keeps no losses by kind and no weights.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

SKIPPED_STEPS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="train on the data set in this folder")
    parser.add_argument("--steps", type=int, default=30, help="train for this many steps")
    parser.add_argument("--recipe", default="sft_small", help="train by this recipe")
    parser.add_argument("--only", choices=MEASURED, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(MEASURED[arguments.only](arguments.data.resolve(), arguments.steps, arguments.recipe)))
        return
    speeds = {}
    print(f"{'':18} {'tokens/s':>10} {'memory MB':>10}")
    for name in MEASURED:
        command = [sys.executable, "-m", "benchmarks.sft_speed", *sys.argv[1:], "--only", name]
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        measured = json.loads(process.stdout.splitlines()[-1])
        speeds[name] = measured["tokens"] / measured["seconds"]
        print(f"{name:18} {speeds[name]:10,.0f} {measured['memory_mb']:10,.0f}", flush=True)
    for name in (TRAINER, BY_LENGTH):
        print(f"ours / {name}: {speeds['ours'] / speeds[name]:.2f}   (wanted: at least 1.0)")


def ours(data: Path, steps: int, name: str) -> dict[str, float]:
    from duplexgen.pipeline.show.progress import Display
    from duplexgen.training.data import Batches
    from duplexgen.training.objectives.sft import train_sft

    recipe = _recipe(data, steps, name)
    lengths: list[int] = []
    from_step = Batches.from_step

    def counted(self: Batches, step: int) -> Iterator[Any]:
        for batch in from_step(self, step):
            lengths.append(sum(row.num_positions for row in batch))
            yield batch

    Batches.from_step = counted  # type: ignore[method-assign]
    clock = _Clock()

    class Timed(Display):
        @contextmanager
        def training(self, steps: int, start: int) -> Iterator[Any]:
            yield lambda done, figures: clock.step(done)

    with tempfile.TemporaryDirectory() as folder:
        train_sft(recipe, Path(folder) / "run", Timed())
    return _measured(lengths, clock)


def trainer(data: Path, steps: int, name: str, sampling: str = "random") -> dict[str, float]:
    import torch
    from datasets import load_dataset
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from duplexgen.training.batch import USER_KIND
    from duplexgen.training.models.start import start_from_config
    from duplexgen.training.sequences import SequenceFormat

    recipe = _recipe(data, steps, name)
    sequence_format = SequenceFormat.read(data)
    network = start_from_config(recipe.model.config or {}, sequence_format, recipe.seed)
    lengths: list[int] = []
    clock = _Clock()

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        lengths.append(sum(len(row["input_ids"]) for row in rows))
        longest = max(len(row["input_ids"]) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for index, row in enumerate(rows):
            sequence = torch.tensor(row["input_ids"])
            ids[index, : len(sequence)] = sequence
            labels[index, : len(sequence)] = sequence.masked_fill(sequence_format.kinds_of(sequence) == USER_KIND, -100)
        return {"input_ids": ids, "labels": labels}

    class Timed(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            clock.step(state.global_step)

    settings = recipe.optimization
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=settings.micro_batch_size,
            gradient_accumulation_steps=settings.batch_size // settings.micro_batch_size,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="cosine",
            bf16=settings.precision == "bf16",
            use_cpu=not torch.cuda.is_available(),
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            remove_unused_columns=False,
            train_sampling_strategy=sampling,
            length_column_name="num_blocks",
        )
        columns = ["input_ids", "num_blocks"]
        rows = load_dataset("parquet", data_files=str(data / "data/*.parquet"), split="train", columns=columns)
        Trainer(network, arguments, collate, rows, callbacks=[Timed()]).train()
    micro = settings.batch_size // settings.micro_batch_size
    return _measured([sum(lengths[at : at + micro]) for at in range(0, micro * steps, micro)], clock)


TRAINER, BY_LENGTH = "Trainer", "Trainer, by length"
MEASURED: dict[str, Callable[[Path, int, str], dict[str, float]]] = {
    "ours": ours,
    TRAINER: trainer,
    BY_LENGTH: partial(trainer, sampling="group_by_length"),
}


class _Clock:
    def __init__(self) -> None:
        self.times: dict[int, float] = {}

    def step(self, done: int) -> None:
        self.times[done] = time.monotonic()


def _recipe(data: Path, steps: int, name: str) -> Any:
    from duplexgen.pipeline.recipe.file import load
    from duplexgen.training.recipe import TRAINING_RECIPES, SFTRecipe

    recipe, _ = load(name, SFTRecipe, TRAINING_RECIPES)
    settings = recipe.optimization.model_copy(update={"steps": steps, "epochs": None, "checkpoint_every": steps + 1})
    return recipe.model_copy(update={"data": [str(data)], "optimization": settings})


def _measured(lengths: list[int], clock: _Clock) -> dict[str, float]:
    import torch

    steps = max(clock.times)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated() / 2**20
    seconds = clock.times[steps] - clock.times[SKIPPED_STEPS]
    return {"tokens": sum(lengths[SKIPPED_STEPS:steps]), "seconds": seconds, "memory_mb": memory}


if __name__ == "__main__":
    main()
