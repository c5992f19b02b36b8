"""One dialogue, or one preference pair, as the page draws it: lanes, events, what effects drew, and the ids of the row.

Times are seconds here: this is a report.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from ..dataset.reader import Dataset
from ..dataset.rows import read_events
from ..dataset.schema import ACTIVITY, SIDES
from ..dialogue import CHANNELS, TURN, Event
from ..layouts.layout import Layout, WrittenReply
from ..pairs.kind import PREFERENCES
from .grids import grid
from .rows import check_shown, names, sides
from .sound import LONGEST_S, NONE, Sound

Row = Mapping[str, Any]
Shown = dict[str, Any]
OF_DIALOGUES = ("dialogue_id", "source", "language", "scenario", "events", "acoustics", ACTIVITY)
CLEAN_IS_GONE = (
    "The data set keeps the user's channel after the effects alone, so the channel before them cannot be heard here. "
    "These are the values that were drawn. Build the recipe with `acoustics: []` and the same seed to hear it before."
)


def columns(dataset: Dataset) -> list[str] | None:
    """The columns that `shown` needs; None: all."""
    if dataset.kind == PREFERENCES:
        return None
    return [*OF_DIALOGUES, *(field.name for field in dataset.layout.COLUMNS)]


def shown(dataset: Dataset, tokenizer: Tokenizer, sound: Sound, number: int, row: Row) -> Shown:
    """A row as the page draws it. tokenizer: that of `vocabulary/`. Raises UserError if it is damaged."""
    check_shown(dataset, row)
    is_pair = dataset.kind == PREFERENCES
    parts = sides(dataset, row)
    layout, rate = dataset.layout, dataset.sample_rate
    events = dict.fromkeys(parts, () if is_pair else read_events(row["events"]))
    if is_pair:
        events = {side: _events_of(layout, layout.written(part).replies) for side, part in parts.items()}
    length_s = max(layout.length(part) for part in parts.values()) * layout.samples_per_frame / rate
    state = sound.state if length_s <= LONGEST_S else NONE
    too_long = f"No sound: the dialogue is longer than {LONGEST_S / 60:.0f} minutes, which is too much for a browser."
    about = {
        "number": number,
        "id": row["dialogue_id"],
        "kind": dataset.kind,
        "set": dataset.manifest.name,
        "license": str(dataset.manifest.made_of.license),
        "scenario": row["scenario"],
        "layout": layout.name,
        "sample_rate": rate,
        "length_s": length_s,
        "sound": {"state": state, "says": sound.says if length_s <= LONGEST_S else too_long},
        "grids": {side: grid(layout, part, names(tokenizer), events[side], rate) for side, part in parts.items()},
    }
    return about | (_pair(dataset, tokenizer, row, parts) if is_pair else _dialogue(row, rate))


def _dialogue(row: Row, rate: int) -> Shown:
    return {
        "source": row["source"],
        "language": row["language"],
        "lanes": [{"channel": channel, "side": ""} for channel in CHANNELS],
        "events": [_event(index, event, rate) for index, event in enumerate(row["events"])],
        "acoustics": _acoustics(row["acoustics"], rate),
        "activity": [
            {"channel": one["channel"], "start_s": one["start_sample"] / rate, "end_s": one["end_sample"] / rate}
            for one in row[ACTIVITY] or ()
        ],
    }


def _event(index: int, event: Row, rate: int) -> Shown:
    return {
        "index": index,
        "side": "",
        **{key: event[key] for key in ("channel", "kind", "voice", "text", "spoken_text", "answers", "cut_by")},
        **{f"{key}_s": event[f"{key}_sample"] / rate for key in ("start", "end", "whole_end")},
        "words": [[word["text"], *_span(word, rate)] for word in event["words"] or ()],
        "pauses": [_span(pause, rate) for pause in event["pauses"]],
        "quality": {name: value for name, value in (event["quality"] or {}).items() if value is not None},
    }


def _span(of: Row, rate: int) -> list[float]:
    return [of["start_sample"] / rate, of["end_sample"] / rate]


def _acoustics(drawn: Sequence[Row] | None, rate: int) -> Shown | None:
    """What effects drew, by effect and by the number in its name, with the place of what has one."""
    if drawn is None:
        return None
    groups: dict[tuple[str, str], dict[str, float]] = {}
    for one in drawn:
        quantity, _, number = one["quantity"].partition("[")
        groups.setdefault((one["effect"], number.rstrip("]")), {})[quantity] = one["value"]
    marks = [mark for (effect, number), values in groups.items() for mark in _marks(effect, number, values, rate)]
    values = [{"effect": effect, "number": number, "values": of} for (effect, number), of in groups.items()]
    return {"says": CLEAN_IS_GONE, "values": values, "marks": marks}


def _marks(effect: str, number: str, values: Mapping[str, float], rate: int) -> Iterable[Shown]:
    """Where a clip of noise or a burst is on the user's lane; clips of silence are left out."""
    start = values.get("start_sample")
    if start is None or "level_db" not in values:
        return
    end = values.get("end_sample", start + values.get("samples", 0.0))
    if end > start:
        label = f"{effect} {number}, {values['level_db']:.0f} dB"
        yield {"effect": effect, "start_s": start / rate, "end_s": end / rate, "label": label}


