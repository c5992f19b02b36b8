"""The stage that turns rows of a data set into preference pairs."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from ..dataset.recipe import Recipe
from ..dataset.rows import read_track
from ..dataset.schema import SIDES, pairs_schema
from ..layouts.described import Described
from ..making.stage import Account, Row
from ..recipe.sections import shape_of
from ..scenarios.scenarios import make_scenario
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, SpeechTokenizer, TextTokenizer, installed
from .checks import CAPPED
from .lateness import PairMaker
from .recipe import PairsRecipe
from .retokenize import retokenized

SHAPING_PACKAGES = ("numpy", "pyarrow")
TOKENIZING_PACKAGES = ("librosa", "soxr", "soundfile")


class PreferencesStage:
    """Rows of a data set to pairs."""

    name: ClassVar[str] = "preferences"
    version: ClassVar[int] = 2
    reads: ClassVar[tuple[str, ...] | None] = None
    num_cpus = 0.5
    num_gpus = 0.0
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
        pairs = []
        for row in rows:
            with account.each(row["dialogue_id"]):
                pairs.append(self._row(row, maker, encode, account))
        return pairs

    def _row(self, row: Row, maker: PairMaker, encode: Callable[[str], list[int]], account: Account) -> Row:
        track = read_track(row, self.described.margin_frames, self.described.samples_per_frame)
        pair = maker.pair(row["dialogue_id"], track)
        if self.recipe.retokenize:
            pair = retokenized(pair, track, row["audio"]["bytes"], maker.sample_rate, self.speech_tokenizer)
        pair_row = {
            "dialogue_id": row["dialogue_id"],
            "scenario": row["scenario"],
            "event": pair.event,
            "chosen_delay_s": pair.chosen_delay_samples / maker.sample_rate,
            "rejected_delay_s": pair.rejected_delay_samples / maker.sample_rate,
            "capped": pair.capped,
        }
        for name, side in zip(SIDES, (pair.chosen, pair.rejected), strict=True):
            columns = self.layout.encode(side, [encode(text) for text in self.layout.texts(side)])
            pair_row |= {f"{name}_{column}": value for column, value in columns.items()}
        if pair.capped:
            account.note(CAPPED)
        return pair_row
