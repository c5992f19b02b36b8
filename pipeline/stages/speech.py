"""Turns dialogues into speech: one waveform per turn, for each rendition."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..dialogue import Dialogue, Rejection, SpokenDialogue
from ..making.stage import Account, Row
from ..recipe.sections import shape_of
from ..speech.engines import ENGINES, SpeechEngine, fingerprint, rendition_id, speak_all
from ..speech.gate import Gate
from ..speech.section import Speech
from .rows import SPEECH, read_text_row, speech_row


class SpeechStage:
    name: ClassVar[str] = "speech"
    version: ClassVar[int] = 3
    reads: ClassVar[tuple[str, ...] | None] = None
    schema = SPEECH
    num_cpus = 0.5
    max_actors: ClassVar[int | None] = None
    cost = 1.0

    def __init__(self, speech: Speech, seed: int) -> None:
        self.speech = speech
        self.seed = seed
        self.engine: SpeechEngine = ENGINES[speech.engine](speech)
        self.gate = Gate(speech.gate, self.engine.num_gpus) if speech.gate else None

    @property
    def num_gpus(self) -> float:
        return max(self.engine.num_gpus, self.gate.num_gpus if self.gate else 0.0)

    def shaped_by(self) -> dict[str, Any]:
        """An engine's own section is in its fingerprint, as far as it changes the speech."""
        shape = {
            "speech": shape_of(self.speech),
            "seed": self.seed,
            "engine": fingerprint(self.engine),
        }
        if self.gate is None:
            return shape
        return shape | {"gate": {"bounds": shape_of(self.gate.spec), **self.gate.fingerprint()}}

    def load(self, scratch: Path) -> None:
        self.engine.load()
        if self.gate:
            self.gate.load()

    @property
    def fan_out(self) -> int:
        return self.speech.renditions

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        dialogues = [read_text_row(row) for row in rows]
        speech: list[Row] = []
        for results in account.together(dialogues, self._renditions, self._speak):
            speech += [speech_row(result) for result in results if isinstance(result, SpokenDialogue)]
            account.rejections += [result for result in results if isinstance(result, Rejection)]
        return speech

    def _renditions(self, dialogue: Dialogue) -> list[str]:
        return [rendition_id(dialogue.id, number) for number in range(self.fan_out)]

    def _speak(self, dialogues: Sequence[Dialogue]) -> list[list[SpokenDialogue | Rejection]]:
        return speak_all(self.engine, dialogues, self.speech, self.seed, self.gate)
