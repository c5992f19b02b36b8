"""Speech tokens of many utterances at once.

A batch is padded to one of a few sizes, and its cache to one of a few lengths. A GPU runs a step of each as one graph
that is captured once, a processor the same step call by call.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .language_models import Cache, SpeechLM
from .sampling import NONE, Sampling, sample

if TYPE_CHECKING:
    import torch

STEPS = 16  # between two looks for ends, each of which waits for the GPU
SHORTEST = 256  # positions of a cache; each longer one has twice as many
SIZES = (1, 4, 16, 64, 128, 256)  # rows of a batch on a GPU, where one step takes about as long in each of them
MOST = SIZES[-1]


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


def size_for(rows: int, sizes: Sequence[int]) -> int:
    """The smallest of the sizes that holds so many rows."""
    return next((size for size in sizes if size >= rows), rows)


def length_for(positions: int) -> int:
    """The shortest length of a cache that holds so many positions."""
    return max(SHORTEST, 1 << (positions - 1).bit_length())


class Decoder:
    """A language model, and the memory and the graphs for its steps, which are made when they are first wanted."""

    def __init__(self, model: SpeechLM, sampling: Sampling, sizes: Sequence[int] = ()) -> None:
        """sizes: of batches, ascending: a batch is padded to the next of them. Larger ones are taken as they are."""
        self.model, self.sampling, self._sizes = model, sampling, sizes
        self._storage: torch.Tensor | None = None  # of keys and values, for one batch at a time
        self._steps: dict[tuple[int, int], _Step] = {}
        self._pool: Any = None  # the memory that graphs work in, one at a time

    def decode(self, rows: Sequence[Row]) -> list[DecodedRow]:
        """The tokens of each row, in order. They depend on that row alone.

        Kernels round differently for other sizes of batch and cache, in the last bits of a score: in fp32 a draw would
        have to fall within these bits to give another token. In half precision that happens soon: there a row has the
        same tokens in the same batch, and maybe others in another.
        """
        import torch

        found = _Rows(rows, self.model)
        with torch.inference_mode():
            try:
                self._run(found)
            except torch.OutOfMemoryError:
                self.forget()
                raise
        return [DecodedRow(tokens, ended) for tokens, ended in zip(found.tokens, found.ended, strict=True)]

    def cost(self, rows: int, positions: int) -> int:
        """Positions of the cache for a batch of so many rows, the longest of which is that long."""
        return size_for(rows, self._sizes) * length_for(positions + STEPS)

    def forget(self) -> None:
        """Give back the memory."""
        self._steps.clear()
        self._storage = self._pool = None

    def _run(self, rows: "_Rows") -> None:
        state = rows.read(self.sampling.window) if rows.places else None
        while state is not None:
            step = self._step(state)
            step.load(state)
            state = None  # it is as large as the cache, and not needed while there are steps
            state = self._next_state(step, rows)
            del step  # nor is a step while a larger one is made

    def _next_state(self, step: "_Step", rows: "_Rows") -> "_State | None":
        """Decode until another size or length fits the rows that are left; None: all have ended."""
        while True:
            rows.take(step.run(rows.draws()))
            alive = rows.alive()
            if not alive:
                return None
            if step.is_full or size_for(len(alive), self._sizes) <= step.rows // 2:
                rows.keep(alive)
                return step.state(alive)

    def _step(self, state: "_State") -> "_Step":
        """A step for a state's rows, with room for STEPS positions more."""
        size, length = size_for(len(state.start), self._sizes), length_for(state.at + STEPS)
        if (size, length) in self._steps:
            return self._steps[size, length]
        layers, _, heads, _, numbers = state.keys.shape
        shape = (2, layers, size, heads, length, numbers)
        wanted = int(np.prod(shape))
        if self._storage is None or self._storage.numel() < wanted:
            self.forget()  # graphs hold the addresses of the memory that was there
            self._storage = state.keys.new_zeros(wanted)
        keys, values = self._storage[:wanted].view(shape)
        step = _Step(self.model, self.sampling, keys, values, state)
        if keys.is_cuda:
            self._pool = step.capture(self._pool)
            self._steps[size, length] = step  # without a graph it would be kept for nothing
        return step


