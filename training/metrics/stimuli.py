"""The stimuli of an evaluation: the users' channels of a data set of held-out dialogues."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pipeline.audio.background import fill
from ...pipeline.dataset.audio import LONGEST_TRACK_S, read_audio
from ...pipeline.dataset.reader import Dataset
from ...pipeline.dataset.rows import read_events
from ...pipeline.dialogue import ASIDES, CHANNELS, SILENCE_REQUEST, STOPPING, TURN, Event, Pause
from ...pipeline.errors import DialogueRejected, UserError
from ...pipeline.kinds import check_whole
from ..sequences import SequenceFormat
from .targets import Target, targets

SILENCE_AFTER_S = 7.0  # 3 s in which a reply counts as in time, and 4 s of the reply
COLUMNS = ["dialogue_id", "scenario", "events", "audio"]


@dataclass(frozen=True)
class Stimulus:
    """What one user says, up to what is measured, and then silence."""

    dialogue_id: str
    scenario: str
    questions: tuple[str, ...]  # one; or two and more, the last one during a reply; no aside is among them
    samples: NDArray[np.int16]  # [samples] at the model's rate, whole blocks
    user_end_sample: int  # as it was laid out
    barge_in_sample: int | None  # where the second question starts; None: nothing is interrupted
    kind: str = TURN  # of what is measured, as `Target` has it
    start_sample: int = 0  # where the event that is measured starts; it ends at `user_end_sample`
    pauses: tuple[Pause, ...] = ()  # in that event
    without: NDArray[np.int16] | None = None  # the same samples, but for an aside, which is not in them; None: no aside
    is_only: bool = True  # whether its dialogue gives no other stimulus

    @property
    def name(self) -> str:
        """What names it in its set: the id of its dialogue, and its kind if the dialogue gives several."""
        return self.dialogue_id if self.is_only else f"{self.dialogue_id}.{self.kind}"

    @property
    def is_answered(self) -> bool:
        """Whether the model has to answer what is measured."""
        return self.kind not in (*ASIDES, SILENCE_REQUEST)

    @property
    def control(self) -> "Stimulus | None":
        """The stimulus without its aside; None: it has none."""
        return None if self.without is None else replace(self, samples=self.without, without=None)


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


def read(
    dataset: Dataset, sequence_format: SequenceFormat, limit: int | None = None
) -> Iterator[Stimulus | DialogueRejected]:
    """The stimuli of each row, in order; DialogueRejected, whose detail names the dialogue, for a row that has none.

    limit: of rows; None: all.
    """
    for row in islice(dataset.rows(COLUMNS), limit):
        try:
            yield from stimuli(row, sequence_format)
        except DialogueRejected as error:
            yield DialogueRejected(error.reason, f"{row['dialogue_id']}: {error.detail}")


def count(dataset: Dataset, limit: int | None = None) -> int:
    """How many stimuli `read` gives if each row has usable audio; a row that has none counts as one."""
    total = 0
    for row in islice(dataset.rows(["scenario", "events"]), limit):
        try:
            total += len(targets(read_events(row["events"]), row["scenario"]))
        except DialogueRejected:
            total += 1
    return total


def stimuli(row: dict[str, Any], sequence_format: SequenceFormat) -> list[Stimulus]:
    """The stimuli of a row, one for each of its targets: the user's channel to the end of the event.

    After it comes what is in the channel until the user speaks again, as often as needed: silence, or noise. The same
    stands in place of an aside where the stimulus is without it.

    Raises DialogueRejected if the row has no target or no audio, or if nothing is answered, so that the model would
    have to answer what is no question.
    """
    events = read_events(row["events"])
    found = targets(events, row["scenario"])
    user = _user_channel(row, sequence_format.sample_rate)
    for target in found:
        _check_place(target.event, len(user), sequence_format.sample_rate)
    if all(event.answers is None for event in events):
        raise DialogueRejected("nothing_answered", f"nobody is answered in the scenario {row['scenario']}")
    return [_stimulus(row, events, target, user, sequence_format, len(found) == 1) for target in found]


def _check_place(event: Event, samples: int, sample_rate: int) -> None:
    end = event.end_sample
    if not 0 <= event.start_sample <= end <= LONGEST_TRACK_S * sample_rate:
        raise DialogueRejected("no_such_audio", f"an event ends at sample {end}, of {samples}")
    for pause in event.pauses:
        if not event.start_sample <= pause.start_sample <= pause.end_sample <= end:
            raise DialogueRejected("no_such_audio", f"a pause ends at sample {pause.end_sample}, of {samples}")


def _stimulus(
    row: dict[str, Any],
    events: Sequence[Event],
    target: Target,
    user: NDArray[np.int16],
    sequence_format: SequenceFormat,
    is_only: bool,
) -> Stimulus:
    """user: its channel of the row, int16 [samples]."""
    last, end = target.event, target.event.end_sample
    after = user[end : min((event.start_sample for event in events if _speaks_after(event, end)), default=len(user))]
    length = end + round(SILENCE_AFTER_S * sequence_format.sample_rate)
    block = sequence_format.block_samples
    samples = np.zeros(-(-length // block) * block, np.int16)
    samples[: len(user[:end])] = user[:end]
    fill(samples[end:], after)
    without = None
    if target.kind in ASIDES:
        without = samples.copy()
        fill(without[last.start_sample : end], after)
    questions = (event for event in events if event.channel == "user" and event.start_sample <= last.start_sample)
    return Stimulus(
        row["dialogue_id"],
        row["scenario"],
        tuple(row["events"][event.utterance]["text"] for event in questions if event.kind not in ASIDES),
        samples,
        end,
        last.start_sample if target.kind in STOPPING else None,
        target.kind,
        last.start_sample,
        last.pauses,
        without,
        is_only,
    )


def _speaks_after(event: Event, sample: int) -> bool:
    return event.channel == "user" and event.start_sample >= sample


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
