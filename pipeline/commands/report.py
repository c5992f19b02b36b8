"""What a person reads about a plan, a data set, or one dialogue."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from ..dataset.manifest import VOCABULARY_FOLDER
from ..dataset.reader import LARGEST_TOKENIZER_BYTES, Dataset
from ..dataset.statistics import Statistics
from ..errors import UserError
from ..escapes import one_line
from ..pairs.kind import PREFERENCES
from ..storage.paths import read_bytes
from .build import Build

WORDS_A_SECOND = 2.5
"""What a voice speaks, roughly; for estimates before anything is spoken."""
STATE_SIGNS = {"silence": "·", "assistant": "[A]", "pad": "[P]", "epad": "[E]"}
LEGEND = "[A] assistant starts, [P] text is written and speech goes on, [E] text and speech are complete, · silence"
SPEECH, SILENCE = "█", "·"
SHOWN_COLUMNS = ["dialogue_id", "source", "scenario", "num_blocks", "turns", "input_ids"]


def describe_plan(made: Build) -> str:
    """What a build would do, and what of it is done."""
    dialogues = rejected = 0
    exchanges = 0
    reasons: dict[str, int] = {}
    limits = {"user": made.recipe.rewriting.max_user_words, "assistant": made.recipe.rewriting.max_reply_words}
    words = {"user": 0, "assistant": 0}
    for number in made.plan.partitions:
        record = made.plan.folder.record(number)
        assert record is not None, "the plan is whole"
        dialogues += record.outcome.emitted
        rejected += len(record.outcome.rejections)
        for rejection in record.outcome.rejections:
            reasons[rejection.reason] = reasons.get(rejection.reason, 0) + 1
        for row in made.plan.folder.read(number).to_pylist():
            for turn in row["turns"][: 2 * made.recipe.rewriting.max_exchanges]:
                words[turn["role"]] += min(_words(turn["text"]), limits[turn["role"]])
                exchanges += turn["role"] == "user"
    renditions = made.recipe.speech.renditions
    timing = made.recipe.timing
    speech_s = sum(words.values()) / WORDS_A_SECOND
    to_speak_s = (words["user"] * renditions + words["assistant"]) / WORDS_A_SECOND
    gaps_s = exchanges * (timing.reply_delay_s + (timing.next_turn_gap_s.low + timing.next_turn_gap_s.high) / 2)
    lines = [
        f"recipe       {made.recipe.name}",
        f"dialogues    {dialogues:,} ({rejected:,} rows of the sources rejected{_listed(reasons)})",
        f"renditions   {renditions} of each, {dialogues * renditions:,} dialogues to speak, "
        f"about {to_speak_s / 3600:.2f} hours of speech: the assistant speaks once for all renditions",
        f"takes        {timing.takes} of each, {dialogues * renditions * timing.takes:,} dialogues to make",
        f"hours        about {(speech_s + gaps_s) * renditions * timing.takes / 3600:.2f}, "
        f"of which speech {speech_s * renditions * timing.takes / 3600:.2f}",
        f"partitions   {made.plan.num_partitions} of up to {made.recipe.partition_size} dialogues",
        "done already",
    ]
    for stage, folder, missing in zip(made.stages, made.folders, made.missing, strict=True):
        done = made.plan.num_partitions - len(missing)
        lines.append(f"  {stage.name:10} {done} of {made.plan.num_partitions} partitions, in {folder.path}")
    return _shown(lines)


def _shown(lines: Iterable[str]) -> str:
    """Texts of the data set keep to their line."""
    return "\n".join(map(one_line, lines))


def _words(text: str) -> int:
    """Words of a text, or characters where a script has no spaces."""
    return sum(1 if word.isascii() else len(word) for word in text.split())


def _listed(counts: dict[str, int]) -> str:
    listed = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
    return f": {listed}" if listed else ""


def describe_dataset(dataset: Dataset) -> str:
    """Counts and timing statistics, as the manifest has them."""
    manifest = dataset.manifest
    statistics = Statistics.stored({name: tally.model_dump() for name, tally in manifest.statistics.items()})
    lines = [f"{manifest.name}: {' '.join(manifest.description.split())}", ""]
    if manifest.kind == PREFERENCES:
        made_of = manifest.made_of
        lines[1:1] = [f"preference pairs of {made_of.name}, scenario {made_of.timing.scenario}"]
    for counts in manifest.ledger:
        reasons, notes = _listed(counts.reasons), _listed(counts.notes)
        ledger = f"{counts.planned:9,} planned{counts.emitted:9,} emitted{counts.rejected:9,} rejected"
        lines.append(f"{counts.stage:8}{ledger}{reasons}" + (f"; changed{notes}" if notes else ""))
    lines += ["", f"{'':56}{'count':>9}{'mean':>9}{'least':>9}{'5 %':>9}{'median':>9}{'95 %':>9}{'most':>9}"]
    for _, tally in statistics.distributions():
        figures = (tally.mean, tally.least, tally.quantile(0.05), tally.quantile(0.5), tally.quantile(0.95), tally.most)
        unit = f" ({tally.quantity.unit})" if tally.quantity.unit else ""
        lines.append(
            f"{tally.quantity.title + unit:56}{tally.count:9,}" + "".join(f"{value:9.2f}" for value in figures)
        )
    if early := statistics.get("assistant_before_user_end"):
        lines.append(f"[ASSISTANT] before the user's last audio is observed: {early.mean:.1%} of replies")
    return _shown(lines)


def describe_dialogue(dataset: Dataset, wanted: str) -> str:
    """One dialogue, block by block: what each channel carries in the sequence (BayLing-Duplex figure 1).

    Each row is one block: the user's frames, the text ids, and the assistant's frames one block later.
    Of a preference pair, the text channels of both sides. wanted: the dialogue's id, or its number counted from 0.
    Raises UserError if there is no such dialogue.
    """
    if dataset.kind == PREFERENCES:
        return _shown(_pair_lines(dataset, _find(dataset, wanted, None)))
    return _shown(_dialogue_lines(dataset, _find(dataset, wanted, SHOWN_COLUMNS)))


def _find(dataset: Dataset, wanted: str, columns: list[str] | None) -> dict[str, Any]:
    for number, row in enumerate(dataset.rows(["dialogue_id"])):
        if wanted in (row["dialogue_id"], str(number)):
            found = next(islice(dataset.rows(columns), number, None))
            _check_shown(dataset, found)
            return found
    last = dataset.manifest.rows - 1
    raise UserError(f"{dataset.path} has no dialogue {wanted!r}: expected an id, or a number from 0 to {last}.")


def _check_shown(dataset: Dataset, row: dict[str, Any]) -> None:
    """Raise UserError unless a row's sequences and turns can be shown."""
    layout, size = dataset.layout, dataset.described.vocabulary.size
    sequences = [np.asarray(row[name]) for name in ("input_ids", "chosen_ids", "rejected_ids") if name in row]
    samples = row["num_blocks"] * layout.block_samples
    whole = (
        row["num_blocks"] > 0
        and all(len(ids) == row["num_blocks"] * layout.ids_per_block for ids in sequences)
        and all(ids.min() >= 0 and ids.max() < size for ids in sequences)
        and all(0 <= turn["start_sample"] <= turn["end_sample"] <= samples for turn in row.get("turns", ()))
    )
    if not whole:
        raise UserError(
            f"{dataset.path}: the row is damaged: its ids or its turns are not those of {row['num_blocks']} blocks. "
            "`duplexgen verify` says what is wrong."
        )


