"""The items of Full-Duplex-Bench in a folder, as it publishes them and as `export --to full-duplex-bench` does.

    v1_0/candor_turn_taking/7/    input.wav  turn_taking.json  transcription.json
    v1_5/background_speech/7/     input.wav  clean_input.wav  metadata.json

The folders of tasks may have any name: the files in them say which task it is.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import soundfile

from ....pipeline.errors import DialogueRejected, UserError
from ....pipeline.storage.paths import read_text
from ..items import Unmeasured

INPUT, CLEAN = "input.wav", "clean_input.wav"
DEEPEST = 4  # folders below the one that is named, down to an item
LARGEST_JSON = 1 << 24  # bytes
LONGEST_S = 1e6  # a later time is a mistake


class Task(StrEnum):
    """What the items of a folder measure."""

    PAUSE_HANDLING = "pause_handling"
    BACKCHANNEL = "backchannel"
    SMOOTH_TURN_TAKING = "smooth_turn_taking"
    USER_INTERRUPTION = "user_interruption"
    OVERLAP = "overlap"  # all four of v1.5


MARKS = {
    Task.OVERLAP: "metadata.json",
    Task.USER_INTERRUPTION: "interrupt.json",
    Task.SMOOTH_TURN_TAKING: "turn_taking.json",
    Task.PAUSE_HANDLING: "pause.json",
}
"""The file that says when something happens in an item. Items of backchannels have none."""
KEYS = {Task.OVERLAP: ("timestamps", "context_text", "current_turn_text")}
"""What the entries of a mark are called, where it is not timestamp, context, interrupt."""
UNREAD = {Task.PAUSE_HANDLING, Task.BACKCHANNEL}  # their scorers read no mark
NAMED = {"backchannel": Task.BACKCHANNEL, "pause": Task.PAUSE_HANDLING, "turn_taking": Task.SMOOTH_TURN_TAKING}
"""The task of a folder none of whose items has a mark, by a part of its name."""
FILES = (INPUT, CLEAN, "context.wav", "interrupt.wav", "transcription.json", *MARKS.values())
"""What an item is published with. Outputs of another model may lie beside it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """When something happens in an item, in seconds, and what is said then."""

    start_s: float  # of smooth turn-taking: the end of the turn
    end_s: float  # the same: where people answer
    context: str = ""  # what the user says before it
    text: str = ""


@dataclass(frozen=True)
class Item:
    """One item: its folder, and what its scorer reads there beside the outputs."""

    set_name: str  # the folder of its task, from the one that was named
    id: str
    task: Task
    folder: Path
    mark: Mark | None  # None: the scorer reads none
    length_s: float

    @property
    def name(self) -> str:
        return f"{self.set_name}/{self.id}"

    @property
    def scored_from_s(self) -> float:
        """Words before this count for nothing: of an interruption of v1.0, before its end."""
        return self.mark.end_s if self.task is Task.USER_INTERRUPTION and self.mark else 0.0

    @property
    def inputs(self) -> list[str]:
        """The recordings that are played."""
        return [name for name in (INPUT, CLEAN) if name == INPUT or self.has(CLEAN)]

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()


