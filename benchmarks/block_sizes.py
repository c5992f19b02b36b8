"""The block size N of BayLing-Duplex, which the paper leaves to future work: the same tracks in small and large blocks.

    python -m benchmarks.block_sizes [--blocks 4:2 10:5 20:10] [--quick] [--out out/block_sizes] [--seed 1]

For each size, the shipped small model trains on `train_turn_taking` and `train_interruption`, and is evaluated on the
held-out questions and barge-ins. Script, speech and tracks are made once: only sequences and models differ. After a
kill, the same command continues. `--quick` takes two dialogues per data set and a model of one small layer, to see that
the command works, and writes to out/block_sizes_quick; its figures say nothing.

The paper has N = 10 and M = 5: a block of 0.8 s, and 6.25 text tokens per second, close to the rate of speech. It warns
that a small N leaves too few text slots per block, and that a large N answers late (section 2.1, "Block Size"). Here M
is N / 2, so the rates of text and of ids are those of the paper at each size, and only the block changes. So N is even:
5 would need 2.5 text tokens. Of the neighbours 4 and 6, 4 differs more from 10. `--blocks 5:3` has N = 5 with 7.5 text
tokens per second.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench import MEASURED_ON, TRAINED_ON, Bench, parser, with_interval
from duplexgen.pipeline.dataset.manifest import Manifest
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.layouts.bayling import BEFORE_END
from duplexgen.training.recipe import SFTRecipe

FRAME_S = 0.08
OVERFLOW = "text_overflow"  # the reason of a dialogue with a reply whose text has no room
QUICK_DIALOGUES = 2  # of each data set
QUICK_MODEL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
NOTES = """
Reply delay: the median over the replies that do not start before the user's end. Brackets: 95 % intervals over items.
Text overflow: dialogues of the training sets that are rejected because a reply's text has more tokens than slots.
Early: replies of the training sets whose [ASSISTANT] stands before the user's last audio is heard (ast_offset is -1).
The tracks are the same for each N, so a reply starts 0.8 s after the user's end, which is one block only for N = 10. In
longer blocks, the model often has to decide on a reply while the user still speaks: it has to guess the end. In blocks
of 0.32 s, it has always heard the end."""


HEADS: tuple[str, ...] = (
    *("N", "M", "block s", "reply delay s", "TT SR@3s %", "Overlap s", "ISR@2s %"),
    *("text overflow %", "early %", "ids per s"),
)


@dataclass(frozen=True)
class Block:
    """Speech tokens per channel (N) and text tokens (M) of a block."""

    user_tokens: int
    text_tokens: int

    @classmethod
    def read(cls, text: str) -> "Block":
        try:
            user, text_ = map(int, text.split(":"))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no block size: expected N:M, such as 10:5") from None
        return cls(user, text_)

    @property
    def name(self) -> str:
        return f"n{self.user_tokens}_m{self.text_tokens}"

    @property
    def seconds(self) -> float:
        return self.user_tokens * FRAME_S

    @property
    def ids_per_s(self) -> float:
        return (2 * self.user_tokens + self.text_tokens) / self.seconds

    @property
    def data(self) -> list[str]:
        """The folders of its training sets."""
        return [f"{base}_{self.name}" for base in TRAINED_ON]

    def recipe(self, base: str) -> dict[str, Any]:
        """The recipe `base` in blocks of this size."""
        layout = {"name": "bayling", "user_tokens": self.user_tokens, "text_tokens": self.text_tokens}
        return {"extends": base, "layout": layout}


BLOCKS = (Block(4, 2), Block(10, 5), Block(20, 10))


def main() -> None:
    arguments = _arguments()
    start = time.monotonic()
    bench = Bench.of(arguments, "block_sizes")
    blocks: list[Block] = arguments.blocks
    limit = QUICK_DIALOGUES if arguments.quick else None
    for block in blocks:
        for base, name in zip(TRAINED_ON, block.data, strict=True):
            bench.build(name, block.recipe(base), limit)
    for name in MEASURED_ON:
        bench.build(name, limit=limit)
    check_tracks(bench, blocks)
    for block in blocks:
        recipe = bench.sft_recipe(block.name, block.data)
        bench.train("sft", _quick(recipe) if arguments.quick else recipe)
    figures = bench.evaluate_all(block.name for block in blocks)
    print_table(bench, blocks, figures)
    print(f"{(time.monotonic() - start) / 60:.0f} minutes")


def _arguments() -> argparse.Namespace:
    own = parser(__doc__)
    own.add_argument(
        "--blocks", type=Block.read, nargs="+", default=list(BLOCKS), metavar="N:M", help="compare these block sizes"
    )
    own.add_argument("--quick", action="store_true", help="try the command with little data and a tiny model")
    arguments = own.parse_args()
    arguments.out = arguments.out or Path("out/block_sizes_quick" if arguments.quick else "out/block_sizes")
    return arguments


def _quick(recipe: SFTRecipe) -> SFTRecipe:
    """With a model that is too small to learn anything."""
    model = recipe.model.model_copy(update={"config": {**(recipe.model.config or {}), **QUICK_MODEL}})
    return recipe.model_copy(update={"model": model})


def manifest(bench: Bench, name: str) -> Manifest:
    return Dataset(bench.out / name).manifest


def check_tracks(bench: Bench, blocks: Sequence[Block]) -> None:
    """Stop unless all sizes have the same tracks."""
    for number, base in enumerate(TRAINED_ON):
        keys = {manifest(bench, block.data[number]).stages["tracks"].key for block in blocks}
        if len(keys) > 1:
            raise SystemExit(f"{base}: the sizes have {len(keys)} different tracks, so they cannot be compared.")


def share_of_overflow(manifests: Sequence[Manifest]) -> float:
    """Of the dialogues that were to become sequences, those that were rejected for text overflow."""
    counts = [counts for one in manifests for counts in one.ledger if counts.stage == "sequences"]
    return sum(one.reasons.get(OVERFLOW, 0) for one in counts) / sum(one.planned for one in counts)


def share_of_early(manifests: Sequence[Manifest]) -> float:
    """Of the replies, those whose [ASSISTANT] stands before the user's last audio is heard."""
    tallies = [one.statistics[BEFORE_END] for one in manifests]
    return sum(tally.total for tally in tallies) / sum(tally.count for tally in tallies)


def median_delay_s(items: Sequence[dict[str, Any]]) -> float | None:
    """From the user's end to the reply, over the replies that start after it. items: of an evaluation."""
    delays = [item["delay_s"] for item in items if item.get("delay_s") is not None and item["delay_s"] >= 0]
    return median(delays) if delays else None


def print_table(bench: Bench, blocks: Sequence[Block], figures: dict[str, dict[str, Any]]) -> None:
    rows = [HEADS, *(_cells(bench, block, figures[block.name]) for block in blocks)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for row in rows:
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)))
    print(NOTES)


def _cells(bench: Bench, block: Block, figures: dict[str, Any]) -> tuple[str, ...]:
    manifests = [manifest(bench, name) for name in block.data]
    delay_s = median_delay_s(bench.items(block.name))
    return (
        str(block.user_tokens),
        str(block.text_tokens),
        f"{block.seconds:.2f}",
        "–" if delay_s is None else f"{delay_s:.2f}",
        with_interval(figures["tt_sr_3s"], 100),
        with_interval(figures["overlap_s"], 1),
        with_interval(figures["isr_2s"], 100),
        f"{100 * share_of_overflow(manifests):.1f}",
        f"{100 * share_of_early(manifests):.1f}",
        f"{block.ids_per_s:.2f}",
    )


if __name__ == "__main__":
    main()
