"""FLM-Audio in small: its stages, one after the other, with held-out losses by kind and the timing of what comes out.

    python -m benchmarks.flm_stages [--out out/flm_stages] [--seed 1]

Everything comes from the shipped corpus and voices. Models are measured on dialogues that share no text and no user's
voice with what they train on. The last stage is trained twice: after fine-tuning 1, and without it (table 6 of the
paper). Beside them stands BayLing-Duplex's layout, trained on the same spoken dialogues. After a kill, the same command
continues: each step is a command of `duplexgen`, which does nothing twice.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.paper_tables import MEASURED_ON, TRAINED_ON, WEIGHTS, Bench, Row, with_interval
from duplexgen.pipeline.dataset.dialogues import DIALOGUES
from duplexgen.pipeline.recipe.file import load
from duplexgen.training.data import TrainingData
from duplexgen.training.models.model import load_model
from duplexgen.training.models.start import start
from duplexgen.training.objectives.sft import SFT
from duplexgen.training.recipe import TRAINING_RECIPES, SFTRecipe

ROWS_AT_ONCE = 8
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/flm_stages"))
    parser.add_argument("--seed", type=int, default=1, help="seed training and sampling with this")
    arguments = parser.parse_args()
    start = time.monotonic()
    bench = Bench(arguments.out.resolve(), arguments.seed)
    bench.out.mkdir(parents=True, exist_ok=True)
    for name in (*TRAINED_ON, *MEASURED_ON, *(name for stage in STAGES[:3] for name in stage.data)):
        bench.run("build", name, "--out", str(bench.out / name), "--work", str(bench.out / ".work"))
    for name in HELD_OUT:
        build_held_out(bench, name)
    for stage in STAGES:
        train(bench, stage)
    bench.train("sft", WEIGHTS[-1], bench.sft_recipe(WEIGHTS[-1]))
    bench.evaluation_recipe.write_text(f"extends: timing\nname: flm_stages\nseed: {bench.seed}\n")
    print_losses(bench)
    print_timing(bench)
    print(f"{(time.monotonic() - start) / 60:.0f} minutes")


def build_held_out(bench: Bench, name: str) -> None:
    base, timing, format_ = HELD_OUT[name]
    recipe = {
        "extends": base,
        "name": name,
        "timing": timing,
        "layout": {"name": "flm", "format": format_},
        "output": {"audio": "none"},
    }
    path = bench.out / f"{name}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    bench.run("build", str(path), "--out", str(bench.out / name), "--work", str(bench.out / ".work"))


def train(bench: Bench, stage: Stage) -> None:
    shipped, _ = load(stage.recipe, SFTRecipe, TRAINING_RECIPES)
    changes: dict[str, Any] = {
        "name": stage.folder,
        "seed": bench.seed,
        "data": [str(bench.out / name) for name in stage.data],
    }
    if stage.after is not None:
        changes["model"] = shipped.model.model_copy(update={"pretrained": str(bench.out / stage.after)})
    recipe = shipped.model_copy(update=changes)
    path = bench.out / f"{stage.folder}.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False))
    bench.run("train", "sft", str(path), "--out", str(bench.out / stage.folder))


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
        figures = bench.evaluate(Row(title, folder, {}, ("–", "–", "–")))
        print(title)
        for what, name, scale in FIGURES:
            print(f"  {what:30} {with_interval(figures[name], scale)}")


def named_models() -> Iterator[tuple[str, str]]:
    yield "FLM-Audio, all stages", LAST.folder
    yield "FLM-Audio without fine-tuning 1", WITHOUT.folder
    yield "BayLing-Duplex, SFT", WEIGHTS[-1].folder


if __name__ == "__main__":
    main()
