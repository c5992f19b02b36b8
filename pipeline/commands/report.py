"""What a person reads about a plan, a data set, or one dialogue."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..dataset.reader import Dataset
from ..dataset.row_groups import RowGroups
from ..dataset.rows import read_events
from ..dataset.statistics import Statistics
from ..dialogue import TURN
from ..escapes import one_line
from ..pairs.kind import PREFERENCES
from ..view.rows import check_shown, names, place_of, sides, text_tokenizer
from .planned import Planned

SHOWN_COLUMNS = ["dialogue_id", "source", "scenario", "events", "acoustics"]


def describe_plan(plan: Planned) -> str:
    """What a build would do, and how much of it is done."""
    lines = [
        f"recipe       {plan.recipe}",
        f"dialogues    {plan.dialogues:,} ({plan.rejected:,} rows of the sources rejected{_counts(plan.reasons)})",
        *([f"left out     {plan.left_out:,} rows of the sources, by `where`"] if plan.left_out else []),
        f"renditions   {plan.renditions} of each, {plan.to_speak:,} dialogues to speak, "
        f"about {plan.hours_to_speak:.2f} hours of speech: the assistant speaks once for all renditions",
        f"takes        {plan.takes} of each, {plan.to_make:,} dialogues to make",
        f"hours        about {plan.hours:.2f}, of which speech {plan.hours_of_speech:.2f}",
        *(f"{effect:12} {line}" for effect, line in plan.effects),
        f"partitions   {plan.partitions} of up to {plan.partition_size} dialogues",
        "done already",
        *(f"  {of.stage:10} {of.done} of {plan.partitions} partitions, in {of.folder}" for of in plan.stages),
    ]
    return _shown(lines)


def _shown(lines: Iterable[str]) -> str:
    """The lines, with line breaks in texts of the data set escaped."""
    return "\n".join(map(one_line, lines))


def _counts(counts: Mapping[str, int]) -> str:
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
        lines.append(f"{early.quantity.title}: {early.mean:.1%} of replies")
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
