"""The stimuli of an evaluation: the users' channels of a data set of held-out dialogues."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pipeline.dataset.audio import LONGEST_TRACK_S, read_audio
from ...pipeline.dataset.reader import Dataset
from ...pipeline.dataset.rows import read_events
from ...pipeline.dialogue import CHANNELS, Event
from ...pipeline.errors import DialogueRejected, UserError
from ...pipeline.kinds import check_whole
from ...pipeline.scenarios.interruption import Interruption
from ..sequences import SequenceFormat

SILENCE_AFTER_S = 7.0  # 3 s in which a reply counts as in time, and 4 s of the reply
COLUMNS = ["dialogue_id", "scenario", "events", "audio"]


@dataclass(frozen=True)
class Stimulus:
    """What one user says, and then silence."""

    dialogue_id: str
    scenario: str
    questions: tuple[str, ...]  # one; or two and more, the last one during a reply
    samples: NDArray[np.int16]  # [samples] at the model's rate, whole blocks
    user_end_sample: int  # as it was laid out
    barge_in_sample: int | None  # where the second question starts; None: nothing is interrupted


def check(dataset: Dataset, sequence_format: SequenceFormat) -> None:
    """Raise UserError unless the data set is whole and a model of this format can hear its users.

    Its layout and its tokenizers may be others than the model's: only the audio is used.
    """
    if failures := check_whole(dataset):
        listed = "\n".join(f"  {failure}" for failure in failures[:5])
        raise UserError(f"{dataset.path} is not a whole data set, as `duplexgen verify` says:\n{listed}")
    theirs, ours = dataset.described.sample_rate, sequence_format.sample_rate
    if theirs != ours:
        raise UserError(
            f"{dataset.path} has audio of {theirs} Hz, and the model hears {ours} Hz. Build the evaluation set with "
            f"`output: {{sample_rate: {ours}}}`."
        )
    if missing := [column for column in COLUMNS if column not in dataset.columns.names]:
        raise UserError(
            f"{dataset.path} has no column {', '.join(missing)}. An evaluation set is built by `duplexgen build` with "
            "`output: {audio: flac}`."
        )


def read(dataset: Dataset, sequence_format: SequenceFormat) -> Iterator[Stimulus | DialogueRejected]:
    """One stimulus per row, in order; DialogueRejected, whose detail names the dialogue, for a row that has none."""
    for row in dataset.rows(COLUMNS):
        try:
            yield stimulus(row, sequence_format)
        except DialogueRejected as error:
            yield DialogueRejected(error.reason, f"{row['dialogue_id']}: {error.detail}")


def stimulus(row: dict[str, Any], sequence_format: SequenceFormat) -> Stimulus:
    """The user's channel to the end of the first question; if a reply is cut, to the end of the event that cuts it.
    After it comes what is in the channel until the user speaks again, as often as needed: silence, or noise.

    Raises DialogueRejected if the row has no audio, if its scenario cuts a reply in each row and none is cut, or if
    nothing is answered, so that the model would have to answer what is no question.
    """
    events = read_events(row["events"])
    last, barge_in = _last_question(events, row["scenario"])
    user = _user_channel(row, sequence_format.sample_rate)
    end = last.end_sample
    if not 0 <= last.start_sample <= end <= LONGEST_TRACK_S * sequence_format.sample_rate:
        raise DialogueRejected("no_such_audio", f"an event ends at sample {end}, of {len(user)}")
    if all(event.answers is None for event in events):
        raise DialogueRejected("nothing_answered", f"nobody is answered in the scenario {row['scenario']}")
    after = user[end : min((event.start_sample for event in events if _speaks_after(event, end)), default=len(user))]
    user = user[:end]
    length = end + round(SILENCE_AFTER_S * sequence_format.sample_rate)
    block = sequence_format.block_samples
    samples = np.zeros(-(-length // block) * block, np.int16)
    samples[: len(user)] = user
    if after.any():
        samples[end:] = np.resize(after, len(samples) - end)
    questions = (event for event in events if event.channel == "user" and event.start_sample <= last.start_sample)
    return Stimulus(
        row["dialogue_id"],
        row["scenario"],
        tuple(row["events"][event.utterance]["text"] for event in questions),
        samples,
        end,
        last.start_sample if barge_in else None,
    )


def _speaks_after(event: Event, sample: int) -> bool:
    return event.channel == "user" and event.start_sample >= sample


def _last_question(events: Sequence[Event], scenario: str) -> tuple[Event, bool]:
    """The event that the model has to answer, and whether it interrupts a reply."""
    first = next((event for event in events if event.channel == "user"), None)
    if first is None:
        raise DialogueRejected("no_turns", "the user says nothing")
    cut_by = next((event.cut_by for event in events if event.cut_by is not None), None)
    if cut_by is None and scenario != Interruption.name:
        return first, False
    if cut_by is None or not 0 <= cut_by < len(events):
        raise DialogueRejected("nothing_interrupted", "no reply is cut by another event")
    return events[cut_by], True


def _user_channel(row: dict[str, Any], sample_rate: int) -> NDArray[np.int16]:
    if not row["audio"] or not row["audio"]["bytes"]:
        raise DialogueRejected("no_audio", "the row has no audio")
    try:
        samples = read_audio(row["audio"]["bytes"], sample_rate)
    except ValueError as error:
        raise DialogueRejected("unreadable_audio", f"the audio {error}") from None
    channel: NDArray[np.int16] = samples[:, CHANNELS.index("user")]
    return channel


def opened(folders: list[Path], sequence_format: SequenceFormat) -> list[Dataset]:
    """The evaluation sets in these folders. Raises UserError as `check` does, and if two have the same name."""
    names = [folder.resolve().name for folder in folders]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"two evaluation sets are called {', '.join(repeated)}: rename one of the folders.")
    sets = [Dataset(folder) for folder in folders]
    for dataset in sets:
        check(dataset, sequence_format)
    return sets
