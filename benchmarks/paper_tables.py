"""The tables of BayLing-Duplex in small: builds, trains, makes pairs, optimizes, evaluates, prints ours beside theirs.

    python -m benchmarks.paper_tables [--out out/paper_tables] [--seed 1]

Everything comes from the shipped corpus and voices. Models train on `train_turn_taking` and `train_interruption`, and
are evaluated on `held_out_turn_taking` and `held_out_interruption`, which share no text and no user's voice with them.
After a kill, the same command continues: each step is a command of `duplexgen`, which does nothing twice. The paper's
figures are those of its text (sections 4.3 and 4.4); a dash stands where it gives none.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from duplexgen.pipeline.recipe.file import load
from duplexgen.pipeline.storage.atomic import file_sha256
from duplexgen.training.metrics.metrics import figure
from duplexgen.training.recipe import TRAINING_RECIPES, Common, DPORecipe, SFTRecipe

TRAINED_ON = ("train_turn_taking", "train_interruption")
MEASURED_ON = ("held_out_turn_taking", "held_out_interruption")
BEST = "silence 0.1, role 10"
CORES = len(os.sched_getaffinity(0))
MORE_FIGURES = (  # which the paper does not give
    ("started before the user's end, %", "early_share", 100),
    ("no reply, %", "no_reply_share", 100),
    ("reply delay, s", "reply_delay_s", 1),
    ("silent at the barge-in, %", "silent_at_barge_in_share", 100),
    ("Overlap of the others, s", "overlap_speaking_s", 1),
    ("second question answered, %", "answered_3s", 100),
)


@dataclass(frozen=True)
class Row:
    """One model: changes of the shipped training recipe, and the paper's figures of such a model."""

    name: str
    folder: str
    changes: dict[str, Any]
    paper: tuple[str, str, str]  # TT SR@3s %, Overlap s, ISR@2s %


