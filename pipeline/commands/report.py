"""What a person reads about a plan, a data set, or one dialogue."""

from collections.abc import Iterable, Iterator
from typing import Any

from ..acoustics.effects import make_effects
from ..dataset.reader import Dataset
from ..dataset.row_groups import RowGroups
from ..dataset.rows import read_events
from ..dataset.statistics import Statistics
from ..dialogue import CHANNELS, TURN, Role
from ..escapes import one_line
from ..pairs.kind import PREFERENCES
from ..scenarios.scenario import Amount
from ..scenarios.scenarios import make_scenario
from ..view.rows import check_shown, names, place_of, sides, text_tokenizer
from .build import Build
from .plan import LEFT_OUT

WORDS_PER_SECOND = 2.5
"""How fast a voice speaks, roughly: for estimates before any speech is there."""
IDS_PER_WORD = 1.8
"""Text ids per word, roughly: of the embedded text tokenizer, 4,019 for the 2,201 words of the sample corpus."""
SHOWN_COLUMNS = ["dialogue_id", "source", "scenario", "events", "acoustics"]


def describe_plan(build: Build) -> str:
    """What a build would do, and how much of it is done."""
    dialogues = rejected = left_out = 0
    exchanges = 0
    reasons: dict[str, int] = {}
    limits = {"user": build.recipe.rewriting.max_user_words, "assistant": build.recipe.rewriting.max_reply_words}
    words = {"user": 0, "assistant": 0}
    for number in build.plan.partitions:
        record = build.plan.folder.record(number)
        assert record is not None, "the plan is whole"
        dialogues += record.outcome.emitted
        rejected += len(record.outcome.rejections)
        left_out += record.outcome.notes.get(LEFT_OUT, 0)
        for rejection in record.outcome.rejections:
            reasons[rejection.reason] = reasons.get(rejection.reason, 0) + 1
        for row in build.plan.folder.read(number).to_pylist():
            for turn in row["turns"][: 2 * build.recipe.rewriting.max_exchanges]:
                words[turn["role"]] += min(_words(turn["text"]), limits[turn["role"]])
                exchanges += turn["role"] == "user"
    renditions = build.recipe.speech.renditions
    timing = build.recipe.timing
    speech_s = sum(words.values()) / WORDS_PER_SECOND
    to_speak_s = (words["user"] * renditions + words["assistant"]) / WORDS_PER_SECOND
    frame_s = build.sequences.samples_per_frame / build.sequences.sample_rate
    text_ids: dict[Role, int] = {role: round(words[role] * IDS_PER_WORD) for role in CHANNELS}
    pauses_s = make_scenario(timing).pauses_s(Amount(exchanges, text_ids, frame_s))
    lines = [
        f"recipe       {build.recipe.name}",
        f"dialogues    {dialogues:,} ({rejected:,} rows of the sources rejected{_counts(reasons)})",
        *([f"left out     {left_out:,} rows of the sources, by `where`"] if left_out else []),
        f"renditions   {renditions} of each, {dialogues * renditions:,} dialogues to speak, "
        f"about {to_speak_s / 3600:.2f} hours of speech: the assistant speaks once for all renditions",
        f"takes        {timing.takes} of each, {dialogues * renditions * timing.takes:,} dialogues to make",
        f"hours        about {(speech_s + pauses_s) * renditions * timing.takes / 3600:.2f}, "
        f"of which speech {speech_s * renditions * timing.takes / 3600:.2f}",
        *(f"{effect.name:12} {line}" for effect in make_effects(build.recipe.acoustics) for line in effect.about()),
        f"partitions   {build.plan.num_partitions} of up to {build.recipe.partition_size} dialogues",
        "done already",
    ]
    for stage, folder, missing in zip(build.stages, build.folders, build.missing, strict=True):
        count = build.plan.num_partitions - len(missing)
        lines.append(f"  {stage.name:10} {count} of {build.plan.num_partitions} partitions, in {folder.path}")
    return _shown(lines)


def _shown(lines: Iterable[str]) -> str:
    """The lines, with line breaks in texts of the data set escaped."""
    return "\n".join(map(one_line, lines))


