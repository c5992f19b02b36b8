"""Utterances to training rows: two channels, speech tokens, one interleaved sequence."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soxr
from numpy.typing import NDArray

from ..audio.flac import encode as to_flac
from ..audio.mixing import compose
from ..dataset.invariants import audio_name
from ..dataset.manifest import VOCABULARY, VOCABULARY_FOLDER
from ..dataset.recipe import Recipe
from ..dataset.schema import data_schema
from ..dataset.statistics import QUANTITIES, measure
from ..dataset.vocabulary import VOCABULARY_FILES
from ..dialogue import Codes, Placement, SpokenDialogue, Timeline, Utterance, Waveform
from ..layouts.streams import Layout, Reply, Streams
from ..layouts.table import make_layout
from ..layouts.vocabulary import Vocabulary
from ..making.stage import Account, Row
from ..randomness import generator
from ..scenarios.timing import lay_out, talked_on
from ..storage.atomic import explained, write_json
from ..tokens.tokenizers import SPEECH_TOKENIZERS, TEXT_TOKENIZERS, SpeechTokenizer, TextTokenizer
from ..tokens.track import tokenize
from .heard import heard_text
from .rows import read_speech_row
from .takes import take_id

SHAPING_PACKAGES = ("librosa", "numpy", "pyarrow", "soundfile", "soxr")


class DataStage:
    name: ClassVar[str] = "data"
    version: ClassVar[int] = 4
    num_cpus = 0.25
    max_actors: ClassVar[int | None] = None

    def __init__(self, recipe: Recipe) -> None:
        self.timing, self.tokens, self.layout_section = recipe.timing, recipe.tokens, recipe.layout
        self.seed = recipe.seed
        self.cost = 0.02 * recipe.timing.takes
        self.sample_rate = recipe.output.sample_rate
        self.with_audio = recipe.output.audio == "flac"
        self.schema = data_schema(self.sample_rate, self.with_audio)
        self.speech_tokenizer: SpeechTokenizer = SPEECH_TOKENIZERS[recipe.tokens.speech_tokenizer](recipe.tokens)
        self.text_tokenizer: TextTokenizer = TEXT_TOKENIZERS[recipe.tokens.text_tokenizer](recipe.tokens)
        self.vocabulary: Vocabulary
        self.layout: Layout

    @property
    def num_gpus(self) -> float:
        return self.speech_tokenizer.num_gpus

    @property
    def samples_per_frame(self) -> int:
        """At the recipe's rate, which may differ from the tokenizer's."""
        tokenizer = self.speech_tokenizer
        return tokenizer.samples_per_frame * self.sample_rate // tokenizer.sample_rate

    def shaped_by(self) -> dict[str, Any]:
        return {
            "timing": self.timing.model_dump(),
            "tokens": self.tokens.model_dump(include={"speech_tokenizer", "text_tokenizer"}),
            "layout": self.layout_section.model_dump(),
            "sample_rate": self.sample_rate,
            "audio": self.with_audio,
            "seed": self.seed,
            "speech_tokenizer": dict(self.speech_tokenizer.fingerprint()),
            "text_tokenizer": dict(self.text_tokenizer.fingerprint()),
            "packages": {name: version(name) for name in SHAPING_PACKAGES},
            "statistics": {name: [item.low, item.high, item.bins] for name, item in QUANTITIES.items()},
        }

    def load(self, scratch: Path) -> None:
        self.speech_tokenizer.load()
        self._make_layout()

    def _make_layout(self) -> None:
        self.text_tokenizer.load()
        self.vocabulary = Vocabulary.build(self.text_tokenizer, self.speech_tokenizer)
        self.layout = make_layout(self.layout_section, self.vocabulary, self.samples_per_frame)

    def write_vocabulary(self, out: Path) -> list[str]:
        """Write what a reader needs to take the sequences apart; returns the files, relative to `out`."""
        self._make_layout()
        with explained(out / VOCABULARY_FOLDER):
            self.vocabulary.save(out / VOCABULARY_FOLDER)
        section = self.layout_section
        described = self.vocabulary.describe(
            self.speech_tokenizer, self.text_tokenizer, section.model_dump(), self.sample_rate
        )
        write_json(out / VOCABULARY, described)
        return list(VOCABULARY_FILES)

    @property
    def fan_out(self) -> int:
        return self.timing.takes

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        made = []
        for row in rows:
            ids = [take_id(row["dialogue_id"], take) for take in range(self.fan_out)]
            with account.each(*ids):
                dialogue = read_speech_row(row)
                for id_ in ids:
                    with account.each(id_):
                        result = self.make_row(replace(dialogue, id=id_))
                        measure(account.statistics, result, self.layout, self.sample_rate)
                        made.append(result)
        return made

    def make_row(self, dialogue: SpokenDialogue) -> Row:
        """One row of `data/`; raises DialogueRejected if the dialogue does not fit the scenario or the layout."""
        waveforms = [resampled(utterance, self.sample_rate) for utterance in dialogue.utterances]
        spoken = [(item.role, len(waveform)) for item, waveform in zip(dialogue.utterances, waveforms, strict=True)]
        rng = generator(self.seed, dialogue.id, "timing")
        timeline = lay_out(spoken, self.timing, rng, self.sample_rate, self.layout.block_samples)
        talked = talked_on(timeline, round(self.timing.longest_negative_delay_s * self.sample_rate))
        track = compose(waveforms, timeline, self.sample_rate, self.timing.fade_s)
        codes = self.encode(track.samples)
        frames = codes.shape[2] - self.layout.block_frames
        ids = self.layout.encode(Streams(codes[0, :, :frames], codes[1], self._replies(dialogue, timeline)))
        row = {
            "dialogue_id": dialogue.id,
            "source": dialogue.source,
            "language": dialogue.language,
            "scenario": self.timing.scenario,
            "input_ids": ids,
            "num_blocks": len(ids) // self.layout.ids_per_block,
            "turns": [
                turn_row(utterance, placement, heard_text(utterance.text, waveform, placement, self.sample_rate))
                | {"uncut_end_sample": uncut.end_sample if placement.interrupted else None}
                for utterance, placement, uncut, waveform in zip(
                    dialogue.utterances, timeline.placements, talked.placements, waveforms, strict=True
                )
            ],
            "user_codes": list(codes[0, :, :frames]),
            "assistant_codes": list(codes[1, :, :frames]),
            "assistant_uncut_codes": self._uncut_codes(waveforms, talked),
        }
        if self.with_audio:
            flac = to_flac(track.samples.T, track.sample_rate)
            row["audio"] = {"bytes": flac, "path": audio_name(dialogue.id)}
        return row

    def _replies(self, dialogue: SpokenDialogue, timeline: Timeline) -> tuple[Reply, ...]:
        return tuple(
            Reply(
                tuple(self.text_tokenizer.encode(utterance.text)),
                placement.start_sample,
                placement.end_sample,
                placement.interrupted,
            )
            for utterance, placement in zip(dialogue.utterances, timeline.placements, strict=True)
            if placement.role == "assistant"
        )

    def encode(self, samples: NDArray[np.int16]) -> Codes:
        return tokenize(samples, self.sample_rate, self.speech_tokenizer, self.layout.block_samples)

    def _uncut_codes(self, waveforms: Sequence[Waveform], talked: Timeline) -> list[NDArray[np.int16]] | None:
        if not any(placement.interrupted for placement in talked.placements):
            return None
        uncut = compose(waveforms, talked, self.sample_rate, self.timing.fade_s)
        return list(self.encode(uncut.samples[1:])[0, :, : -self.layout.block_frames])


def resampled(utterance: Utterance, sample_rate: int) -> Waveform:
    if utterance.sample_rate == sample_rate:
        return utterance.waveform
    waveform: Waveform = soxr.resample(utterance.waveform, utterance.sample_rate, sample_rate)
    return waveform


def turn_row(utterance: Utterance, placement: Placement, heard: str) -> dict[str, Any]:
    return {
        "role": utterance.role,
        "text": utterance.text,
        "spoken_text": heard,
        "voice": utterance.voice,
        "start_sample": placement.start_sample,
        "end_sample": placement.end_sample,
        "interrupted": placement.interrupted,
        "reaction_samples": placement.reaction_samples,
    }
