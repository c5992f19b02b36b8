import numpy as np
import pytest

from duplexgen.pipeline.speech.cosyvoice.decoding import DecodedRow
from duplexgen.pipeline.speech.cosyvoice.guards import check_start, check_tokens
from duplexgen.pipeline.speech.guard import BadSpeechError

RATE = 24000


def test_speech_passes():
    check_tokens(DecodedRow(list(range(60)), ended=True), text_tokens=10)
    check_tokens(DecodedRow([7] * 24 + list(range(30)), ended=True), text_tokens=10)


@pytest.mark.parametrize(
    ("tokens", "ended", "says"),
    [
        ([], True, "no speech tokens"),
        (list(range(200)), False, "no end within 200 speech tokens for 10"),
        (list(range(20)), True, "ended as soon as it could"),
        ([1, *[7] * 25, *range(20)], True, "25 equal speech tokens"),
    ],
)
def test_what_cannot_be_the_text_is_for_another_seed(tokens, ended, says):
    with pytest.raises(BadSpeechError, match=says):
        check_tokens(DecodedRow(tokens, ended), text_tokens=10)


def test_late_speech_is_for_another_seed():
    tone = np.sin(np.arange(RATE) / 20).astype(np.float32) * 0.3
    hiss = (np.random.default_rng(0).normal(size=round(1.1 * RATE)) * 1e-4).astype(np.float32)
    check_start(tone, RATE)
    check_start(np.concatenate([hiss[: round(0.9 * RATE)], tone]), RATE)
    with pytest.raises(BadSpeechError, match=r"1\.10 s of silence"):
        check_start(np.concatenate([hiss, tone]), RATE)
    with pytest.raises(BadSpeechError, match="silence"):
        check_start(np.zeros(2 * RATE, np.float32), RATE)