def _words(text: str) -> int:
    """Words of a text, or characters where a script has no spaces."""
    return sum(1 if word.isascii() else len(word) for word in text.split())


def _counts(counts: dict[str, int]) -> str:
    text = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
    return f": {text}" if text else ""


def describe_dataset(dataset: Dataset) -> str:
    """Counts and timing statistics, as the manifest has them."""
    manifest = dataset.manifest
    statistics = Statistics.stored({name: tally.model_dump() for name, tally in manifest.statistics.items()})
    lines = [f"{manifest.name}: {' '.join(manifest.description.split())}", ""]
    if manifest.kind == PREFERENCES:
        source = manifest.made_of
        lines[1:1] = [f"preference pairs of {source.name}, scenario {source.timing.scenario}"]
    for counts in manifest.ledger:
        reasons, notes = _counts(counts.reasons), _counts(counts.notes)
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
    """One dialogue as its layout shows it; of a preference pair, both sides.

    wanted: the dialogue's id, or its number counted from 0.
    Raises UserError if there is no such dialogue.
    """
    if dataset.kind == PREFERENCES:
        return _shown(_pair_lines(dataset, _find(dataset, wanted, None)))
    return _shown(
        _dialogue_lines(
            dataset, _find(dataset, wanted, [*SHOWN_COLUMNS, *(field.name for field in dataset.layout.COLUMNS)])
        )
    )


def _find(dataset: Dataset, wanted: str, columns: list[str] | None) -> dict[str, Any]:
    chosen = RowGroups(dataset).row(place_of(dataset, wanted), columns)
    check_shown(dataset, chosen)
    return chosen


def _dialogue_lines(dataset: Dataset, row: dict[str, Any]) -> Iterator[str]:
    rate = dataset.sample_rate
    yield f"{row['dialogue_id']}  {row['source']}, {row['scenario']}"
    for event in row["events"]:
        span = f"{event['start_sample'] / rate:7.2f} – {event['end_sample'] / rate:6.2f} s"
        cut = f"  — cut, heard: {event['spoken_text']}" if event["cut_by"] is not None else ""
        kind = "" if event["kind"] == TURN else f" [{event['kind'].replace('_', ' ')}]"
        pauses = "".join(
            f"  — pause {pause['start_sample'] / rate:.2f} – {pause['end_sample'] / rate:.2f} s"
            for pause in event["pauses"]
        )
        yield f"{event['channel']:>9}  {span}  {event['voice']}{kind}: {event['text']}{pauses}{cut}"
    yield from _acoustics_lines(row["acoustics"] or ())
    yield ""
    yield from dataset.layout.show(
        sides(dataset, row)[""], names(text_tokenizer(dataset)), read_events(row["events"]), rate
    )


def _acoustics_lines(drawn: Iterable[dict[str, Any]]) -> Iterator[str]:
    """What was drawn for the user's channel: a line per effect, and one per number of an event or a clip."""
    lines: dict[tuple[str, str], list[str]] = {}
    for one in drawn:
        quantity, bracket, number = one["quantity"].partition("[")
        lines.setdefault((one["effect"], bracket + number), []).append(f"{quantity} {_figure(one['value'])}")
    for (effect, number), values in lines.items():
        yield f"{effect:>9}  {number + ' ' if number else ''}{', '.join(values)}"


def _figure(value: float) -> str:
    """A whole number with all its digits: a sample of a long track has seven."""
    return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"


def _pair_lines(dataset: Dataset, row: dict[str, Any]) -> Iterator[str]:
    capped = ", less than was drawn: there was no room for more" if row["capped"] else ""
    yield f"{row['dialogue_id']}  {row['scenario']}, event {row['event']}, {row['mistake'].replace('_', ' ')}"
    for side, columns in sides(dataset, row).items():
        yield ""
        yield f"{side}: {row[f'{side}_delay_s']:.2f} s{capped if side == 'rejected' else ''}"
        yield from dataset.layout.show(columns, names(text_tokenizer(dataset)), (), dataset.sample_rate)
