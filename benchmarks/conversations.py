"""What conversations as people have them teach: models of clean, noisy and natural data, each on clean and noisy users.

    python -m benchmarks.conversations [--out out/conversations] [--seeds 1 2] [--weights]

Four models for each seed: (a) the two scenarios of BayLing-Duplex, clean; (b) the same with acoustics; (c) the scenario
natural with acoustics; (d) that after DPO on its pairs. All have the same dialogues, with long replies, as many hours,
and the same number of weights. They are measured on held-out questions, voices, phrases and noises. With --weights,
also table 3 of the paper under noise: the weights of the loss, trained as (b). After a kill, the same command
continues.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench import CORES, MEASURED_ON, SFT, TRAINED_ON, Bench, over_long_replies, pairs_of, with_interval
from duplexgen.pipeline.recipe.file import load
from duplexgen.training.recipe import TRAINING_RECIPES, DPORecipe, SFTRecipe

NOISY = tuple(f"{name}_noisy" for name in TRAINED_ON)
NATURAL = "train_natural"
NATURAL_SFT = "sft_natural"
DIALOGUES = 200
TAKES = 5
"""Of each dialogue in each of the two scenarios: together as many as train_natural has."""
SETS = (*MEASURED_ON, "held_out_natural")
NOISY_SETS = tuple(f"{name}_noisy" for name in SETS)
FIGURES = (
    ("TT SR@3s, %", "held_out_turn_taking", "tt_sr_3s", 100),
    ("no reply, %", "held_out_turn_taking", "no_reply_share", 100),
    ("reply delay, s", "held_out_turn_taking", "reply_delay_s", 1),
    ("Overlap, s", "held_out_interruption", "overlap_s", 1),
    ("ISR@2s, %", "held_out_interruption", "isr_2s", 100),
    ("false stops, %", "held_out_natural", "false_stop_share", 100),
    ("  at backchannels", "held_out_natural", "backchannel.false_stop_share", 100),
    ("  at bystanders", "held_out_natural", "bystander.false_stop_share", 100),
    ("  at side talk", "held_out_natural", "side_talk.false_stop_share", 100),
    ("false starts, %", "held_out_natural", "false_start_share", 100),
    ("take-overs in pauses, %", "held_out_natural", "pause.take_over_share", 100),
    ("ISR@2s of natural barge-ins, %", "held_out_natural", "isr_2s", 100),
    ("quiet after a silence request, %", "held_out_natural", "quiet_3s", 100),
)
WEIGHTS = (
    ("uniform", {"silence": 1.0, "assistant": 1.0, "epad": 1.0}),
    ("silence 0.1", {"silence": 0.1, "assistant": 1.0, "epad": 1.0}),
)
"""The rows of table 3 beside its best one, with which (b) is trained."""


@dataclass(frozen=True)
class Model:
    """One row of the table."""

    title: str
    folder: str
    data: tuple[str, ...]
    recipe: str = SFT  # whose weights of the loss it has; all take the steps of sft_natural


CLEAN_MODEL = Model("(a) both scenarios, clean", "clean", TRAINED_ON)
NOISY_MODEL = Model("(b) both scenarios, noisy", "noisy", NOISY)
NATURAL_MODEL = Model("(c) natural, noisy", "natural", (NATURAL,), NATURAL_SFT)
MODELS = (CLEAN_MODEL, NOISY_MODEL, NATURAL_MODEL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/conversations"), help="write everything to this folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2], help="seed training and sampling with each")
    parser.add_argument("--weights", action="store_true", help="also train other weights of the loss, with noise")
    arguments = parser.parse_args()
    started = time.monotonic()
    first = Bench(arguments.out.resolve(), arguments.seeds[0])
    build(first)
    titles: dict[str, str] = {}
    for seed in arguments.seeds:
        bench = replace(first, seed=seed)
        bench.write_evaluation("conversations")
        trained = dict(train(bench))
        if arguments.weights and seed == first.seed:
            trained |= dict(train_weights(bench))
        evaluate = partial(bench.figures, sets=(*SETS, *NOISY_SETS))
        with ThreadPoolExecutor(CORES) as pool:
            for title, figures in zip(trained.values(), pool.map(evaluate, trained), strict=True):
                print_model(f"{title}, seed {seed}", figures)
        titles |= trained
    print(f"{len(titles)} models, {(time.monotonic() - started) / 60:.0f} minutes")


def build(bench: Bench) -> None:
    bench.out.mkdir(parents=True, exist_ok=True)
    bench.build(NATURAL, limit=DIALOGUES)
    bench.pairs(NATURAL, "natural")
    for name in (*TRAINED_ON, *NOISY):
        bench.build(name, over_long_replies(name, TAKES), DIALOGUES)
    for name in (*SETS, *NOISY_SETS):
        bench.build(name)


def train(bench: Bench) -> Iterator[tuple[str, str]]:
    """Train the four models of a seed; yields their folders and titles."""
    for model in MODELS:
        name = f"{model.folder}_{bench.seed}"
        bench.train("sft", sft_recipe(bench, name, model))
        yield name, model.title
    name = f"natural_dpo_{bench.seed}"
    shipped, _ = load("dpo_natural", DPORecipe, TRAINING_RECIPES)
    started = {"model": str(bench.out / f"{NATURAL_MODEL.folder}_{bench.seed}")}
    bench.train("dpo", shipped.model_copy(update=bench.common(name, [pairs_of(NATURAL)]) | started))
    yield name, "(d) natural, noisy, after DPO"


def sft_recipe(bench: Bench, name: str, model: Model) -> SFTRecipe:
    steps = bench.sft_recipe(name, model.data, NATURAL_SFT).optimization
    return bench.sft_recipe(name, model.data, model.recipe).model_copy(update={"optimization": steps})


def train_weights(bench: Bench) -> Iterator[tuple[str, str]]:
    for title, weights in WEIGHTS:
        name = f"noisy_{title.replace(' ', '_')}_{bench.seed}"
        recipe = sft_recipe(bench, name, NOISY_MODEL)
        bench.train("sft", recipe.model_copy(update={"weights": recipe.weights.model_copy(update=weights)}))
        yield name, f"(b) with weights: {title}"


def print_model(title: str, by_set: Mapping[str, Mapping[str, Any]]) -> None:
    print(f"\n{title}\n  {'':34} {'clean':>22} {'held-out noise':>22}")
    for what, set_name, name, scale in FIGURES:
        cells = (by_set[of].get(name) for of in (set_name, f"{set_name}_noisy"))
        shown = ("–" if cell is None else with_interval(cell, scale) for cell in cells)
        print(f"  {what:34}", *(f"{cell:>22}" for cell in shown))


if __name__ == "__main__":
    main()
