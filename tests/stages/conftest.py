"""Two dialogues, spoken once for all tests of stages."""

import pyarrow as pa
import pytest

from duplexgen.pipeline.stages.speech import SpeechStage
from tests.corpus import TURNS
from tests.stages.running import dialogue, recipe, texts, through


@pytest.fixture(scope="session")
def said() -> pa.Table:
    """Of three and of two exchanges, with words, and with what a gate measured."""
    speech = {"engine": "replay", "assistant_voice": "assistant", "gate": {"max_silence_s": 3.0}}
    stage = SpeechStage(recipe(speech=speech).speech, seed=1)
    return through([stage], texts(dialogue("a/b", *TURNS), dialogue("c", *TURNS[:4])))[0]
