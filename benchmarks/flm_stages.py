"""FLM-Audio in small: its stages, one after the other, with held-out losses by kind and the timing of what comes out.

    python -m benchmarks.flm_stages [--out out/flm_stages] [--seed 1] [--long]

Everything comes from the shipped corpus and voices. Models are measured on dialogues that share no text and no user's
voice with what they train on. The last stage is trained twice: after fine-tuning 1, and without it (table 6 of the
paper). Beside them stands BayLing-Duplex's layout, trained on the same spoken dialogues. With --long, all of them train
on the dialogues of train_long instead: twenty times as many words, each said fewer times. After a kill, the same
command continues: each step is a command of `duplexgen`, which does nothing twice.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.bench import MEASURED_ON, TRAINED_ON, Bench, over_long_replies, parser, with_interval
from duplexgen.pipeline.dataset.dialogues import DIALOGUES
from duplexgen.pipeline.recipe.file import load
from duplexgen.training.data import TrainingData
from duplexgen.training.models.model import load_model
from duplexgen.training.models.start import start
from duplexgen.training.objectives.sft import SFT
from duplexgen.training.recipe import TRAINING_RECIPES, SFTRecipe

ROWS_AT_ONCE = 8
BAYLING = "sft"  # the folder of BayLing-Duplex's layout, trained as paper_tables does
LONG_TAKES = {"train_flm_fine_tuning_2": 3} | dict.fromkeys(TRAINED_ON, 3)
"""How many times each dialogue of train_long is laid out, by what ships; once in the others."""
FIGURES = (
    ("TT SR@3s, %", "tt_sr_3s", 100),
    ("reply delay, s", "reply_delay_s", 1),
    ("no reply, %", "no_reply_share", 100),
    ("Overlap, s", "overlap_s", 1),
    ("Overlap, if speaking, s", "overlap_speaking_s", 1),
    ("ISR@2s, %", "isr_2s", 100),
    ("second question answered, %", "answered_3s", 100),
)


@dataclass(frozen=True)
class Stage:
    """One training: a shipped recipe, what it trains on, and which held-out rows tell what it learned."""

    folder: str
    recipe: str
    data: tuple[str, ...]
    held_out: tuple[str, ...]
    after: str | None = None  # the folder of the stage before


PIECES = {"scenario": "pieces", "silence_s": [0.5, 2.0]}
HELD_OUT: dict[str, tuple[str, dict[str, Any], str]] = {
    "held_out_tts": ("held_out_turn_taking", PIECES | {"channel": "assistant"}, "tts"),
    "held_out_asr": ("held_out_turn_taking", PIECES | {"channel": "user"}, "asr"),
    "held_out_fine_tuning_1": ("held_out_turn_taking", {"scenario": "semi_duplex"}, "asr_response_tts"),
    "held_out_fine_tuning_2": (
        "held_out_interruption",
        {  # as in training
            "scenario": "free_input",
            "reply_delay_s": 0.24,
            "reaction_delay_s": [0.5, 0.5],
            "interruption_probability": 0.7,
            "heard_before_barge_in_s": 0.5,
        },
        "response_tts",
    ),
}
POST = Stage(
    "post_training", "flm_small_post_training", ("train_flm_tts", "train_flm_asr"), ("held_out_tts", "held_out_asr")
)
FIRST = Stage(
    "fine_tuning_1",
    "flm_small_fine_tuning_1",
    ("train_flm_fine_tuning_1",),
    ("held_out_fine_tuning_1",),
    POST.folder,
)
LAST = Stage(
    "fine_tuning_2", "flm_small_fine_tuning_2", ("train_flm_fine_tuning_2",), ("held_out_fine_tuning_2",), FIRST.folder
)
WITHOUT = Stage("without_fine_tuning_1", LAST.recipe, LAST.data, LAST.held_out, POST.folder)
STAGES = (POST, FIRST, LAST, WITHOUT)


def main() -> None:
    options = parser(__doc__, "out/flm_stages")
    options.add_argument("--long", action="store_true", help="train on the dialogues of train_long")
    arguments = options.parse_args()
    start = time.monotonic()
    bench = Bench.of(arguments, "flm_stages")
    for name in (*TRAINED_ON, *(name for stage in STAGES[:3] for name in stage.data)):
        bench.build(name, over_long_replies(name, LONG_TAKES.get(name, 1)) if arguments.long else None)
    for name in MEASURED_ON:
        bench.build(name)
    for name in HELD_OUT:
        bench.build(name, held_out(name))
    for stage in STAGES:
        train(bench, stage)
    print_losses(bench)
    bench.train("sft", bayling(bench, arguments.long))
    print_timing(bench)
    print(f"{(time.monotonic() - start) / 60:.0f} minutes")


def held_out(name: str) -> dict[str, Any]:
    """The recipe of a data set of held-out dialogues."""
    base, timing, format_ = HELD_OUT[name]
    layout = {"name": "flm", "format": format_}
    return {"extends": base, "timing": timing, "layout": layout, "output": {"audio": "none"}}


def train(bench: Bench, stage: Stage) -> None:
    recipe = bench.sft_recipe(stage.folder, stage.data, stage.recipe)
    if stage.after is not None:
        model = recipe.model.model_copy(update={"pretrained": str(bench.out / stage.after)})
        recipe = recipe.model_copy(update={"model": model})
    bench.train("sft", recipe)


def bayling(bench: Bench, long: bool) -> SFTRecipe:
    """sft_small; as long rows are twice as long as those that it is meant for, a step has half as many of them."""
    recipe = bench.sft_recipe(BAYLING, TRAINED_ON)
    batch_size = recipe.optimization.batch_size // (2 if long else 1)
    optimization = recipe.optimization.model_copy(update={"batch_size": batch_size})
    return recipe.model_copy(update={"optimization": optimization})


@torch.no_grad()
def losses(model_folder: Path | None, data_sets: list[Path]) -> dict[str, float]:
    """The mean loss of each kind over all rows of held-out data sets, in nats. model_folder: None is no training."""
    data = TrainingData(data_sets, DIALOGUES)
    recipe, _ = load(POST.recipe, SFTRecipe, TRAINING_RECIPES)
    if model_folder is None:
        network = start(recipe.model, data_sets[0], data.format, recipe.seed)
    else:
        network = load_model(model_folder).network
    network.train(False)
    objective = SFT(recipe, data.format, torch.device("cpu"))
    rows = [row for groups in data.groups for group in groups for row in data.read(group)]
    sums = torch.zeros(2, len(objective.names))
    for first in range(0, len(rows), ROWS_AT_ONCE):
        batch = rows[first : first + ROWS_AT_ONCE]
        sums += objective.loss(network, batch, objective.totals(batch))[1]
    return {
        name: float(total / count) for name, total, count in zip(objective.names, *sums.tolist(), strict=True) if count
    }


def print_losses(bench: Bench) -> None:
    print("\nHeld-out losses of a stage's own rows, in nats: before it and after it")
    for stage in STAGES:
        sets = [bench.out / name for name in stage.held_out]
        after = losses(bench.out / stage.folder, sets)
        before = losses(bench.out / stage.after if stage.after else None, sets)
        listed = (f"{kind} {before[kind]:.2f} → {value:.2f}" for kind, value in after.items())
        print(f"  {stage.folder:22} {', '.join(listed)}")


def print_timing(bench: Bench) -> None:
    print("\nTiming on held-out dialogues (95 % intervals)")
    for title, folder in named_models():
        figures = bench.evaluate(folder)
        print(title)
        for what, name, scale in FIGURES:
            print(f"  {what:30} {with_interval(figures[name], scale)}")


def named_models() -> Iterator[tuple[str, str]]:
    yield "FLM-Audio, all stages", LAST.folder
    yield "FLM-Audio without fine-tuning 1", WITHOUT.folder
    yield "BayLing-Duplex, SFT", BAYLING


if __name__ == "__main__":
    main()
