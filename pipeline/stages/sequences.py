"""Turns tracks into rows of a layout, which models train on. Reads no audio and runs no speech tokenizer."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from ..dataset.manifest import VOCABULARY, VOCABULARY_FOLDER
from ..dataset.recipe import Recipe
from ..dataset.rows import read_track
from ..dataset.schema import data_schema
from ..dataset.vocabulary import VOCABULARY_FILES
from ..layouts.described import describe
from ..layouts.layout import Layout
from ..layouts.layouts import LAYOUTS, make_layout
from ..layouts.vocabulary import Vocabulary
from ..making.stage import Account, Row
from ..recipe.sections import shape_of
from ..storage.atomic import explained, write_json
from ..tokens.protocols import SpeechTokenizer, TextTokenizer
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS
from ..tokens.track import frame_samples

SHAPING_PACKAGES = ("numpy", "pyarrow")
READS = ("dialogue_id", "events", "user_codes", "assistant_codes")


class SequencesStage:
    name: ClassVar[str] = "sequences"
    version: ClassVar[int] = 1
    num_cpus = 0.25
    num_gpus = 0.0
    max_actors: ClassVar[int | None] = None
    fan_out = 1
    reads: ClassVar[tuple[str, ...] | None] = READS

    def __init__(self, recipe: Recipe) -> None:
        self.section, self.tokens = recipe.layout, recipe.tokens
        self.cost = 0.002 * recipe.timing.takes
        self.sample_rate = recipe.output.sample_rate
        columns = LAYOUTS[self.section.name].COLUMNS
        self.schema = data_schema(columns, self.sample_rate, recipe.output.audio == "flac")
        self.speech_tokenizer: SpeechTokenizer = SPEECH_TOKENIZERS[recipe.tokens.speech_tokenizer](recipe.tokens)
        self.text_tokenizer: TextTokenizer = TEXT_TOKENIZERS[recipe.tokens.text_tokenizer](recipe.tokens)
        self.layout: Layout

    @property
    def samples_per_frame(self) -> int:
        return frame_samples(self.speech_tokenizer, self.sample_rate)

    def shaped_by(self) -> dict[str, Any]:
        return {
            "layout": shape_of(self.section),
            "text_tokenizer": dict(self.text_tokenizer.fingerprint()),
            "packages": {name: version(name) for name in SHAPING_PACKAGES},
        }

    def load(self, scratch: Path) -> None:
        self.text_tokenizer.load()
        self.layout = make_layout(self.section, self._vocabulary(), self.samples_per_frame)

    def _vocabulary(self) -> Vocabulary:
        return LAYOUTS[self.section.name].VOCABULARY.build(self.section, self.text_tokenizer, self.speech_tokenizer)

    def write_vocabulary(self, out: Path) -> list[str]:
        """Write what a reader needs to take the rows apart; returns the files, relative to `out`."""
        self.text_tokenizer.load()
        vocabulary = self._vocabulary()
        with explained(out / VOCABULARY_FOLDER):
            vocabulary.save(out / VOCABULARY_FOLDER)
        description = describe(
            vocabulary,
            self.section,
            self.speech_tokenizer,
            self.text_tokenizer,
            self.sample_rate,
            self.tokens.margin_frames,
        )
        write_json(out / VOCABULARY, description)
        return list(VOCABULARY_FILES)

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        sequences = []
        for row in rows:
            with account.each(row["dialogue_id"]):
                track = read_track(row, self.tokens.margin_frames, self.samples_per_frame)
                texts = [self.text_tokenizer.encode(text) for text in self.layout.texts(track)]
                columns = self.layout.encode(track, texts)
                self.layout.written(columns)  # raises if no reader could take the row apart; then it is rejected
                sequences.append({"dialogue_id": row["dialogue_id"], **columns})
        return sequences
