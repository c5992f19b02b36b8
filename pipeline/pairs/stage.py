"""The stage that turns rows of a data set into preference pairs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..dataset.recipe import Recipe
from ..dataset.rows import read_track
from ..dataset.schema import SIDES, pairs_schema
from ..layouts.described import Described
from ..making.stage import Account, Row
from ..recipe.sections import shape_of
from ..scenarios.scenarios import make_scenario
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, SpeechTokenizer, TextTokenizer, installed
from ..tokens.track import slices
from .checks import CAPPED
from .maker import PairMaker
from .pair import Pair
from .recipe import PairsRecipe
from .retokenize import moved_audio, retokenized

SHAPING_PACKAGES = ("numpy", "pyarrow")
TOKENIZING_PACKAGES = ("librosa", "soxr", "soundfile")


@dataclass(frozen=True)
class PairOfRow:
    """A pair, and the row that it is made of."""

    row: Row
    pair: Pair
    moved: NDArray[np.int16]  # audio to tokenize again: [1, samples] of the rejected side's assistant; or none, [1, 0]

    @property
    def dialogue_id(self) -> str:
        return str(self.row["dialogue_id"])


class PreferencesStage:
    """Rows of a data set to pairs."""

    name: ClassVar[str] = "preferences"
    version: ClassVar[int] = 3
    reads: ClassVar[tuple[str, ...] | None] = None
    num_cpus = 0.5
    max_actors: ClassVar[int | None] = None
    cost = 1.0
    fan_out = 1

    def __init__(self, recipe: PairsRecipe, made_of: Recipe, described: Described) -> None:
        """made_of, described: the recipe and vocabulary.json of the data set."""
        self.recipe, self.made_of, self.described = recipe, made_of, described
        self.layout = described.make_layout()
        self.schema = pairs_schema(self.layout.COLUMNS)
        self.text_tokenizer: TextTokenizer
        self.speech_tokenizer: SpeechTokenizer

    @property
    def num_gpus(self) -> float:
        if not self.recipe.retokenize:
            return 0.0
        return SPEECH_TOKENIZERS[self.made_of.tokens.speech_tokenizer](self.made_of.tokens).num_gpus

    def shaped_by(self) -> dict[str, Any]:
        """The recipe and packages; the data set is in the key of the plan."""
        return {
            "recipe": shape_of(self.recipe),
            "packages": {name: version(name) for name in self._shaping_packages},
        }

    @property
    def _shaping_packages(self) -> tuple[str, ...]:
        return (*SHAPING_PACKAGES, *TOKENIZING_PACKAGES) if self.recipe.retokenize else SHAPING_PACKAGES

    def load(self, scratch: Path) -> None:
        tokens = self.made_of.tokens
        self.text_tokenizer = installed(TEXT_TOKENIZERS, self.described.text_tokenizer, tokens)
        if self.recipe.retokenize:
            self.speech_tokenizer = installed(SPEECH_TOKENIZERS, self.described.speech_tokenizer, tokens)

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        scenario = make_scenario(self.made_of.timing)
        maker = PairMaker(self.recipe, scenario, self.layout, self.described.sample_rate)
        encode = lru_cache(maxsize=4096)(self.text_tokenizer.encode)  # each take of a dialogue has the same texts
        pairs: Iterable[PairOfRow] = self._pairs(rows, maker, account)
        if self.recipe.retokenize:
            pairs = self._retokenized(pairs, account)
        pair_rows = []
        for of_row in pairs:
            with account.each(of_row.dialogue_id):
                pair_rows.append(self._pair_row(of_row, encode, account))
        return pair_rows

    def _pairs(self, rows: Sequence[Row], maker: PairMaker, account: Account) -> Iterator[PairOfRow]:
        for row in rows:
            found = None
            with account.each(row["dialogue_id"]):
                found = self._pair(row, maker)
            if found:
                yield found

    def _pair(self, row: Row, maker: PairMaker) -> PairOfRow:
        track = read_track(row, self.described.margin_frames, self.described.samples_per_frame)
        pair = maker.pair(row["dialogue_id"], track)
        moved = np.zeros((1, 0), np.int16)
        if self.recipe.retokenize:
            moved = moved_audio(pair, track, row["audio"]["bytes"], maker.sample_rate)
        return PairOfRow(row, pair, moved)

    def _retokenized(self, pairs: Iterable[PairOfRow], account: Account) -> Iterator[PairOfRow]:
        for together in slices(pairs, lambda of_row: of_row.moved.size, self.described.sample_rate):
            yield from account.together(together, lambda of_row: [of_row.dialogue_id], self._coded)

    def _coded(self, together: Sequence[PairOfRow]) -> list[PairOfRow]:
        pairs, audio = [of_row.pair for of_row in together], [of_row.moved for of_row in together]
        coded = retokenized(pairs, audio, self.described.sample_rate, self.speech_tokenizer)
        return [replace(of_row, pair=pair) for of_row, pair in zip(together, coded, strict=True)]

    def _pair_row(self, of_row: PairOfRow, encode: Callable[[str], list[int]], account: Account) -> Row:
        row, pair, rate = of_row.row, of_row.pair, self.described.sample_rate
        pair_row = {
            "dialogue_id": row["dialogue_id"],
            "scenario": row["scenario"],
            "event": pair.event,
            "mistake": pair.mistake,
            "chosen_delay_s": pair.chosen_delay_samples / rate,
            "rejected_delay_s": pair.rejected_delay_samples / rate,
            "capped": pair.capped,
        }
        for name, side in zip(SIDES, (pair.chosen, pair.rejected), strict=True):
            columns = self.layout.encode(side, [encode(text) for text in self.layout.texts(side)])
            pair_row |= {f"{name}_{column}": value for column, value in columns.items()}
        if pair.capped:
            account.note(CAPPED)
        return pair_row
