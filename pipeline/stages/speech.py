"""Dialogues to one waveform a turn, in every rendition."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pipeline.dialogue import Rejection, SpokenDialogue
from pipeline.recipe import Speech
from pipeline.speech import ENGINES, SpeechEngine, fingerprint, rendition_id, speak_renditions
from pipeline.stages.rows import SPEECH, read_text_row, speech_row
from pipeline.stages.stage import Account, Row


class SpeechStage:
    name: ClassVar[str] = "speech"
    version: ClassVar[int] = 1
    schema = SPEECH
    num_cpus = 0.5
    num_gpus = 0.0
    cost = 1.0

    def __init__(self, speech: Speech, seed: int) -> None:
        self.speech = speech
        self.seed = seed
        self.engine_class: type[SpeechEngine] = ENGINES[speech.engine]
        self.engine: SpeechEngine

    def shaped_by(self) -> dict[str, Any]:
        return {"speech": self.speech.model_dump(), "seed": self.seed, "engine": fingerprint(self.engine_class)}

    def load(self) -> None:
        self.engine = self.engine_class()
        self.engine.load()

    @property
    def fan_out(self) -> int:
        return self.speech.renditions

    def process(self, rows: Sequence[Row], account: Account) -> list[Row]:
        spoken: list[Row] = []
        for row in rows:
            dialogue = read_text_row(row)
            with account.each(*(rendition_id(dialogue.id, number) for number in range(self.fan_out))):
                results = list(speak_renditions(self.engine, dialogue, self.speech, self.seed))
                spoken += [speech_row(result) for result in results if isinstance(result, SpokenDialogue)]
                account.rejections += [result for result in results if isinstance(result, Rejection)]
        return spoken
