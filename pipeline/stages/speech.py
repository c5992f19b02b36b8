"""Turns dialogues into speech: one waveform per turn, for each rendition."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..dialogue import Dialogue, Rejection, SpokenDialogue
from ..errors import is_of_the_machine
from ..making.stage import Account, Row
from ..recipe.sections import shape_of
from ..speech.engines import ENGINES, SpeechEngine, fingerprint, rendition_id, speak_all
from ..speech.gate import Gate
from ..speech.section import Speech
from .rows import SPEECH, read_text_row, speech_row


class SpeechStage:
    name: ClassVar[str] = "speech"
    version: ClassVar[int] = 2
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
        speech: list[Row] = []
        for results in self._speak_all([read_text_row(row) for row in rows], account):
            speech += [speech_row(result) for result in results if isinstance(result, SpokenDialogue)]
            account.rejections += [result for result in results if isinstance(result, Rejection)]
        return speech

    def _speak_all(self, dialogues: Sequence[Dialogue], account: Account) -> Iterator[list[SpokenDialogue | Rejection]]:
        """Speak all at once; if the engine fails, one by one, so that only the dialogue that fails is rejected."""
        try:
            yield from self._speak(dialogues)
        except Exception as error:
            if is_of_the_machine(error):
                raise
            for dialogue in dialogues:
                alone: list[list[SpokenDialogue | Rejection]] = []
                with account.each(*(rendition_id(dialogue.id, number) for number in range(self.fan_out))):
                    alone = self._speak([dialogue])
                yield from alone

    def _speak(self, dialogues: Sequence[Dialogue]) -> list[list[SpokenDialogue | Rejection]]:
        return speak_all(self.engine, dialogues, self.speech, self.seed, self.gate)