WEIGHTS = [
    Row("uniform", "sft_uniform", {"silence": 1.0, "assistant": 1.0, "epad": 1.0}, ("60.3", "–", "100.0")),
    Row("silence 0.1", "sft_silence", {"silence": 0.1, "assistant": 1.0, "epad": 1.0}, ("82.4", "–", "–")),
    Row(BEST, "sft", {"silence": 0.1, "assistant": 10.0, "epad": 10.0}, ("88.9", "1.51", "–")),
]
PREFERENCES = [
    Row("β 0.5, λ 0.5", "dpo", {"beta": 0.5, "ftx": 0.5}, ("92.0", "1.10", "100.0")),
    Row("β 0.5, λ 0.3", "dpo_ftx_0.3", {"beta": 0.5, "ftx": 0.3}, ("–", "–", "100.0")),
    Row("β 0.5, λ 1.0", "dpo_ftx_1.0", {"beta": 0.5, "ftx": 1.0}, ("–", "–", "100.0")),
    Row("β 0.1, λ 0.5", "dpo_beta_0.1", {"beta": 0.1, "ftx": 0.5}, ("–", "–", "100.0")),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/paper_tables"))
    parser.add_argument("--seed", type=int, default=1, help="seed training and sampling with this")
    arguments = parser.parse_args()
    start = time.monotonic()
    bench = Bench(arguments.out.resolve(), arguments.seed)
    bench.out.mkdir(parents=True, exist_ok=True)
    bench.build_data()
    rows = [*WEIGHTS, *PREFERENCES]
    for row in WEIGHTS:
        bench.train("sft", row, bench.sft_recipe(row))
    for row in PREFERENCES:
        bench.train("dpo", row, bench.dpo_recipe(row))
    bench.evaluation_recipe.write_text(f"extends: timing\nname: paper_tables\nseed: {bench.seed}\n")
    with ThreadPoolExecutor(1 if torch.cuda.is_available() else CORES) as pool:
        figures = dict(zip([row.folder for row in rows], pool.map(bench.evaluate, rows), strict=True))
    print_table("Table 2: stages", [WEIGHTS[-1], PREFERENCES[0]], ["SFT", "SFT + DPO"], figures)
    print(f"{'':16} Overlap of the second less that of the first, item by item: {bench.shorter()} s")
    print_table("Table 3: weights of the SFT loss", WEIGHTS, [row.name for row in WEIGHTS], figures)
    print_table("Table 4: DPO", PREFERENCES, [row.name for row in PREFERENCES], figures)
    print(f"{(time.monotonic() - start) / 60:.0f} minutes")


@dataclass(frozen=True)
class Bench:
    """The steps, each a command of duplexgen, in one folder."""

    out: Path
    seed: int

    def build_data(self) -> None:
        for name in (*TRAINED_ON, *MEASURED_ON):
            self.run("build", name, "--out", str(self.out / name), "--work", str(self.out / ".work"))
        for name in TRAINED_ON:
            pairs = self.out / f"{name}.pairs"
            self.run("dpo-pairs", str(self.out / name), "--out", str(pairs), "--work", str(self.out / ".work"))

    def sft_recipe(self, row: Row) -> Common:
        shipped, _ = load("sft_small", SFTRecipe, TRAINING_RECIPES)
        weights = shipped.weights.model_copy(update=row.changes)
        return shipped.model_copy(update=self.common(row, "") | {"weights": weights})

    def dpo_recipe(self, row: Row) -> Common:
        shipped, _ = load("dpo_small", DPORecipe, TRAINING_RECIPES)
        preference = shipped.preference.model_copy(update=row.changes)
        model = str(self.out / WEIGHTS[-1].folder)
        return shipped.model_copy(update=self.common(row, ".pairs") | {"preference": preference, "model": model})

    def common(self, row: Row, suffix: str) -> dict[str, Any]:
        return {
            "name": row.folder,
            "seed": self.seed,
            "data": [str(self.out / f"{name}{suffix}") for name in TRAINED_ON],
        }

    def train(self, stage: str, row: Row, recipe: Common) -> None:
        path = self.out / f"{row.folder}.yaml"
        path.write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True), sort_keys=False))
        self.run("train", stage, str(path), "--out", str(self.out / row.folder))

    @property
    def evaluation_recipe(self) -> Path:
        return self.out / "evaluation.yaml"

    def evaluate(self, row: Row) -> dict[str, Any]:
        """The figures of a model, by name. Evaluates it, unless that is done."""
        result = self.out / "evaluation" / row.folder
        if not self.is_evaluated(row, result / "evaluation.json"):
            shutil.rmtree(result, ignore_errors=True)
            sets = [str(self.out / name) for name in MEASURED_ON]
            options = ("--out", str(result), "--recipe", str(self.evaluation_recipe))
            self.run("evaluate", str(self.out / row.folder), *sets, *options, threads=1)
        by_set: dict[str, dict[str, Any]] = json.loads((result / "evaluation.json").read_text())["figures"]
        return {name: value for figures in by_set.values() for name, value in figures.items()}

    def shorter(self) -> str:
        """Mean change of Overlap by DPO, over the items whose assistant was speaking both times, in words."""
        sft, dpo = (self.overlaps(row) for row in (WEIGHTS[-1], PREFERENCES[0]))
        differences = [dpo[id_] - sft[id_] for id_ in sorted(sft.keys() & dpo.keys())]
        mean = figure(differences, self.seed, "overlap_difference_s")
        return f"{with_interval(asdict(mean), 1)} ({mean.items} items)"

    def overlaps(self, row: Row) -> dict[str, float]:
        """Overlap of the items whose assistant was speaking at the barge-in, by dialogue."""
        result = json.loads((self.out / "evaluation" / row.folder / "evaluation.json").read_text())
        return {item["dialogue_id"]: item["overlap_s"] for item in result["items"] if item.get("speaking")}

    def is_evaluated(self, row: Row, result: Path) -> bool:
        """Whether the result is that of the model as it is now."""
        if not result.exists():
            return False
        files: dict[str, str] = json.loads(result.read_text())["model"]["files"]
        return all(file_sha256(self.out / row.folder / name) == sum_ for name, sum_ in files.items())

    def run(self, *arguments: str, threads: int = CORES) -> None:
        print("duplexgen", *arguments, flush=True)
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run([sys.executable, "-m", "duplexgen", *arguments], check=True, env=environment)


def print_table(title: str, rows: list[Row], labels: list[str], by_folder: dict[str, dict[str, Any]]) -> None:
    heads = ("TT SR@3s %", "Overlap s", "ISR@2s %")
    print(f"\n{title}\n{'':16}", *(f"{head:>22} {'paper':>6}" for head in heads))
    for row, label in zip(rows, labels, strict=True):
        figures = by_folder[row.folder]
        columns = (("tt_sr_3s", 100), ("overlap_s", 1), ("isr_2s", 100))
        cells = [with_interval(figures[name], scale) for name, scale in columns]
        print(f"{label:16}", *(f"{cell:>22} {paper:>6}" for cell, paper in zip(cells, row.paper, strict=True)))
        for what, name, scale in MORE_FIGURES:
            print(f"{'':18}{what:34} {with_interval(figures[name], scale)}")


def with_interval(figure: dict[str, Any], scale: int) -> str:
    """A figure with its interval."""
    if figure["value"] is None:
        return "–"
    value, low, high = (None if figure[key] is None else figure[key] * scale for key in ("value", "low", "high"))
    digits = 1 if scale == 100 else 2
    interval = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{interval}"


if __name__ == "__main__":
    main()