class _Rows:
    """What was asked for and what there is of it so far."""

    def __init__(self, rows: Sequence[Row], model: SpeechLM) -> None:
        self._rows, self._model = rows, model
        self.tokens: list[list[int]] = [[] for _ in rows]
        self.ended = [False] * len(rows)
        self._limits = [min(row.longest, model.positions - len(row.prefix)) for row in rows]
        self.places = [index for index, limit in enumerate(self._limits) if limit > 0]  # the row of each place
        self._drawn = 0

    def read(self, window: int) -> "_State":
        """Run the model over what stands before the speech, padded on the left to one length."""
        import torch

        rows = [self._rows[index] for index in self.places]
        width, first = max(len(row.prefix) for row in rows), rows[0].prefix
        inputs = first.new_zeros(len(rows), width, first.shape[1])
        start = torch.tensor([width - len(row.prefix) for row in rows], device=first.device)
        for place, row in enumerate(rows):
            inputs[place, width - len(row.prefix) :] = row.prefix
        read = self._model.read(inputs, torch.arange(width, device=first.device) >= start[:, None])
        return _State(
            keys=read.keys,
            values=read.values,
            start=start,
            scores=read.scores,
            history=torch.full((len(rows), window), NONE, device=first.device),
            shortest=torch.tensor([row.shortest for row in rows], device=first.device),
            at=width,
        )

    def draws(self) -> NDArray[np.float32]:
        """For the next STEPS steps, [rows, STEPS, 2]."""
        found = np.zeros((len(self.places), STEPS, 2), dtype=np.float32)
        for place, index in enumerate(self.places):
            part = self._rows[index].draws[self._drawn : self._drawn + STEPS]
            found[place, : len(part)] = part
        return found

    def take(self, drawn: NDArray[np.int64]) -> None:
        """Tokens of the next STEPS steps, [rows, STEPS]; those after the end of a row are dropped."""
        self._drawn += STEPS
        for place in self.alive():
            index = self.places[place]
            tokens = drawn[place, : self._limits[index] - len(self.tokens[index])]
            ends = np.flatnonzero(tokens >= self._model.speech_tokens)
            self.tokens[index] += tokens[: ends[0] if len(ends) else None].tolist()
            self.ended[index] = len(ends) > 0

    def alive(self) -> list[int]:
        """The places whose rows go on."""
        return [
            place
            for place, index in enumerate(self.places)
            if not self.ended[index] and len(self.tokens[index]) < self._limits[index]
        ]

    def keep(self, places: Sequence[int]) -> None:
        """Leave out all others."""
        self.places = [self.places[place] for place in places]


@dataclass(frozen=True, slots=True)
class _State:
    """A batch between two steps."""

    keys: "torch.Tensor"  # [layers, rows, heads, positions so far, numbers of a head]
    values: "torch.Tensor"
    start: "torch.Tensor"  # int64 [rows], the first position that is not padding
    scores: "torch.Tensor"  # f32 [rows, vocabulary], of the next token
    history: "torch.Tensor"  # int64 [rows, window], the last tokens
    shortest: "torch.Tensor"  # int64 [rows], tokens before which a row may not end, from now on
    at: int  # positions so far


