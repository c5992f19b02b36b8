"""Rows of a data set to preference pairs."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from ..dataset.schema import PAIRS
from ..layouts.bayling import BaylingLayout
from ..layouts.described import Described
from ..making.stage import Account, Row
from ..recipe.sections import shape_of
from ..tokens.section import Tokens
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, SpeechTokenizer, TextTokenizer, installed
from .checks import CAPPED
from .maker import PairMaker
from .recipe import PairsRecipe
from .retokenize import retokenized

SHAPING_PACKAGES = ("numpy", "pyarrow")
TOKENIZING_PACKAGES = ("librosa", "soxr", "soundfile")


class PreferencesStage:
    name: ClassVar[str] = "preferences"
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...] | None] = None
    schema = PAIRS
    num_cpus = 0.5
    num_gpus = 0.0
    max_actors: ClassVar[int | None] = None
    cost = 1.0
    fan_out = 1

    def __init__(
        self,
        recipe: PairsRecipe,
        layout: BaylingLayout,
        sample_rate: int,
        fade_s: float,
        described: Described,
        tokens: Tokens,
    ) -> None:
        """described: vocabulary.json of the data set; fade_s, tokens: of its recipe."""
        self.recipe, self.layout, self.sample_rate, self.fade_s = recipe, layout, sample_rate, fade_s
        self.described, self.tokens = described, tokens
        self.maker: PairMaker
        self.speech_tokenizer: SpeechTokenizer

    def shaped_by(self) -> dict[str, Any]:
        """What the data set says of itself is part of the plan's key."""
        return {
            "recipe": shape_of(self.recipe),
            "packages": {name: version(name) for name in self._shaping_packages},
        }

    @property
    def _shaping_packages(self) -> tuple[str, ...]:
        return (*SHAPING_PACKAGES, *TOKENIZING_PACKAGES) if self.recipe.retokenize else SHAPING_PACKAGES

    def load(self, scratch: Path) -> None:
        fade = round(self.fade_s * self.sample_rate)
        tokenizer: TextTokenizer = installed(TEXT_TOKENIZERS, self.described.text_tokenizer, self.tokens)
        self.maker = PairMaker(self.recipe, self.layout, self.sample_rate, fade, tokenizer.encode)
        if self.recipe.retokenize:
            self.speech_tokenizer = installed(SPEECH_TOKENIZERS, self.described.speech_tokenizer, self.tokens)

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        made = []
        for row in rows:
            with account.each(row["dialogue_id"]):
                made.append(self._row(row, account))
        return made

    def _row(self, row: Row, account: Account) -> Row:
        pair = self.maker.pair(row)
        if self.recipe.retokenize:
            pair = retokenized(pair, row, self.layout, self.sample_rate, self.speech_tokenizer)
        if pair.capped:
            account.note(CAPPED)
        return {
            "dialogue_id": row["dialogue_id"],
            "scenario": row["scenario"],
            "turn": pair.turn,
            "chosen_ids": pair.chosen_ids,
            "rejected_ids": pair.rejected_ids,
            "num_blocks": len(pair.chosen_ids) // self.layout.ids_per_block,
            "chosen_delay_s": pair.chosen_delay_samples / self.sample_rate,
            "rejected_delay_s": pair.rejected_delay_samples / self.sample_rate,
            "capped": pair.capped,
        }