def _pair(dataset: Dataset, tokenizer: Tokenizer, row: Row, parts: Mapping[str, Row]) -> Shown:
    """Rows of pairs have no events: what their ids say of the assistant's replies takes the place of these."""
    layout = dataset.layout
    written = {side: layout.written(part) for side, part in parts.items()}
    same_user = (written["chosen"].user_codes.shape == written["rejected"].user_codes.shape) and bool(
        (written["chosen"].user_codes == written["rejected"].user_codes).all()
    )
    lanes = [{"channel": "user", "side": "chosen"}, {"channel": "assistant", "side": "chosen"}]
    if not same_user:
        lanes.append({"channel": "user", "side": "rejected"})
    lanes.append({"channel": "assistant", "side": "rejected"})
    differs = _first_difference(written["chosen"].replies, written["rejected"].replies)
    events = [
        _reply(layout, reply, side, index, index == differs, tokenizer, dataset.sample_rate)
        for side in SIDES
        for index, reply in enumerate(written[side].replies)
    ]
    keys = ("event", "mistake", "chosen_delay_s", "rejected_delay_s", "capped")
    return {"lanes": lanes, "events": events, "acoustics": None, "activity": [], **{key: row[key] for key in keys}}


def _events_of(layout: Layout, replies: Sequence[WrittenReply]) -> tuple[Event, ...]:
    """Replies as events, as exactly as a row tells them."""
    frame = layout.samples_per_frame
    edges = ((reply.start_frames.start * frame, (reply.end_frames.stop - 1) * frame) for reply in replies)
    return tuple(Event(index, "assistant", TURN, start, end, end) for index, (start, end) in enumerate(edges))


def _first_difference(chosen: Sequence[WrittenReply], rejected: Sequence[WrittenReply]) -> int:
    pairs = enumerate(zip(chosen, rejected, strict=False))
    same = min(len(chosen), len(rejected))
    return next((at for at, (left, right) in pairs if _frames(left) != _frames(right)), same)


def _frames(reply: WrittenReply) -> tuple[range, range]:
    return reply.start_frames, reply.end_frames


def _reply(
    layout: Layout, reply: WrittenReply, side: str, index: int, differs: bool, tokenizer: Tokenizer, rate: int
) -> Shown:
    (event,) = _events_of(layout, [reply])
    text = tokenizer.decode([*reply.text_ids])
    start_s, end_s = event.start_sample / rate, event.end_sample / rate
    nothing: Shown = {"voice": "", "answers": None, "cut_by": None, "words": [], "pauses": [], "quality": {}}
    texts = {"text": text, "spoken_text": text}
    times = {"start_s": start_s, "end_s": end_s, "whole_end_s": end_s}
    about = {"index": index, "side": side, "channel": event.channel, "kind": event.kind, "differs": differs}
    return about | texts | times | nothing


def texts_of(rows: Iterable[tuple[int, Row]], most: int) -> dict[int, str]:
    """How each dialogue begins, for the table. rows: with `events.list.element.text`."""
    return {number: row["events"][0]["text"][:most] if row["events"] else "" for number, row in rows}
