"""Scores of what a model said to items of Full-Duplex-Bench, read from the folders that outputs.py wrote.

The words are those of output.json, whoever wrote it: a recogniser of ours, or the benchmark's get_transcript/asr.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

import soundfile

from ....pipeline.dialogue import Waveform
from ....pipeline.errors import DialogueRejected, UserError
from ....pipeline.show.progress import Display
from ..items import Unmeasured
from ..judge import Judge, Reply, Scale
from ..metrics import Figure, figure
from .inputs import Item, Task, read_json, times
from .outputs import OUTPUT, TIMING, WORDS, place, segments_after
from .rules import Backchannels, Chunk, Intervals, Speech, backchannels, divergence

# eval_user_interruption.py asks for a relation between 0 and 5; the words are ours.
RELATION = Scale(
    """\
A user and a voice assistant talk. The assistant was answering, and the user interrupted it. Rate from 0 to 5 how well
what the assistant said after the interruption fits what the user said in it. 0: it has nothing to do with it.
3: it has to do with it. 5: it fits perfectly.
Reply with the number alone.

User, before: {context}
User, interrupting: {question}
Assistant, after that: {reply}""",
    0,
    5,
)
Row = dict[str, Any]
People = Mapping[str, Sequence[float]]


def read_people(path: Path) -> People:
    """When people say backchannels in each item, by its id: icc_gt_distribution.json. Raises UserError if it is not."""
    try:
        content = read_json(path)
    except DialogueRejected as error:
        raise UserError(f"{path}: {error.detail}. Expected icc_gt_distribution.json of Full-Duplex-Bench.") from None
    if not isinstance(content, dict) or not all(_is_distribution(one) for one in content.values()):
        raise UserError(f"{path}: expected a distribution, a list of numbers of at least 0, by the id of each item.")
    return content


def _is_distribution(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(one, int | float) and 0 <= one < inf for one in value):
        return False
    return 0 < sum(value) < inf


def scored(items: Sequence[Item], out: Path, people: People | None) -> tuple[list[Row], list[Unmeasured]]:
    """The row of each item, with its scores; and items whose outputs cannot be read, with the reason.

    people: as `read_people` gives them; None: the times of backchannels are compared with nobody's.
    """
    rows, left_out = list[Row](), list[Unmeasured]()
    for item in items:
        try:
            rows.append(_row(item, place(item, out), people))
        except DialogueRejected as error:
            left_out.append(Unmeasured(item.set_name, error.reason, f"{item.id}: {error.detail}"))
    return rows, left_out


def _row(item: Item, folder: Path, people: People | None) -> Row:
    row: Row = {"set": item.set_name, "dialogue_id": item.id, "task": item.task.value}
    if item.task is Task.OVERLAP:
        return row | _overlap(item, folder)
    speech = _speech(folder, item.scored_from_s)
    row["words"] = len(speech.chunks) if speech.are_words else None
    if item.task is Task.BACKCHANNEL:
        samples, rate = _sound(folder / OUTPUT)
        return row | _backchannels(
            item, backchannels(segments_after(samples, rate), speech, len(samples) / rate), people
        )
    row["took_turn"] = speech.takes_turn
    if item.task is Task.PAUSE_HANDLING:
        return row
    assert item.mark, "these tasks have one"
    user_end_s = item.mark.start_s if item.task is Task.SMOOTH_TURN_TAKING else item.mark.end_s
    row["latency_s"] = _rounded(speech.latency_s(user_end_s))
    if item.task is Task.USER_INTERRUPTION:
        row |= {"questions": [item.mark.context, item.mark.text], "reply": speech.text if speech.are_words else None}
    return row


def _overlap(item: Item, folder: Path) -> Row:
    content = read_json(folder / TIMING)
    try:
        lists = (content["latency_stop_list"], content["latency_resp_list"])
        found = Intervals(*([times(one, TIMING) for one in each] for each in lists))
    except (KeyError, TypeError):
        raise DialogueRejected("unreadable_json", f"{TIMING}: expected what get_timing.py writes") from None
    assert item.mark, "items of v1.5 have one"
    return {
        "stop_latency_s": _rounded(found.stop_latency_s(item.mark.start_s, item.mark.end_s)),
        "response_latency_s": _rounded(found.response_latency_s(item.mark.start_s)),
    }


def _backchannels(item: Item, found: Backchannels, people: People | None) -> Row:
    theirs = (people or {}).get(item.id)
    return {
        "took_turn": found.takes_turn,
        "backchannels_s": [[round(start, 3), round(end, 3)] for start, end in found.segments_s],
        "backchannels_per_s": found.per_s,
        "jsd": None if theirs is None else divergence(found, theirs),
    }


def _speech(folder: Path, after_s: float) -> Speech:
    """What is said after some time: the words of output.json, which has no others; without it, segments of speech."""
    if not (folder / WORDS).is_file():
        segments = segments_after(*_sound(folder / OUTPUT), after_s)
        return Speech(tuple(Chunk("", *segment) for segment in segments), are_words=False)
    content = read_json(folder / WORDS)
    if not isinstance(content, dict) or not isinstance(content.get("chunks"), list):
        raise DialogueRejected("unreadable_json", f"{WORDS}: expected text and chunks")
    return Speech(tuple(map(_chunk, content["chunks"])), are_words=True, text=str(content.get("text", "")))


def _sound(path: Path) -> tuple[Waveform, int]:
    """Samples [samples], and their rate; raises DialogueRejected if they cannot be read."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise DialogueRejected("unreadable_audio", f"{path.name}: {error}") from None
    return samples[:, 0], rate


