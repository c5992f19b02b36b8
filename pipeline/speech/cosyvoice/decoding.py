"""Speech tokens of many utterances at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .sampling import NONE, Sampling, sample

if TYPE_CHECKING:
    import torch

    from .language_models import SpeechLM


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance to decode."""

    prefix: "torch.Tensor"  # [positions, hidden]
    shortest: int  # tokens before which it may not end
    longest: int  # tokens after which it is stopped
    draws: NDArray[np.float32]  # [longest, 2], uniform in [0, 1)


@dataclass(frozen=True, slots=True)
class DecodedRow:
    tokens: list[int]
    ended: bool  # by itself, before `longest`


def decode(model: "SpeechLM", rows: Sequence[Row], sampling: Sampling) -> list[DecodedRow]:
    """The tokens of each row, in order. They depend on that row alone.

    Rows that have ended are taken out of the batch once they are half of it. Kernels round differently for other batch
    sizes, in the last bits of a score: in fp32 a draw would have to fall within these bits to give another token. In
    half precision that happens soon: there a row has the same tokens in the same batch, and maybe others in another.
    """
    import torch

    with torch.inference_mode():
        return _Batch(model, rows, sampling).run()


class _Batch:
    """Rows while they are decoded, padded on the left to one length."""

    def __init__(self, model: "SpeechLM", rows: Sequence[Row], sampling: Sampling) -> None:
        import torch

        self.model, self.sampling = model, sampling
        device = rows[0].prefix.device
        width = max(len(row.prefix) for row in rows)
        longest = max(row.longest for row in rows)
        self.inputs = rows[0].prefix.new_zeros(len(rows), width, rows[0].prefix.shape[1])
        self.seen = torch.zeros(len(rows), width, dtype=torch.bool, device=device)
        draws = np.zeros((len(rows), longest, 2), dtype=np.float32)
        for index, row in enumerate(rows):
            self.inputs[index, width - len(row.prefix) :] = row.prefix
            self.seen[index, width - len(row.prefix) :] = True
            draws[index, : row.longest] = row.draws
        self.draws = torch.from_numpy(draws).to(device)
        self.shortest = torch.tensor([row.shortest for row in rows], device=device)
        self.history = torch.full((len(rows), sampling.window), NONE, dtype=torch.int64, device=device)
        self.cache: Any = None
        self.alive = list(range(len(rows)))  # which row each place of the batch belongs to
        self.limits = [row.longest for row in rows]
        self.tokens: list[list[int]] = [[] for _ in rows]
        self.ended = [False] * len(rows)
        self.done = [row.longest <= 0 for row in rows]

    def run(self) -> list[DecodedRow]:
        for step in range(max(self.limits)):
            if all(self.done):
                break
            self._step(step)
            self._remove_done()
        return [DecodedRow(tokens, ended) for tokens, ended in zip(self.tokens, self.ended, strict=True)]

    def _step(self, step: int) -> None:
        import torch

        scores, self.cache = self.model.step(self.inputs, self.seen, self.cache)
        too_early = self.shortest > step
        scores[:, self.model.speech_tokens :].masked_fill_(too_early[:, None], -torch.inf)
        tokens = sample(scores, self.history, self.draws[:, step], self.sampling)
        self.history = torch.cat([self.history[:, 1:], tokens[:, None]], dim=1)
        self.inputs = self.model.embed(
            tokens.clamp(max=self.model.speech_tokens - 1)
        )  # of a row that has ended, tokens are drawn and dropped
        self.seen = torch.nn.functional.pad(self.seen, (0, 1), value=True)
        for place, token in enumerate(tokens.tolist()):
            self._take(self.alive[place], token)

    def _take(self, row: int, token: int) -> None:
        if self.done[row]:
            return
        if token >= self.model.speech_tokens:
            self.ended[row] = self.done[row] = True
            return
        self.tokens[row].append(token)
        self.done[row] = len(self.tokens[row]) >= self.limits[row]

    def _remove_done(self) -> None:
        import torch

        places = [place for place, row in enumerate(self.alive) if not self.done[row]]
        if not places or len(places) > len(self.alive) // 2:
            return
        index = torch.tensor(places, device=self.seen.device)
        self.cache = self.model.keep(self.cache, index)
        self.inputs, self.seen, self.history = self.inputs[index], self.seen[index], self.history[index]
        self.draws, self.shortest = self.draws[index], self.shortest[index]
        self.alive = [self.alive[place] for place in places]