def found(root: Path, limit: int | None = None) -> tuple[list[Item], list[Unmeasured]]:
    """The items in a folder, by task and id, and those that are left out, with the reason.

    limit: of each task; None: all. Raises UserError if there is no such folder, or no item in it.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder. Expected one of Full-Duplex-Bench, with folders of tasks.")
    items, left_out = list[Item](), list[Unmeasured]()
    for folder in _task_folders(root):
        set_name = root.resolve().name if folder == root else str(folder.relative_to(root))
        folders = sorted(_folders(folder), key=_place)[:limit]
        task = _task(folder, folders)
        for one in folders:
            try:
                items.append(_item(set_name, task, one))
            except DialogueRejected as error:
                left_out.append(Unmeasured(set_name, error.reason, f"{one.name}: {error.detail}"))
    if not items and not left_out:
        raise UserError(
            f"{root} has no items of Full-Duplex-Bench. Expected in it, or in folders in it, folders such as TASK/ID "
            f"with {INPUT}, as the benchmark publishes them and `duplexgen export --to full-duplex-bench` writes them."
        )
    return items, left_out


def read_json(path: Path) -> Any:
    """Raises DialogueRejected if there is no such file, or it cannot be read."""
    if not path.is_file():
        raise DialogueRejected("missing_file", f"there is no {path.name}")
    try:
        return json.loads(read_text(path, LARGEST_JSON))
    except (UserError, ValueError, RecursionError) as error:
        raise DialogueRejected("unreadable_json", f"{path.name}: {error}") from None


def times(value: Any, name: str) -> tuple[float, float]:
    """Two times in seconds; raises DialogueRejected if they are none."""
    if isinstance(value, list) and len(value) == 2 and all(_is_time(one) for one in value):
        return float(value[0]), float(value[1])
    raise DialogueRejected("unreadable_json", f"{name}: expected two times in seconds, got {str(value)[:80]}")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LONGEST_S


def _task_folders(root: Path) -> Iterator[Path]:
    """Folders with folders of items, in the order of their names."""
    level = [root]
    for _ in range(DEEPEST):
        below = list[Path]()
        for folder in sorted(level):
            folders = _folders(folder)
            if any((one / name).is_file() for one in folders for name in (INPUT, *MARKS.values())):
                yield folder
            else:
                below += folders
        level = below


def _folders(folder: Path) -> list[Path]:
    try:
        return [one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None


def _place(item: Path) -> tuple[bool, int, str]:
    """Numbers come first, in their order."""
    is_number = item.name.isascii() and item.name.isdigit()
    return not is_number, int(item.name) if is_number else 0, item.name


def _task(folder: Path, items: Sequence[Path]) -> Task | None:
    """None: neither a file nor its name says it."""
    for task, mark in MARKS.items():
        if any((item / mark).is_file() for item in items):
            return task
    return next((task for part, task in NAMED.items() if part in folder.name), None)


def _item(set_name: str, task: Task | None, folder: Path) -> Item:
    """Raises DialogueRejected if it cannot be played or scored."""
    length_s = _length_s(folder / INPUT)
    if (folder / CLEAN).is_file():
        _length_s(folder / CLEAN)
    if task is None:
        marks = ", ".join(MARKS.values())
        raise DialogueRejected("unknown_task", f"expected one of {marks}, or a folder whose name has `backchannel`")
    mark = None if task in UNREAD else _mark(folder / MARKS[task], task)
    if mark and mark.start_s > length_s:
        raise DialogueRejected(
            "unreadable_json", f"{MARKS[task]}: {mark.start_s} s comes after the end of {INPUT}, at {length_s:.3f} s"
        )
    return Item(set_name, folder.name, task, folder, mark, length_s)


def _length_s(path: Path) -> float:
    if not path.is_file():
        raise DialogueRejected("missing_file", f"there is no {path.name}")
    try:
        about = soundfile.info(path)
    except (soundfile.SoundFileError, RuntimeError, OSError) as error:
        raise DialogueRejected("unreadable_audio", f"{path.name}: {error}") from None
    if about.channels != 1:
        raise DialogueRejected(
            "unreadable_audio", f"{path.name} has {about.channels} channels, expected the user's alone"
        )
    if not about.frames:
        raise DialogueRejected("unreadable_audio", f"{path.name} is empty: it has no samples")
    return float(about.frames / about.samplerate)


def _mark(path: Path, task: Task) -> Mark:
    content = read_json(path)
    if task is not Task.OVERLAP:
        content = content[0] if isinstance(content, list) and content else None
    if not isinstance(content, dict):
        raise DialogueRejected("unreadable_json", f"{path.name}: it has not the form that the benchmark publishes")
    keys = KEYS.get(task, ("timestamp", "context", "interrupt"))
    start_s, end_s = times(content.get(keys[0]), path.name)
    if start_s > end_s and task is not Task.SMOOTH_TURN_TAKING:  # an answer may start before the turn ends
        raise DialogueRejected("unreadable_json", f"{path.name}: it ends at {end_s} s, before its start at {start_s} s")
    return Mark(start_s, end_s, *(str(content.get(key, "")) for key in keys[1:]))
