import numpy as np
import pytest

from duplexgen.pipeline.dialogue import Waveform
from duplexgen.pipeline.speech.engine import SpeechRequest
from duplexgen.pipeline.speech.kokoro import Kokoro


@pytest.fixture(scope="session")
def kokoro() -> Kokoro:
    engine = Kokoro()
    engine.load()
    return engine


@pytest.fixture(scope="session")
def spoken(kokoro: Kokoro) -> Waveform:
    """An utterance as the engine gives it: [samples] at 24 kHz, silence at both ends."""
    (waveform,) = kokoro.speak([SpeechRequest("Put the kettle on, and we will talk.", "am_michael", "en", seed=0)])
    assert isinstance(waveform, np.ndarray)
    return waveform