def _chunk(value: Any) -> Chunk:
    """A word; without an end, it ends where it starts."""
    word = value if isinstance(value, dict) else {}
    timestamp = word.get("timestamp")
    if isinstance(timestamp, list) and len(timestamp) == 2 and timestamp[1] is None:
        timestamp = [timestamp[0], timestamp[0]]
    return Chunk(str(word.get("text", "")), *times(timestamp, WORDS))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def judged(rows: Sequence[Row], judge: Judge, display: Display) -> None:
    """Add the judge's verdicts to interruptions of v1.0 after which a turn was taken, as eval_user_interruption.py."""
    asked = [row for row in rows if row.get("took_turn") and row.get("reply") is not None]
    replies = [
        Reply(f"{row['set']}/{row['dialogue_id']}", row["questions"][1], row["reply"], row["questions"][0])
        for row in asked
    ]
    with display.counting("judged", len(asked)) as report:
        verdicts = judge.verdicts(replies, report)
    for row, verdict in zip(asked, verdicts, strict=True):
        row["judge"] = asdict(verdict)


FIGURES = {
    "tor": ("took_turn", set(Task) - {Task.OVERLAP}),
    "latency_s": ("latency_s", {Task.SMOOTH_TURN_TAKING, Task.USER_INTERRUPTION}),
    "backchannels_per_s": ("backchannels_per_s", {Task.BACKCHANNEL}),
    "jsd": ("jsd", {Task.BACKCHANNEL}),
    "stop_latency_s": ("stop_latency_s", {Task.OVERLAP}),
    "response_latency_s": ("response_latency_s", {Task.OVERLAP}),
}
"""Figures by name: the key of a row that they are the mean of, where it has a value; and the tasks that have them."""


def figures(rows: Sequence[Row], seed: int) -> dict[str, Figure]:
    """The figures of the items of one folder, in the order of the benchmark's table."""
    tasks = {Task(row["task"]) for row in rows}
    found = {
        name: figure([row[key] for row in rows if row.get(key) is not None], seed, name)
        for name, (key, of) in FIGURES.items()
        if tasks & of
    }
    if scores := [row["judge"]["score"] for row in rows if "judge" in row]:
        found["relation"] = figure([score for score in scores if score is not None], seed, "relation")
    return found