class _Step:
    """One step of a batch of one size over a cache of one length, in memory of its own but for keys and values."""

    def __init__(
        self, model: SpeechLM, sampling: Sampling, keys: "torch.Tensor", values: "torch.Tensor", like: _State
    ) -> None:
        import torch

        self._model, self._sampling = model, sampling
        self.rows, self._length, device = keys.shape[1], keys.shape[3], keys.device
        self._at = 0  # positions so far

        def whole(*shape: int) -> torch.Tensor:
            return torch.zeros(shape, dtype=torch.int64, device=device)

        bias = keys.new_zeros(self.rows, 1, 1, self._length)
        self._cache = Cache(keys, values, bias, whole(self.rows), whole(1))
        self._scores = like.scores.new_zeros(self.rows, like.scores.shape[1])
        self._history, self._shortest = whole(self.rows, like.history.shape[1]), whole(self.rows)
        self._draws, self._drawn = torch.zeros(self.rows, STEPS, 2, device=device), whole(self.rows, STEPS)
        self._turn = whole(1)  # of STEPS
        self._graph: torch.cuda.CUDAGraph | None = None

    @property
    def is_full(self) -> bool:
        return self._at + STEPS > self._length

    def capture(self, pool: Any) -> Any:
        """Run as a graph from now on, which works in the memory of `pool`; None: of a new one. Returns the pool."""
        import torch

        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries set themselves up, which a graph cannot hold
            for _ in range(2):
                self._once()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            self._once()
        self._graph = graph
        return graph.pool()

    def _once(self) -> None:
        """Draw from the scores that are there, then compute the next ones."""
        import torch

        cache, ids = self._cache, self._model.speech_tokens
        self._scores[:, ids:].masked_fill_((self._shortest > self._turn)[:, None], -torch.inf)
        draws = self._draws.index_select(1, self._turn)[:, 0]
        tokens = sample(self._scores, self._history, draws, self._sampling)
        self._drawn.index_copy_(1, self._turn, tokens[:, None])
        self._history.copy_(torch.cat([self._history[:, 1:], tokens[:, None]], dim=1))
        cache.bias.index_fill_(3, cache.at, 0.0)
        # Of a row that has ended, tokens are drawn and dropped.
        self._scores.copy_(self._model.step(tokens.clamp(max=ids - 1), cache))
        cache.at.add_(1)
        self._turn.add_(1)

    def load(self, state: _State) -> None:
        """Go on from a state. Places that are left over repeat its last row."""
        import torch

        count, device = len(state.start), state.start.device
        rows = torch.arange(self.rows, device=device).clamp(max=count - 1)
        for kept, read in ((self._cache.keys, state.keys), (self._cache.values, state.values)):
            kept[:, :, :, : state.at] = read.index_select(1, rows) if self.rows > count else read
            kept[:, :, :, state.at :] = 0.0  # a number that is none would pass through the mask
        self._cache.start.copy_(state.start[rows])
        places = torch.arange(self._length, device=device)
        hidden = (places < self._cache.start[:, None]) | (places >= state.at)
        self._cache.bias.zero_()[:, 0, 0].masked_fill_(hidden, -torch.inf)
        self._cache.at.fill_(state.at)
        self._scores.copy_(state.scores[rows])
        self._history.copy_(state.history[rows])
        self._shortest.copy_(state.shortest[rows])
        self._at = state.at

    def run(self, draws: NDArray[np.float32]) -> NDArray[np.int64]:
        """STEPS steps: draws [rows, STEPS, 2], tokens [places, STEPS]."""
        import torch

        self._draws[: len(draws)].copy_(torch.from_numpy(draws))
        self._turn.zero_()
        for _ in range(STEPS):
            if self._graph is None:
                self._once()
            else:
                self._graph.replay()
        self._shortest.sub_(STEPS)
        self._at += STEPS
        return np.asarray(self._drawn.cpu().numpy())

    def state(self, places: Sequence[int]) -> _State:
        """A copy of some rows."""
        import torch

        rows = torch.tensor(places, device=self._turn.device)
        return _State(
            keys=self._cache.keys[:, :, :, : self._at].index_select(1, rows),
            values=self._cache.values[:, :, :, : self._at].index_select(1, rows),
            start=self._cache.start[rows],
            scores=self._scores[rows],
            history=self._history[rows],
            shortest=self._shortest[rows],
            at=self._at,
        )