def _dialogue_lines(dataset: Dataset, row: dict[str, Any]) -> Iterator[str]:
    rate, layout = dataset.sample_rate, dataset.layout
    yield f"{row['dialogue_id']}  {row['source']}, {row['scenario']}, {row['num_blocks']} blocks"
    for turn in row["turns"]:
        span = f"{turn['start_sample'] / rate:7.2f} – {turn['end_sample'] / rate:6.2f} s"
        cut = f"  — interrupted, heard: {turn['spoken_text']}" if turn["interrupted"] else ""
        yield f"{turn['role']:>9}  {span}  {turn['voice']}: {turn['text']}{cut}"
    yield ""
    frames = layout.block_frames
    spoken = {
        role: _speaking(row, role, row["num_blocks"] * frames, layout.block_samples // frames)
        for role in ("user", "assistant")
    }
    texts = _text_blocks(dataset, row["input_ids"])
    yield f"block   user{'':{frames}}  text{'':{len(texts[0]) + 1}}assistant, one block later"
    for block, text in enumerate(texts):
        user = spoken["user"][block * frames : (block + 1) * frames]
        assistant = spoken["assistant"][(block + 1) * frames : (block + 2) * frames]
        start_s = block * layout.block_samples / rate
        yield f"{block:5}  {start_s:6.1f} s {user}   {text}   {assistant:{SILENCE}<{frames}}"
    yield ""
    yield LEGEND


def _pair_lines(dataset: Dataset, row: dict[str, Any]) -> Iterator[str]:
    chosen, rejected = (_text_blocks(dataset, row[f"{side}_ids"]) for side in ("chosen", "rejected"))
    capped = ", for want of room" if row["capped"] else ""
    yield f"{row['dialogue_id']}  {row['scenario']}, turn {row['turn']}, {row['num_blocks']} blocks"
    yield f"chosen {row['chosen_delay_s']:.2f} s, rejected {row['rejected_delay_s']:.2f} s{capped}"
    yield ""
    yield f"{'block':17}{'chosen':{len(chosen[0])}}   rejected"
    for block, (left, right) in enumerate(zip(chosen, rejected, strict=True)):
        yield f"{block:5}  {block * dataset.layout.block_samples / dataset.sample_rate:6.1f} s  {left}   {right}"
    yield ""
    yield LEGEND


def _speaking(row: dict[str, Any], role: str, frames: int, frame_samples: int) -> str:
    signs = np.full(frames, SILENCE)
    for turn in row["turns"]:
        if turn["role"] == role:
            signs[turn["start_sample"] // frame_samples : -(-turn["end_sample"] // frame_samples)] = SPEECH
    return "".join(signs)


def _text_blocks(dataset: Dataset, ids: list[int]) -> list[str]:
    """The text channel, one line a block, a readable sign a slot, slots below each other."""
    signs = _text_signs(dataset, ids)
    slots = len(signs) * dataset.layout.ids_per_block // len(ids)
    widths = [max(len(sign) for sign in signs[slot::slots]) for slot in range(slots)]
    padded = [f"{sign:{widths[number % slots]}}" for number, sign in enumerate(signs)]
    return [" ".join(padded[first : first + slots]) for first in range(0, len(padded), slots)]


def _text_signs(dataset: Dataset, ids: list[int]) -> list[str]:
    layout, state = dataset.layout, dataset.described.state
    file = dataset.own(f"{VOCABULARY_FOLDER}/tokenizer.json")
    try:
        tokenizer = Tokenizer.from_buffer(read_bytes(file, LARGEST_TOKENIZER_BYTES))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(f"{file} is damaged: {error}") from error
    signs = {id_: STATE_SIGNS[name] for name, id_ in state.items()}
    blocks = np.asarray(ids).reshape(-1, layout.ids_per_block)
    text = blocks[:, layout.block_frames : layout.ids_per_block - layout.block_frames].reshape(-1)
    return [signs.get(int(id_)) or one_line(tokenizer.decode([int(id_)]).strip()) or "␣" for id_ in text]
