"""The items of an evaluation: a model's answer to each user, in simulated real time, and its timing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np
import soundfile
from numpy.typing import NDArray

from ...pipeline.audio.activity import speech_segments
from ...pipeline.audio.pcm import to_float
from ...pipeline.dataset.reader import Dataset
from ...pipeline.dialogue import ASIDES, BARGE_IN, SILENCE_REQUEST, TURN, Waveform
from ...pipeline.errors import DialogueRejected, enough_memory
from ...pipeline.storage.atomic import explained
from ..live.live import converse
from ..live.modes import check_length
from ..live.stream import Sampling
from ..models.model import DuplexModel
from .metrics import Aside, Measured, aside, interruption, pause, silence_request, turn_taking
from .recipe import EvaluationRecipe
from .stimuli import Stimulus, read
from .targets import PAUSE

T = TypeVar("T")
SAME = 1e-3  # of full scale: waveforms that differ by less are decoded from the same codes
SORTED_BATCHES = 8  # as many batches are sorted by length together, so that little of a batch is padding


@dataclass(frozen=True)
class Settings:
    """What an evaluation is run with."""

    recipe: EvaluationRecipe
    limit: int | None = None  # how many dialogues of each set to run, from the first on; None: all
    batch: int = 16  # stimuli at once; it changes only the time that the run takes
    device: str = "cpu"


@dataclass(frozen=True)
class Control:
    """What the assistant says without the aside of an item."""

    segments_s: list[tuple[float, float]]
    assistant: Waveform  # [samples]


@dataclass(frozen=True)
class Item:
    """One stimulus: its timing, and the audio on which it was measured."""

    set_name: str
    stimulus: Stimulus
    measured: Measured
    assistant_segments_s: list[tuple[float, float]]
    assistant: Waveform  # [samples], from the start of the user's channel to one block after its end
    control: Control | None = None  # None: nothing is an aside

    def to_json(self) -> dict[str, Any]:
        """The only item of a dialogue without other events than turns and barge-ins names no kind."""
        measured, stimulus = self.measured, self.stimulus
        row: dict[str, Any] = {
            "set": self.set_name,
            "dialogue_id": stimulus.dialogue_id,
            "scenario": stimulus.scenario,
            "questions": list(stimulus.questions),
            "barge_in_sample": stimulus.barge_in_sample,
        }
        if not (stimulus.is_only and stimulus.kind in (TURN, BARGE_IN)):
            row |= {
                "kind": stimulus.kind,
                "start_sample": stimulus.start_sample,
                "end_sample": stimulus.user_end_sample,
            }
        row |= {**asdict(measured), "success": measured.success}
        if isinstance(measured, Aside):
            row |= {"false_stop": measured.false_stop, "false_start": measured.false_start}
        row["assistant_segments_s"] = _rounded(self.assistant_segments_s)
        if self.control:
            row["control_segments_s"] = _rounded(self.control.segments_s)
        return row


def _rounded(segments_s: Sequence[tuple[float, float]]) -> list[list[float]]:
    return [[round(start, 3), round(end, 3)] for start, end in segments_s]


@dataclass(frozen=True)
class Unmeasured:
    """A row whose timing cannot be measured."""

    set_name: str
    reason: str
    detail: str  # starts with the dialogue's id

    def to_json(self) -> dict[str, str]:
        return {"set": self.set_name, "reason": self.reason, "detail": self.detail}


def run(model: DuplexModel, dataset: Dataset, settings: Settings) -> Iterator[Item | Unmeasured]:
    """Every item of a set; within a few batches, shorter ones come first.

    Raises UserError if an item has more ids than the model has positions.
    """
    name = dataset.path.resolve().name
    stimuli = read(dataset, model.format, settings.limit)
    while chunk := list(islice(stimuli, SORTED_BATCHES * settings.batch)):
        for one in chunk:
            if isinstance(one, DialogueRejected):
                yield Unmeasured(name, one.reason, one.detail)
        usable = sorted((one for one in chunk if isinstance(one, Stimulus)), key=lambda one: len(one.samples))
        for batch in batches(usable, settings.batch, lambda one: 1 if one.without is None else 2):
            controls = [control for one in batch if (control := one.control)]
            said = answers(model, [*batch, *controls], settings)
            without = iter(said[len(batch) :])  # the asides
            for stimulus, assistant in zip(batch, said[: len(batch)], strict=True):
                alone = None if stimulus.without is None else next(without)
                yield _measured(name, stimulus, assistant, alone, model.format.sample_rate)


def batches(items: Sequence[T], most: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    """Items that are played together, at most so many recordings.

    size: how many recordings an item has. They are always played together, such as a stimulus and its control: in
    another batch, a device may round differently.
    """
    batch: list[T] = []
    total = 0
    for item in items:
        own = size(item)
        if batch and total + own > most:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += own
    if batch:
        yield batch


def answers(model: DuplexModel, batch: list[Stimulus], settings: Settings) -> list[Waveform]:
    """What the assistant says to each stimulus, see `play`."""
    return play(model, [one.dialogue_id for one in batch], [one.samples for one in batch], settings)


def play(
    model: DuplexModel, ids: Sequence[str], users: Sequence[NDArray[np.int16]], settings: Settings
) -> list[Waveform]:
    """What the assistant says to each user, [samples + block], on the user's time axis.

    ids: of random draws. users: [samples] of each, at the model's rate, whole blocks.
    The first block is silence: the assistant cannot speak before it has heard one (section 2.1, causal shift).
    Raises UserError if the longest has more ids than the model has positions, or if memory is short.
    """
    longest, block = max(len(samples) for samples in users), model.format.block_samples
    check_length(model, longest // block)
    user: NDArray[np.int16] = np.stack([np.pad(samples, (0, longest - len(samples))) for samples in users])
    sampling = Sampling(settings.recipe.temperature, settings.recipe.seed, settings.recipe.top_p)
    with enough_memory(f"for {len(users)} dialogues at once: use a smaller --batch."):
        blocks = [one.waveforms for one in converse(model, ids, user, sampling)]
    waveforms = np.concatenate([np.zeros_like(blocks[0]), *blocks], axis=1)
    return [row[: len(samples) + block] for row, samples in zip(waveforms, users, strict=True)]


def _measured(
    set_name: str, stimulus: Stimulus, assistant: Waveform, without: Waveform | None, sample_rate: int
) -> Item | Unmeasured:
    """without: what the assistant says without the aside; None: there is no aside."""
    segments = speech_segments(assistant, sample_rate)
    control = None if without is None else Control(speech_segments(without, sample_rate), without)
    try:
        measured = _timing(stimulus, assistant, segments, control, sample_rate)
    except DialogueRejected as error:
        return Unmeasured(set_name, error.reason, f"{stimulus.name}: {error.detail}")
    return Item(set_name, stimulus, measured, segments, assistant, control)


def _timing(
    stimulus: Stimulus,
    assistant: Waveform,
    segments: list[tuple[float, float]],
    control: Control | None,
    sample_rate: int,
) -> Measured:
    start, start_s = stimulus.start_sample, stimulus.start_sample / sample_rate
    if stimulus.kind in ASIDES and control:
        if not np.allclose(assistant[:start], control.assistant[:start], rtol=0, atol=SAME):
            raise DialogueRejected("control_differs", "before the aside, the model does not say the same without it")
        return aside(segments, control.segments_s, start_s, stimulus.user_end_sample / sample_rate)
    user = speech_segments(to_float(stimulus.samples), sample_rate, shortest_s=0)
    if stimulus.kind == PAUSE:
        pauses = [(one.start_sample / sample_rate, one.end_sample / sample_rate) for one in stimulus.pauses]
        return pause(user, segments, start_s, pauses)
    if stimulus.barge_in_sample is None:
        return turn_taking(user, segments)
    measure = silence_request if stimulus.kind == SILENCE_REQUEST else interruption
    return measure(user, segments, stimulus.barge_in_sample / sample_rate)


def reply(item: Item) -> Waveform:
    """The assistant's answer to the last question: what follows it; after the first turn, all of its channel."""
    start = 0 if item.stimulus.kind == TURN else item.stimulus.user_end_sample
    return item.assistant[start:]


def keep(item: Item, folder: Path, sample_rate: int) -> None:
    """Write both channels, user left and assistant right, and those of the control, if there is one.

    Raises UserError if a file cannot be written.
    """
    folder = folder / item.set_name
    _keep(item.stimulus, item.assistant, folder / f"{quote(item.stimulus.name, safe='')}.wav", sample_rate)
    if item.control and (stimulus := item.stimulus.control):
        path = folder / f"{quote(stimulus.name, safe='')}.control.wav"
        _keep(stimulus, item.control.assistant, path, sample_rate)


def _keep(stimulus: Stimulus, assistant: Waveform, path: Path, sample_rate: int) -> None:
    user = np.zeros(len(assistant), np.float32)
    user[: len(stimulus.samples)] = to_float(stimulus.samples)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([user, assistant], axis=1), sample_rate, subtype="PCM_16")
