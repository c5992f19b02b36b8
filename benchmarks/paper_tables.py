"""The tables of BayLing-Duplex in small: builds, trains, makes pairs, optimizes, evaluates, prints ours beside theirs.

    python -m benchmarks.paper_tables [--out out/paper_tables] [--seed 1]

Everything comes from the shipped corpus and voices. Models train on `train_turn_taking` and `train_interruption`, and
are evaluated on `held_out_turn_taking` and `held_out_interruption`, which share no text and no user's voice with them.
After a kill, the same command continues: each step is a command of `duplexgen`, which does nothing twice. The paper's
figures are those of its text (sections 4.3 and 4.4); a dash stands where it gives none.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.bench import MEASURED_ON, TRAINED_ON, Bench, pairs_of, parser, with_interval
from duplexgen.pipeline.recipe.file import load
from duplexgen.training.metrics.metrics import figure
from duplexgen.training.recipe import TRAINING_RECIPES, Common, DPORecipe

BEST = "silence 0.1, role 10"
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
    arguments = parser(__doc__, "out/paper_tables").parse_args()
    start = time.monotonic()
    bench = Bench.of(arguments, "paper_tables")
    build_data(bench)
    for row in WEIGHTS:
        bench.train("sft", sft_recipe(bench, row))
    for row in PREFERENCES:
        bench.train("dpo", dpo_recipe(bench, row))
    figures = bench.evaluate_all(row.folder for row in (*WEIGHTS, *PREFERENCES))
    print_table("Table 2: stages", [WEIGHTS[-1], PREFERENCES[0]], ["SFT", "SFT + DPO"], figures)
    print(f"{'':16} Overlap of the second less that of the first, item by item: {shorter(bench)} s")
    print_table("Table 3: weights of the SFT loss", WEIGHTS, [row.name for row in WEIGHTS], figures)
    print_table("Table 4: DPO", PREFERENCES, [row.name for row in PREFERENCES], figures)
    print(f"{(time.monotonic() - start) / 60:.0f} minutes")


def build_data(bench: Bench) -> None:
    for name in (*TRAINED_ON, *MEASURED_ON):
        bench.build(name)
    for name in TRAINED_ON:
        bench.pairs(name)


def sft_recipe(bench: Bench, row: Row) -> Common:
    shipped = bench.sft_recipe(row.folder, TRAINED_ON)
    return shipped.model_copy(update={"weights": shipped.weights.model_copy(update=row.changes)})


def dpo_recipe(bench: Bench, row: Row) -> Common:
    shipped, _ = load("dpo_small", DPORecipe, TRAINING_RECIPES)
    preference = shipped.preference.model_copy(update=row.changes)
    changes = {"preference": preference, "model": str(bench.out / WEIGHTS[-1].folder)}
    return shipped.model_copy(update=bench.common(row.folder, map(pairs_of, TRAINED_ON)) | changes)


def shorter(bench: Bench) -> str:
    """Mean change of Overlap by DPO, over the items whose assistant was speaking both times, in words."""
    sft, dpo = (overlaps(bench, row) for row in (WEIGHTS[-1], PREFERENCES[0]))
    differences = [dpo[id_] - sft[id_] for id_ in sorted(sft.keys() & dpo.keys())]
    mean = figure(differences, bench.seed, "overlap_difference_s")
    return f"{with_interval(asdict(mean), 1)} ({mean.items} items)"


def overlaps(bench: Bench, row: Row) -> dict[str, float]:
    """Overlap of the items whose assistant was speaking at the barge-in, by dialogue."""
    return {item["dialogue_id"]: item["overlap_s"] for item in bench.items(row.folder) if item.get("speaking")}


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


if __name__ == "__main__":
    main()
