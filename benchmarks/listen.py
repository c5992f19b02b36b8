"""Listens to a data set: measures its audio, not its metadata.

    python -m benchmarks.listen DATASET [--limit N] [--json FILE]

Word error rate of both channels (of Chinese, character error rate), when replies and next turns start, how soon an
interrupted assistant is silent, and whether the users' voices can be told apart. Exits with 1 if a wanted figure is
missed. See benchmarks/README.md.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.listening import Listener, rows
from duplexgen.pipeline.dialogue import CHANNELS
from duplexgen.pipeline.errors import UserError

REPLY_DELAY_S = (0.8, 0.8)
NEXT_TURN_S = (0.5, 3.0)
REACTION_S = (0.8, 2.0)
TOLERANCE_S = 0.1  # of an edge found by voice activity detection
WANTED_SHARE = 0.95
WANTED_WER = {"assistant": 0.08, "user": 0.12}
WANTED_CER = {"assistant": 0.10, "user": 0.10}  # of Chinese
WANTED_VOICES, WANTED_COSINE = 24, 0.90
WANTED_CHINESE_VOICES = 4


def spread(values: list[float]) -> str:
    if not values:
        return ""
    return "/".join(f"{value:.2f}" for value in np.percentile(values, [0, 5, 50, 95, 100]))


def share_within(values: list[float], wanted: tuple[float, float], tolerance_s: float) -> float:
    low, high = wanted
    return float(np.mean([low - tolerance_s <= value <= high + tolerance_s for value in values]))


@dataclass(frozen=True)
class Line:
    """One line of the table; `met` is None where nothing is wanted, or there was nothing to measure."""

    what: str
    measured: str
    wanted: str
    met: bool | None
    detail: str = ""


def table(listener: Listener) -> list[Line]:
    results = listener.results
    chinese = results.language == "zh"
    unit, units, most = ("character", "characters", WANTED_CER) if chinese else ("word", "words", WANTED_WER)
    lines = []
    for role in reversed(CHANNELS):
        errors = results.errors[role]
        counts = f"{errors.substituted} wrong, {errors.deleted} missing, {errors.inserted} added"
        what, detail = f"{unit} error rate, {role}", f"{errors.spoken} {units}: {counts}"
        met = errors.rate < most[role]
        lines.append(Line(what, f"{errors.rate:.1%}", f"< {most[role]:.0%}", met, detail))
    if results.best_cuts.spoken:
        whole, cuts = results.whole_replies, results.best_cuts
        lines.append(Line("  of whole replies", f"{whole.rate:.1%}", "", None, f"{whole.spoken} {units}"))
        detail = f"{cuts.spoken} {units}, against as much of the text as fits what is heard"
        lines.append(Line("  of interrupted replies", f"{cuts.rate:.1%}", "", None, detail))
    timings = (
        ("reply after the user's end", results.reply_delay_s, REPLY_DELAY_S),
        ("next turn after the reply's end", results.next_turn_s, NEXT_TURN_S),
        ("silent after a barge-in", results.reaction_s, REACTION_S),
    )
    for what, values, wanted_s in timings:
        low, high = wanted_s
        aim = f"{low:g} s" if low == high else f"{low:g} to {high:g} s"
        title = f"{what}, {aim} ± {TOLERANCE_S:g}"
        if not values:
            lines.append(Line(title, "none", f">= {WANTED_SHARE:.0%}", None))
            continue
        share = share_within(values, wanted_s, TOLERANCE_S)
        strict = "" if low == high else f"; {share_within(values, wanted_s, 0.0):.1%} without tolerance"
        detail = f"{len(values)} turns, min/5%/50%/95%/max {spread(values)} s{strict}"
        lines.append(Line(title, f"{share:.1%}", f">= {WANTED_SHARE:.0%}", share >= WANTED_SHARE, detail))
    silent = results.turns_not_heard
    lines.append(Line("turns without speech", str(silent), "0", silent == 0, f"of {results.turns}"))
    lines.append(Line("speech outside turns", f"{results.stray_speech_s:.1f} s", "0.0 s", results.stray_speech_s == 0))
    voices, highest, pair = listener.cosines()
    least = WANTED_CHINESE_VOICES if chinese else WANTED_VOICES
    lines.append(Line("user voices", str(voices), f">= {least}", voices >= least))
    if highest is not None and pair is not None:
        met = highest < WANTED_COSINE
        lines.append(
            Line("highest cosine of two voices", f"{highest:.3f}", f"< {WANTED_COSINE:g}", met, " and ".join(pair))
        )
    return lines


def report(listener: Listener, lines: list[Line]) -> dict[str, Any]:
    """All measurements as JSON: the table, every delay, every misheard word."""
    results = listener.results
    return {
        "dialogues": results.dialogues,
        "audio_s": results.audio_s,
        "lines": [asdict(line) for line in lines],
        "reply_delay_s": results.reply_delay_s,
        "next_turn_s": results.next_turn_s,
        "reaction_s": results.reaction_s,
        "errors": {role: vars(errors) for role, errors in results.errors.items()},
        "whole_replies": vars(results.whole_replies),
        "best_cuts": vars(results.best_cuts),
        "misheard": sorted(results.mistakes, key=lambda mistake: -mistake["wer"]),
    }


def show(lines: list[Line]) -> None:
    cells = [("measured on the audio", "", "wanted", "", "")]
    marks = {True: "yes", False: "NO", None: ""}
    cells += [(line.what, line.measured, line.wanted, marks[line.met], line.detail) for line in lines]
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the audio of a data set.")
    parser.add_argument("dataset", type=Path, help="listen to the data set in this folder, which has data/")
    parser.add_argument("--limit", type=int, help="listen to the first N dialogues only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every measured value there")
    arguments = parser.parse_args()
    try:
        listener = Listener()
        started = time.monotonic()
        for row in rows(arguments.dataset, arguments.limit):
            listener.listen(row)
            results = listener.results
            spent_s = time.monotonic() - started
            print(
                f"\r{results.dialogues} dialogues, {results.audio_s:.0f} s heard in {spent_s:.0f} s",
                end="",
                file=sys.stderr,
            )
        print(file=sys.stderr)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    lines = table(listener)
    show(lines)
    if arguments.json:
        arguments.json.write_text(json.dumps(report(listener, lines), indent=2, ensure_ascii=False) + "\n", "utf-8")
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
