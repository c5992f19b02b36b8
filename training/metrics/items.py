"""The items of an evaluation: a model's answer to each user, in simulated real time, and its timing."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import soundfile
from numpy.typing import NDArray

from ...pipeline.audio.activity import speech_segments
from ...pipeline.audio.pcm import to_float
from ...pipeline.dataset.reader import Dataset
from ...pipeline.dialogue import Waveform
from ...pipeline.errors import DialogueRejected, enough_memory
from ...pipeline.storage.atomic import explained
from ..live.live import converse
from ..live.modes import check_length
from ..live.stream import Sampling
from ..models.model import DuplexModel
from .metrics import Interruption, TurnTaking, interruption, turn_taking
from .recipe import EvaluationRecipe
from .stimuli import Stimulus, read

SORTED_BATCHES = 8  # as many batches are sorted by length together, so that little of a batch is padding


@dataclass(frozen=True)
class Settings:
    """What an evaluation is run with."""

    recipe: EvaluationRecipe
    limit: int | None = None  # how many items of each set to run, from the first on; None: all
    batch: int = 16  # dialogues at once; it changes only the time that the run takes
    device: str = "cpu"


@dataclass(frozen=True)
class Item:
    """One dialogue: its timing, and the audio on which it was measured."""

    set_name: str
    stimulus: Stimulus
    measured: TurnTaking | Interruption
    assistant_segments_s: list[tuple[float, float]]
    assistant: Waveform  # [samples], from the start of the user's channel to one block after its end

    def to_json(self) -> dict[str, Any]:
        measured = self.measured
        return {
            "set": self.set_name,
            "dialogue_id": self.stimulus.dialogue_id,
            "scenario": self.stimulus.scenario,
            "questions": list(self.stimulus.questions),
            "barge_in_sample": self.stimulus.barge_in_sample,
            **asdict(measured),
            "success": measured.success,
            "assistant_segments_s": [[round(start, 3), round(end, 3)] for start, end in self.assistant_segments_s],
        }


@dataclass(frozen=True)
class Unmeasured:
    """A row whose timing cannot be measured."""

    set_name: str
    reason: str
    detail: str  # starts with the dialogue's id


def run(model: DuplexModel, dataset: Dataset, settings: Settings) -> Iterator[Item | Unmeasured]:
    """Every item of a set; within a few batches, shorter ones come first.

    Raises UserError if an item has more ids than the model has positions.
    """
    name = dataset.path.resolve().name
    stimuli = islice(read(dataset, model.format), settings.limit)
    while chunk := list(islice(stimuli, SORTED_BATCHES * settings.batch)):
        for one in chunk:
            if isinstance(one, DialogueRejected):
                yield Unmeasured(name, one.reason, one.detail)
        usable = sorted((one for one in chunk if isinstance(one, Stimulus)), key=lambda one: len(one.samples))
        for start in range(0, len(usable), settings.batch):
            batch = usable[start : start + settings.batch]
            for stimulus, assistant in zip(batch, answers(model, batch, settings), strict=True):
                yield _measured(name, stimulus, assistant, model.format.sample_rate)


def answers(model: DuplexModel, batch: list[Stimulus], settings: Settings) -> list[Waveform]:
    """What the assistant says to each stimulus, [samples + block], on the user's time axis.

    The first block is silence: the assistant cannot speak before it has heard one (section 2.1, causal shift).
    """
    longest = max(len(item.samples) for item in batch)
    check_length(model, longest // model.format.block_samples)
    user: NDArray[np.int16] = np.stack([np.pad(item.samples, (0, longest - len(item.samples))) for item in batch])
    ids, recipe = [item.dialogue_id for item in batch], settings.recipe
    sampling = Sampling(recipe.temperature, recipe.seed, recipe.top_p)
    with enough_memory(f"for {len(batch)} dialogues at once: use a smaller --batch."):
        blocks = [block.waveforms for block in converse(model, ids, user, sampling)]
    waveforms = np.concatenate([np.zeros_like(blocks[0]), *blocks], axis=1)
    block = model.format.block_samples
    return [row[: len(item.samples) + block] for row, item in zip(waveforms, batch, strict=True)]


def _measured(set_name: str, stimulus: Stimulus, assistant: Waveform, sample_rate: int) -> Item | Unmeasured:
    user = speech_segments(to_float(stimulus.samples), sample_rate, shortest_s=0)
    segments = speech_segments(assistant, sample_rate)
    try:
        if stimulus.barge_in_sample is None:
            return Item(set_name, stimulus, turn_taking(user, segments), segments, assistant)
        timing = interruption(user, segments, stimulus.barge_in_sample / sample_rate)
        return Item(set_name, stimulus, timing, segments, assistant)
    except DialogueRejected as error:
        return Unmeasured(set_name, error.reason, f"{stimulus.dialogue_id}: {error.detail}")


def reply(item: Item) -> Waveform:
    """The assistant's answer to the last question: its whole channel, or what follows an interrupting question."""
    start = 0 if item.stimulus.barge_in_sample is None else item.stimulus.user_end_sample
    return item.assistant[start:]


def keep(item: Item, folder: Path, sample_rate: int) -> None:
    """Write both channels, user left and assistant right. Raises UserError if the file cannot be written."""
    user = np.zeros(len(item.assistant), np.float32)
    user[: len(item.stimulus.samples)] = to_float(item.stimulus.samples)
    path = folder / item.set_name / f"{quote(item.stimulus.dialogue_id, safe='')}.wav"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([user, item.assistant], axis=1), sample_rate, subtype="PCM_16")
