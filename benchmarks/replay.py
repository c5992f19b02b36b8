"""A voice engine that costs nothing: it plays one recording, as long as the text asks for.

It serves to measure and test everything but synthesis. The recording is a sentence spoken by Kokoro, so that voice
activity detection, trimming and tokenizing have real speech to work on. Its words are those of the text, spread over it
by their letters.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import soundfile
import yaml

from duplexgen.pipeline.dialogue import Waveform, Word, words_of
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.recipe.file import RECIPES, Problem, read
from duplexgen.pipeline.speech.engine import RawSpeech
from duplexgen.pipeline.speech.engines import ENGINES, SpeechRequest, Voice
from duplexgen.pipeline.speech.section import Speech

ROOT = Path(__file__).resolve().parent.parent
RECORDING = Path(__file__).parent / "data" / "harbour.flac"
LETTER_S = 0.07
USERS = 32


class Replay:
    """The engine `replay`; see `SpeechEngine`."""

    name: ClassVar[str] = "replay"
    sample_rate: ClassVar[int] = 24000
    languages: ClassVar[frozenset[str]] = frozenset({"en"})
    uses_seed: ClassVar[bool] = False
    times_words: ClassVar[bool] = False
    num_gpus: ClassVar[float] = 0.0

    def __init__(self, spec: Speech | None = None) -> None:
        pass

    def check(self) -> list[Problem]:
        return []

    def prompt(self, voice: str) -> None:
        return None

    @classmethod
    def voices(cls) -> Mapping[str, Voice]:
        names = ["assistant", *(f"user_{number:02d}" for number in range(USERS))]
        return {name: Voice(name, ("en",), "female", "a recording of Kokoro", "train") for name in names}

    @classmethod
    def fingerprint(cls) -> Mapping[str, str]:
        return {"replay": "1"}

    def load(self) -> None:
        self.recording: Waveform = soundfile.read(RECORDING, dtype="float32")[0]

    def speak(self, requests: Sequence[SpeechRequest]) -> list[RawSpeech | DialogueRejected]:
        return [self._speak(request.text) for request in requests]

    def _speak(self, text: str) -> RawSpeech:
        length = round((0.3 + LETTER_S * sum(character.isalnum() for character in text)) * self.sample_rate)
        words = words_of(text, "en")
        letters = np.cumsum([0, *(1 + sum(character.isalnum() for character in word) for word in words)])
        edges = [int(edge) for edge in letters * length // max(1, letters[-1])]
        spread = tuple(Word(*each) for each in zip(words, edges[:-1], edges[1:], strict=True))
        return RawSpeech(np.resize(self.recording, length), spread)


def replayed_recipe(
    folder: Path, name: str, partition_size: int, corpus: Path | None = None, effects: Sequence[str] = ()
) -> Path:
    """A recipe that ships, written to `folder` with this engine in place of its own.

    corpus: dialogues in UltraChat's shape to use in place of the sample corpus. effects: on the user's channel, with
    their defaults.
    """
    file = read(RECIPES / f"{name}.yaml")
    recipe = file.raw
    recipe["speech"] = {"engine": Replay.name, "assistant_voice": "assistant"}
    recipe["partition_size"] = partition_size
    for source in recipe["sources"]:
        source["path"] = str(file.base / source["path"])
    if corpus:
        recipe["sources"] = [{"name": "talk", "shape": "ultrachat", "path": str(corpus)}]
    if effects:
        recipe["acoustics"] = [{"effect": effect} for effect in effects]
    path = folder / f"replayed-{name}.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def register() -> None:
    """Let recipes name this engine, in this process and the workers it starts."""
    ENGINES[Replay.name] = Replay
    folders = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(folders)  # where workers find this module
