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

from ...pipeline.audio.pcm import to_float
from ...pipeline.dataset.reader import Dataset
from ...pipeline.dialogue import Waveform
from ...pipeline.errors import DialogueRejected, enough_memory
from ...pipeline.storage.atomic import explained
from ..live.live import converse
from ..live.stream import check_length
from ..models.model import DuplexModel
from .metrics import Interruption, TurnTaking, interruption, speech_segments, turn_taking
from .recipe import EvaluationRecipe
from .stimuli import Stimulus, read

SORTED_BATCHES = 8  # stimuli of so many batches are sorted by length, so that little of a batch is padding


@dataclass(frozen=True)
class Settings:
    recipe: EvaluationRecipe
    limit: int | None = None  # items of each set, the first ones
    batch: int = 16  # dialogues at once; changes nothing but the time it takes
    device: str = "cpu"


@dataclass(frozen=True)
class Item:
    """One dialogue: what was measured, and the audio it was measured on."""

    set_name: str
    stimulus: Stimulus
    measured: TurnTaking | Interruption
    assistant_segments_s: list[tuple[float, float]]
    assistant: Waveform  # [samples], from the start of the user's channel; a block longer

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
    set_name: str
    reason: str
    detail: str  # starts with the dialogue's id


def run(model: DuplexModel, dataset: Dataset, settings: Settings) -> Iterator[Item | Unmeasured]:
    """Every item of a set, shorter ones before longer ones of the same few batches.

    Raises UserError if an item is longer than the model.
    """
    name = dataset.path.resolve().name
    stimuli = islice(read(dataset, model.format), settings.limit)
    while chunk := list(islice(stimuli, SORTED_BATCHES * settings.batch)):
        for found in chunk:
            if isinstance(found, DialogueRejected):
                yield Unmeasured(name, found.reason, found.detail)
        usable = sorted((found for found in chunk if isinstance(found, Stimulus)), key=lambda item: len(item.samples))
        for start in range(0, len(usable), settings.batch):
            batch = usable[start : start + settings.batch]
            for stimulus, assistant in zip(batch, answers(model, batch, settings), strict=True):
                yield _measured(name, stimulus, assistant, model.format.sample_rate)


def answers(model: DuplexModel, batch: list[Stimulus], settings: Settings) -> list[Waveform]:
    """What the assistant says to each stimulus, [samples + block], on the user's time axis.

    Its first block is silence: nothing can be said before a block has been heard (section 2.1, causal shift).
    """
    longest = max(len(item.samples) for item in batch)
    check_length(model, longest // model.format.bayling.block_samples)
    user: NDArray[np.int16] = np.stack([np.pad(item.samples, (0, longest - len(item.samples))) for item in batch])
    ids, recipe = [item.dialogue_id for item in batch], settings.recipe
    with enough_memory("for so many dialogues at once: --batch takes fewer."):
        blocks = [block.waveforms for block in converse(model, ids, user, recipe.temperature, recipe.seed)]
    said = np.concatenate([np.zeros_like(blocks[0]), *blocks], axis=1)
    block = model.format.bayling.block_samples
    return [row[: len(item.samples) + block] for row, item in zip(said, batch, strict=True)]


def _measured(set_name: str, stimulus: Stimulus, assistant: Waveform, sample_rate: int) -> Item | Unmeasured:
    heard = to_float(stimulus.samples)
    user = speech_segments(heard, sample_rate, shortest_s=0)
    said = speech_segments(assistant, sample_rate)
    try:
        if stimulus.barge_in_sample is None:
            return Item(set_name, stimulus, turn_taking(user, said), said, assistant)
        measured = interruption(user, said, stimulus.barge_in_sample / sample_rate)
        return Item(set_name, stimulus, measured, said, assistant)
    except DialogueRejected as error:
        return Unmeasured(set_name, error.reason, f"{stimulus.dialogue_id}: {error.detail}")


def reply(item: Item) -> Waveform:
    """What is said in reply to the last question: all there is, or from the end of the interrupting question on."""
    start = 0 if item.stimulus.barge_in_sample is None else item.stimulus.user_end_sample
    return item.assistant[start:]


def keep(item: Item, folder: Path, sample_rate: int) -> None:
    """Write both channels, user left and assistant right. Raises UserError if that fails."""
    user = np.zeros(len(item.assistant), np.float32)
    user[: len(item.stimulus.samples)] = to_float(item.stimulus.samples)
    path = folder / item.set_name / f"{quote(item.stimulus.dialogue_id, safe='')}.wav"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([user, item.assistant], axis=1), sample_rate, subtype="PCM_16")
