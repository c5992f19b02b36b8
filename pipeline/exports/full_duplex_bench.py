"""Full-Duplex-Bench v1.0 and v1.5 (DanielLin94144/Full-Duplex-Bench, d7336bd): its inputs, from dialogues of ours.

    v1.0/smooth_turn_taking/7/  input.wav  turn_taking.json  transcription.json
    v1.0/pause_handling/7/      input.wav  pause.json  transcription.json
    v1.0/user_interruption/7/   input.wav  interrupt.json  context.wav  interrupt.wav
    v1.5/user_interruption/7/   input.wav  clean_input.wav  metadata.json
    v1.5/user_backchannel/7/    v1.5/talking_to_other/7/    v1.5/background_speech/7/    the same

A dialogue gives at most one item of each task; the number is that of its row, and items.jsonl has its id. The item is
the user's channel from the start of the dialogue to the end of what is measured, and then seconds in which the model
may answer. For pauses there are none: the benchmark counts any answer as a turn that was taken. The backchannels of
v1.0 are the model's own, and their scorer needs how people time them in its own recordings, so they are left out.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..audio.background import fill
from ..dataset.reader import Dataset
from ..dataset.rows import read_events
from ..dialogue import ASIDES, BACKCHANNEL, BYSTANDER, CHANNELS, SIDE_TALK, STOPPING, TURN, Event
from ..errors import UserError
from .exporter import AUDIO, DIALOGUES_ALONE, Exporter, Row, Shard, Summary
from .sound import channels, wav

ANSWER_S = 7.0  # after the input: time for an answer to start, and 4 s of it
OVERLAPS = {BACKCHANNEL: "user_backchannel", SIDE_TALK: "talking_to_other", BYSTANDER: "background_speech"}
"""Tasks of v1.5, by the kind of event."""
SPEAKERS = {"assistant": 0, "user": 1}  # of transcription.json
ITEMS = "items.jsonl"
Samples = NDArray[np.int16]  # [samples]


@dataclass(frozen=True)
class Dialogue:
    """A row, and the user's channel as the model hears it."""

    row: Row
    events: tuple[Event, ...]
    user: Samples
    rate: int

    def seconds(self, sample: int) -> float:
        return sample / self.rate

    def text(self, event: Event) -> str:
        text: str = self.row["events"][event.utterance]["text"]
        return text

    def after(self, sample: int) -> Samples:
        """The user's channel from a sample on, until the user speaks again."""
        starts = (event.start_sample for event in self.events if _is_user(event) and event.start_sample >= sample)
        return self.user[sample : min(starts, default=len(self.user))]

    def heard(self, end: int, answer_s: float) -> Samples:
        """The user's channel up to a sample, and then its background."""
        samples = np.zeros(end + round(answer_s * self.rate), np.int16)
        samples[:end] = self.user[:end]
        fill(samples[end:], self.after(end))
        return samples

    def without(self, samples: Samples, event: Event) -> Samples:
        """The same samples, with the background in place of an event."""
        clean = samples.copy()
        fill(clean[event.start_sample : event.end_sample], self.after(event.end_sample))
        return clean

    def transcription(self, end: int) -> list[Row] | None:
        """transcription.json of what is said before a sample; None if the times of words are not known."""
        said = [
            (CHANNELS[0] if _is_user(event) else CHANNELS[1], word)
            for event in self.events
            for word in event.words or ()
            if event.start_sample < end
        ]
        if not said:
            return None
        return [
            {
                "speaker": speaker,
                "item": [
                    {"text": word.text, "timestamp": [self.seconds(word.start_sample), self.seconds(word.end_sample)]}
                    for role, word in said
                    if role == channel
                ],
            }
            for channel, speaker in SPEAKERS.items()
        ]


Content = Samples | list[Row] | Row
Item = dict[str, Content]
"""The files of an item: samples of a .wav, or what a .json holds."""


def smooth_turn_taking(dialogue: Dialogue) -> Item | None:
    """The first turn, if it has no pause and is answered: from its end to the answer."""
    turn = _first_turn(dialogue)
    if turn is None or turn.pauses:
        return None
    answer = _answer(dialogue, turn)
    if answer is None:
        return None
    timestamp = [dialogue.seconds(turn.end_sample), dialogue.seconds(answer.start_sample)]
    return {
        "input.wav": dialogue.heard(turn.end_sample, ANSWER_S),
        "turn_taking.json": [{"text": "[TURN-TAKING]", "timestamp": timestamp}],
        **_transcribed(dialogue, answer.end_sample),
    }


def pause_handling(dialogue: Dialogue) -> Item | None:
    """The first turn, if it has a pause: up to its end, where the model may answer."""
    turn = _first_turn(dialogue)
    if turn is None or not turn.pauses:
        return None
    pauses = [[dialogue.seconds(pause.start_sample), dialogue.seconds(pause.end_sample)] for pause in turn.pauses]
    return {
        "input.wav": dialogue.heard(turn.end_sample, 0),
        "pause.json": [{"text": "[PAUSE]", "timestamp": pause} for pause in pauses],
        **_transcribed(dialogue, turn.end_sample),
    }


