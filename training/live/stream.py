"""What a model does live, whatever its layout: it hears a block of each dialogue and says the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...pipeline.errors import UserError
from ...pipeline.randomness import generator
from ..models.model import DuplexModel

TEMPERATURE = 0.8


@dataclass(frozen=True)
class Sampling:
    """How ids are drawn."""

    temperature: float = TEMPERATURE  # 0 takes the likeliest id
    seed: int = 0
    top_p: float = 1.0  # only the likeliest ids are drawn, as few as have this probability together; 1: all


USUAL = Sampling()


@dataclass(frozen=True)
class Said:
    """What the assistants of several dialogues say in one block."""

    text_ids: NDArray[np.int32]  # [dialogues, text slots]
    codes: NDArray[np.int16]  # [dialogues, codebooks, frames], to be heard in the next block


class Stream(Protocol):
    """Several dialogues that advance together, one block per step.

    Each dialogue has its own random numbers, by seed and dialogue id, one per id that is sampled. So what it says does
    not depend on the other dialogues.
    """

    def step(self, user_codes: NDArray[np.int16]) -> Said:
        """user_codes: [dialogues, codebooks, frames of a block]. Raises UserError if the logits are not finite."""
        ...


@dataclass(frozen=True)
class Span:
    """A reply in the text channel."""

    start: int  # the first text slot
    end: int  # one past the last
    ids: list[int]  # its text


class Mode(Protocol):
    """How models of a layout listen and speak."""

    @property
    def text_slots(self) -> int:
        """Text ids per block."""
        ...

    @property
    def heard_after(self) -> int:
        """Blocks from a text slot's own time until its sound is heard."""
        ...

    @property
    def codebooks(self) -> int:
        """Of the assistant's speech."""
        ...

    @property
    def states(self) -> Mapping[str, int]:
        """Ids of the text channel that are no text, by name."""
        ...

    def positions(self, blocks: int) -> int:
        """How many positions of a model so many blocks take."""
        ...

    def replies(self, text_ids: Sequence[int]) -> list[Span]:
        """The replies in a text channel [blocks * text_slots], whatever order of states a model has written."""
        ...

    def stream(self, model: DuplexModel, dialogue_ids: Sequence[str], sampling: Sampling = USUAL) -> Stream: ...


class Uniforms:
    """Random numbers for each dialogue and step."""

    def __init__(self, seed: int, dialogue_ids: Sequence[str], per_step: int, device: torch.device) -> None:
        self._generators = [generator(seed, dialogue_id, "sampling") for dialogue_id in dialogue_ids]
        self._per_step, self._device = per_step, device

    def draw(self) -> Tensor:
        """float64 [dialogues, per step]."""
        uniforms = np.stack([generator.random(self._per_step) for generator in self._generators])
        return torch.from_numpy(uniforms).to(self._device)


def choose(logits: Tensor, sampling: Sampling, uniforms: Tensor) -> Tensor:
    """Places [rows] in logits [rows, ids]: the inverse of the cumulative distribution at uniforms [rows] in [0, 1).

    It computes in float64, so that a sum over a large vocabulary keeps its small terms.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    probabilities = torch.softmax(logits.double() / sampling.temperature, dim=-1)
    if sampling.top_p < 1:
        probabilities = _nucleus(probabilities, sampling.top_p)
    cumulative = probabilities.cumsum(dim=-1)
    thresholds = (uniforms * cumulative[:, -1]).unsqueeze(1)
    # right=True: an id of probability 0 spans no interval and is never taken
    return torch.searchsorted(cumulative, thresholds, right=True).squeeze(1).clamp(max=logits.shape[1] - 1)


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The probabilities [rows, ids], 0 for all but the likeliest that have `top_p` together; one at least is kept."""
    ordered, places = probabilities.sort(dim=-1, descending=True, stable=True)
    kept = ordered.cumsum(dim=-1) - ordered < top_p  # what the likelier ones have together
    kept[:, 0] = True
    return probabilities * torch.zeros_like(probabilities).scatter(-1, places, kept.double())


def check_finite(logits: Tensor) -> None:
    if not torch.isfinite(logits).all():
        raise UserError(
            "the model gives logits that are not finite: its training failed, or its files are damaged. "
            "Train it again, or copy it again."
        )