def user_interruption(dialogue: Dialogue) -> Item | None:
    found = _interruption(dialogue)
    if found is None:
        return None
    context, event = found
    return {
        "input.wav": dialogue.heard(event.end_sample, ANSWER_S),
        "interrupt.json": [
            {
                "context": dialogue.text(context),
                "interrupt": dialogue.text(event),
                "timestamp": [dialogue.seconds(event.start_sample), dialogue.seconds(event.end_sample)],
            }
        ],
        "context.wav": dialogue.user[context.start_sample : context.end_sample],
        "interrupt.wav": dialogue.user[event.start_sample : event.end_sample],
    }


def overlapping_interruption(dialogue: Dialogue) -> Item | None:
    found = _interruption(dialogue)
    return found and _overlap(dialogue, *found)


def overlap_of(kind: str) -> Callable[[Dialogue], Item | None]:
    """A task of v1.5: the first aside of a kind that falls into a reply."""

    def item(dialogue: Dialogue) -> Item | None:
        for event in dialogue.events:
            if event.kind == kind and _is_user(event) and _is_during_reply(dialogue, event):
                context = _turn_before(dialogue, event)
                return None if context is None else _overlap(dialogue, context, event)
        return None

    return item


TASKS: dict[str, Callable[[Dialogue], Item | None]] = {
    "v1.0/smooth_turn_taking": smooth_turn_taking,
    "v1.0/pause_handling": pause_handling,
    "v1.0/user_interruption": user_interruption,
    "v1.5/user_interruption": overlapping_interruption,
    **{f"v1.5/{task}": overlap_of(kind) for kind, task in OVERLAPS.items()},
}


class FullDuplexBench(Exporter):
    name: ClassVar[str] = "full-duplex-bench"
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]] = DIALOGUES_ALONE
    needs: ClassVar[frozenset[str]] = frozenset({AUDIO})

    def write(self, shard: Shard, out: Path) -> Summary:
        items = []
        for number, row in shard.rows(["dialogue_id", "events", "audio"]):
            user = channels(shard, number, row)[:, CHANNELS.index("user")]
            dialogue = Dialogue(row, read_events(row["events"]), user, shard.dataset.sample_rate)
            if not all(0 <= event.start_sample <= event.end_sample <= len(user) for event in dialogue.events):
                raise shard.damaged(number, "has an event that is not within its audio")
            found = {task: item for task, make in TASKS.items() if (item := make(dialogue))}
            if not found:
                shard.leave_out("nothing in it is measured by the benchmark")
            for task, item in found.items():
                _write(item, out / task / str(number), dialogue.rate)
                items.append({"task": task, "id": str(number), "dialogue_id": row["dialogue_id"]})
        return {"items": items}

    def finish(self, dataset: Dataset, summaries: Iterable[Summary], out: Path) -> Mapping[str, Any]:
        count = 0
        with (out / ITEMS).open("w", encoding="utf-8") as file:
            for summary in summaries:
                count += len(summary["items"])
                file.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in summary["items"])
        if not count:
            raise UserError(
                f"{dataset.path} has no turn, pause, interruption or aside that Full-Duplex-Bench measures. Export a "
                "set such as held_out_turn_taking, held_out_interruption or held_out_natural."
            )
        return {}


def _write(item: Item, folder: Path, rate: int) -> None:
    folder.mkdir(parents=True)
    for name, content in item.items():
        if isinstance(content, np.ndarray):
            (folder / name).write_bytes(wav(content, rate))
        else:
            (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def _transcribed(dialogue: Dialogue, end: int) -> Item:
    words = dialogue.transcription(end)
    return {} if words is None else {"transcription.json": words}


def _overlap(dialogue: Dialogue, context: Event, event: Event) -> Item:
    heard = dialogue.heard(event.end_sample, ANSWER_S)
    return {
        "input.wav": heard,
        "clean_input.wav": dialogue.without(heard, event),
        "metadata.json": {
            "context_text": dialogue.text(context),
            "current_turn_text": dialogue.text(event),
            "timestamps": [dialogue.seconds(event.start_sample), dialogue.seconds(event.end_sample)],
        },
    }


def _is_user(event: Event) -> bool:
    return event.channel == "user"


def _first_turn(dialogue: Dialogue) -> Event | None:
    """The first turn of the user's, if nothing of the user's channel comes before its end."""
    first = next((event for event in dialogue.events if _is_user(event)), None)
    return first if first is not None and first.kind == TURN else None


def _answer(dialogue: Dialogue, turn: Event) -> Event | None:
    return next((event for event in dialogue.events if event.answers == turn.utterance), None)


def _turn_before(dialogue: Dialogue, event: Event) -> Event | None:
    """The last turn of the user's that was said before an event."""
    before = (
        one
        for one in dialogue.events
        if _is_user(one) and one.kind not in ASIDES and one.end_sample <= event.start_sample
    )
    return max(before, key=lambda one: one.start_sample, default=None)


def _interruption(dialogue: Dialogue) -> tuple[Event, Event] | None:
    """The first event that stops a reply and is answered, and the turn before it."""
    cutting = {event.cut_by for event in dialogue.events}
    for event in dialogue.events:
        if _is_user(event) and event.kind in STOPPING and event.utterance in cutting and _answer(dialogue, event):
            context = _turn_before(dialogue, event)
            return None if context is None else (context, event)
    return None


def _is_during_reply(dialogue: Dialogue, event: Event) -> bool:
    return any(one.start_sample < event.start_sample < one.end_sample for one in dialogue.events if not _is_user(one))
